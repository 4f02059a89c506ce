//! A PostgreSQL cluster in a temporary folder, on a Unix socket, for as long as the process lives.
//!
//! Where PostgreSQL is not installed this fails, and says how to install it: a test that is passed over proves nothing.

use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// A running cluster, whose superuser is `bulla`.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    /// Ends the cluster when its input ends: when this is dropped, or the process ends in any way.
    _guard: Child,
    databases: AtomicU64,
}

impl Postgres {
    /// Makes and starts one.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("shared_buffers = 64MB\n")
    }

    /// One with more lines of `postgresql.conf`.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start_with(more: &str) -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("bulla-pg").tempdir().unwrap().keep();
        if let Some((user, group)) = server_user() {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        let data = folder.join("data");
        let made = as_server_user(&programs.join("initdb"))
            .args([
                "--auth=trust",
                "--username=bulla",
                "--encoding=UTF8",
                "--no-sync",
                "--no-locale",
            ])
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nfsync = off\nmax_connections = 200\n\
             logging_collector = off\n{more}",
            folder.display()
        );
        let mut file =
            std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        file.write_all(settings.as_bytes()).unwrap();
        let stop = format!(
            "cat >/dev/null; {} stop --silent --mode=immediate --pgdata={data}; rm -rf {folder}",
            shown(&as_server_user(&programs.join("pg_ctl"))),
            data = data.display(),
            folder = folder.display(),
        );
        let guard = Command::new("sh")
            .args(["-c", &stop])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self { folder, programs, _guard: guard, databases: AtomicU64::new(0) };
        this.control("start");
        this
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a copy of a database; nobody may be connected to it.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    pub fn copy(&self, url: &str) -> String {
        let from = Self::name(url);
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {from}"));
        self.url(&name)
    }

    /// Runs SQL in the database of a URL; what it printed, a line for each row.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, url: &str, sql: &str) -> String {
        self.sql(Self::name(url), sql)
    }

    /// Kills all of the cluster's processes as a crash would, and starts it again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn crash(&self) {
        self.control("restart");
    }

    fn url(&self, name: &str) -> String {
        format!("postgresql://bulla@localhost/{name}?host={}", self.folder.display())
    }

    fn name(url: &str) -> &str {
        let path = url.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    fn control(&self, what: &str) {
        let done = as_server_user(&self.programs.join("pg_ctl"))
            .args([what, "--silent", "--wait", "--mode=immediate", "--timeout=60"])
            .arg(format!("--pgdata={}", self.folder.join("data").display()))
            .arg(format!("--log={}", self.folder.join("log").display()))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(done.success(), "pg_ctl {what} failed: {log}");
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        let done = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "bulla", "-d", database])
            .arg("-h")
            .arg(&self.folder)
            .args(["-c", sql])
            .output()
            .unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

/// Where Debian and others put the server's programs: the newest.
fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    found.sort();
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&in_path).find(|folder| folder.join("initdb").exists());
    found.pop().or(in_path).expect(
        "PostgreSQL is not installed, and the registry is tested with it: run tools/install, \
         or 'apt-get install postgresql'",
    )
}

/// PostgreSQL does not run as root: Debian has a user for it.
fn server_user() -> Option<(u32, u32)> {
    let number = |option: &str, of: &[&str]| -> u32 {
        let id = Command::new("id").arg(option).args(of).output().unwrap();
        String::from_utf8(id.stdout).unwrap().trim().parse().expect("there is no user 'postgres'")
    };
    (number("-u", &[]) == 0).then(|| (number("-u", &["postgres"]), number("-g", &["postgres"])))
}

fn as_server_user(program: &Path) -> Command {
    match server_user() {
        None => Command::new(program),
        Some(_) => {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            // The server user may not look into the caller's folder.
            command.current_dir("/");
            command
        }
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
