//! Python's packages.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bulla_provenance::environment::{Packages, Python, discover_python};

use crate::common::{Machine, fifo, variables, write};

fn site(machine: &mut Machine) -> PathBuf {
    let site = machine.path("site-packages");
    std::fs::create_dir_all(&site).unwrap();
    machine.sources.python = Python::Directories(vec![site.clone()]);
    site
}

fn install(site: &Path, name: &str, version: &str) {
    let directory = format!("{}-{version}.dist-info", name.replace('-', "_"));
    let text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: no\n");
    write(&site.join(directory).join("METADATA"), text);
}

fn listed(machine: &Machine) -> Vec<(String, String)> {
    machine.gather().packages.into_iter().map(|p| (p.name, p.version)).collect()
}

fn names(machine: &Machine) -> Vec<String> {
    listed(machine).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn frameworks_or_all() {
    let mut machine = Machine::new();
    let site = site(&mut machine);
    install(&site, "torch", "2.3.1+cu121");
    install(&site, "Scikit_Learn", "1.5.0");
    install(&site, "internal-tool", "0.1");
    write(&site.join("numpy-1.26.4.egg-info"), "Name: numpy\nVersion: 1.26.4\n");
    write(&site.join("jax-0.4.egg-info/PKG-INFO"), "Name: jax\r\nVersion: 0.4\r\n\r\n");
    let pairs = listed(&machine);
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        pairs,
        [("jax", "0.4"), ("numpy", "1.26.4"), ("scikit-learn", "1.5.0"), ("torch", "2.3.1+cu121")]
    );
    machine.sources.packages = Packages::All;
    assert!(names(&machine).contains(&"internal-tool".to_owned()));
    machine.sources.packages = Packages::None;
    assert!(names(&machine).is_empty());
}

#[test]
fn the_first_directory_wins() {
    let mut machine = Machine::new();
    let (first, second) = (machine.path("first"), machine.path("second"));
    install(&first, "torch", "2.0");
    install(&second, "torch", "1.0");
    machine.sources.python = Python::Directories(vec![first, second]);
    assert_eq!(listed(&machine), [("torch".to_owned(), "2.0".to_owned())]);
}

/// As it is found on a machine: an environment that is active, and nothing said of where packages are.
#[test]
fn frameworks_of_a_virtual_environment() {
    let mut machine = Machine::new();
    machine.sources.python = Python::Discover;
    let environment = machine.path("venv");
    let site = environment.join("lib/python3.12/site-packages");
    install(&site, "torch", "2.3.1+cu121");
    // Its description is longer than anybody reads.
    let text = format!("Name: transformers\nVersion: 4.44.0\n\n{}", "x".repeat(1 << 20));
    write(&site.join("transformers-4.44.0.dist-info/METADATA"), text);
    install(&site, "internal-tool", "0.1");
    write(&environment.join("pyvenv.cfg"), "home = /usr/bin\n");
    machine.set(&[("VIRTUAL_ENV", environment.to_str().unwrap())]);
    let found = [("torch", "2.3.1+cu121"), ("transformers", "4.44.0")];
    assert_eq!(listed(&machine), found.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(machine.notes("packages"), "");
    // One that is gone is no environment, and no reason to look elsewhere in its name.
    machine.set(&[("VIRTUAL_ENV", "/no/such/environment"), ("PATH", "/no/such/programs")]);
    assert!(listed(&machine).is_empty());
    assert!(machine.notes("packages").contains("no Python was found"));
}

/// Installers link packages out of an environment into a cache, so links are followed; but only what is a
/// package's metadata is taken from where they lead.
#[test]
fn metadata_that_leads_out_of_the_environment() {
    let mut machine = Machine::new();
    let site = site(&mut machine);
    let cache = machine.path("cache");
    install(&cache, "torch", "2.3.1");
    install(&cache, "transformers", "4.44.0");
    let link = |from: &Path, to: &str| {
        std::fs::create_dir_all(site.join(to).parent().unwrap()).unwrap();
        symlink(from, site.join(to)).unwrap();
    };
    link(&cache.join("torch-2.3.1.dist-info"), "torch-2.3.1.dist-info");
    let metadata = cache.join("transformers-4.44.0.dist-info/METADATA");
    link(&metadata, "transformers-4.44.0.dist-info/METADATA");
    let secrets = machine.path("secrets");
    write(
        &secrets,
        "[default]\naws_secret_access_key = S3CRET\npassword: S3CRET\nVersion: S3CRET\n",
    );
    link(&secrets, "numpy-1.dist-info/METADATA");
    link(&secrets, "scipy-1.egg-info");
    link(&machine.path("nowhere"), "pandas-1.dist-info");
    assert_eq!(names(&machine), ["torch", "transformers"]);
    assert!(machine.notes("packages").contains(": 3"), "{}", machine.notes("packages"));
    assert!(!serde_json::to_string(&machine.gather()).unwrap().contains("S3CRET"));
}

/// A version has room for a token, and whoever builds packages has some at hand.
#[test]
fn a_version_with_a_secret_in_it() {
    let mut machine = Machine::new();
    let site = site(&mut machine);
    install(&site, "numpy", "1.26.4");
    install(&site, "torch", "2.3.1+correct.horse.battery");
    install(&site, "jax", "ghp_0123456789abcdefghij");
    machine.set(&[("INDEX_TOKEN", "correct.horse.battery")]);
    assert_eq!(names(&machine), ["numpy"]);
    assert!(machine.notes("packages").contains("holds a secret"));
}

#[test]
fn names_that_are_none() {
    let mut machine = Machine::new();
    let site = site(&mut machine);
    machine.sources.packages = Packages::All;
    let bad = ["", "-torch", "torch-", "to rch", "../torch", "torch/x", "t\u{202e}orch", "tôrch"];
    let long = "x".repeat(101);
    for (i, name) in bad.into_iter().chain([long.as_str()]).enumerate() {
        let text = format!("Name: {name}\nVersion: 1\n");
        write(&site.join(format!("bad{i}-1.dist-info/METADATA")), text);
    }
    // Names of directories, which are any bytes.
    for name in
        [&b"torch\xff-1.dist-info"[..], b".dist-info", b"-1.dist-info", b"\x1b[31m.dist-info"]
    {
        std::fs::create_dir(site.join(OsStr::from_bytes(name))).unwrap();
    }
    install(&site, "torch", "2.3.1");
    assert_eq!(names(&machine), ["torch"]);
    assert!(machine.notes("packages").contains(": 12"), "{}", machine.notes("packages"));
}

#[test]
fn hostile_metadata() {
    let mut machine = Machine::new();
    let site = site(&mut machine);
    install(&site, "numpy", "1.0");
    let bad: [(&str, &[u8]); 8] = [
        ("torch-1", b""),
        ("jax-1", b"\nName: jax\nVersion: 1\n"),
        ("trl-1", b"Name: trl\nVersion: 1\x1b[31m\n"),
        ("peft-1", b"Name: ../peft\nVersion: 1\n"),
        ("timm-1", b"Name: timm\nVersion: https://u:p@h/x\n"),
        ("onnx-1", &[0xff; 300_000]),
        ("ray-1", b"Name: ray\n"),
        ("flax-1", b"Name: flax"),
    ];
    for (name, text) in bad {
        write(&site.join(format!("{name}.dist-info/METADATA")), text);
    }
    let endless = [b"Name: ".as_slice(), &vec![b'x'; 1 << 20]].concat();
    write(&site.join("keras-1.dist-info/METADATA"), endless);
    fifo(&site.join("scipy-1.dist-info/METADATA"));
    let loops = site.join("pandas-1.dist-info");
    std::fs::create_dir(&loops).unwrap();
    symlink("METADATA", loops.join("METADATA")).unwrap();
    symlink(&site, site.join("datasets-1.dist-info")).unwrap();
    symlink("/dev/zero", site.join("tokenizers-1.egg-info")).unwrap();
    assert_eq!(names(&machine), ["numpy"]);
    assert!(machine.notes("packages").contains(": 13"), "{}", machine.notes("packages"));
    // Another name inside than outside cannot get in where only frameworks are asked for.
    write(&site.join("xgboost-1.dist-info/METADATA"), "Name: mine\nVersion: 1\n");
    assert_eq!(names(&machine), ["numpy"]);
}

#[test]
fn where_python_looks() {
    let machine = Machine::new();
    let folder = |path: &str| {
        let path = machine.path(path);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    // 1. A virtual environment that is active.
    let site = folder("venv/lib/python3.12/site-packages");
    symlink("lib", machine.path("venv/lib64")).unwrap();
    let given = variables(&[("VIRTUAL_ENV", &text(&machine.path("venv")))]);
    assert_eq!(discover_python(&given), std::slice::from_ref(&site));
    // 2. Conda's.
    let conda = folder("conda/lib/python3.11/site-packages");
    folder("conda/lib/python2.7/site-packages");
    let given = variables(&[("CONDA_PREFIX", &text(&machine.path("conda")))]);
    assert_eq!(discover_python(&given), [conda]);
    // 3. The first python3 in PATH, which is a virtual environment's.
    write(&machine.path("venv/pyvenv.cfg"), "home = /usr/bin\n");
    write(&machine.path("base/bin/python3.11"), "");
    let python = machine.path("base/bin/python3.11");
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder("venv/bin");
    symlink(&python, machine.path("venv/bin/python3")).unwrap();
    let path = format!("{}:{}", text(&folder("empty")), text(&machine.path("venv/bin")));
    assert_eq!(discover_python(&variables(&[("PATH", &path)])), [site]);
    // 4. The system's, of the version that is meant.
    let base = folder("base/lib/python3.11/site-packages");
    let dist = folder("base/lib/python3/dist-packages");
    folder("base/lib/python3.9/site-packages");
    let user = folder("home/.local/lib/python3.11/site-packages");
    symlink("python3.11", machine.path("base/bin/python3")).unwrap();
    let given = variables(&[
        ("PATH", &text(&machine.path("base/bin"))),
        ("HOME", &text(&machine.path("home"))),
        ("PYTHONPATH", "/opt/extra:relative:"),
    ]);
    assert_eq!(discover_python(&given), [PathBuf::from("/opt/extra"), user, dist, base]);
    // 5. None.
    assert!(discover_python(&variables(&[("PATH", &text(&folder("empty")))])).is_empty());
}
