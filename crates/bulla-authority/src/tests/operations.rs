//! When the authority itself cannot, and how it is run.

use serde_json::json;

use super::{Bench, EMAIL, at, certificate_request, key, open};
use crate::config::CONFIG_FILE;
use crate::keys::Protection;
use crate::{Config, InitError, OpenError, base64, init};

#[test]
fn a_log_that_refuses_is_a_503_and_nothing_is_issued() {
    let mut bench = Bench::new();
    let token = bench.token(json!({}));
    bench.break_logs();
    let answer = bench.certify(&token);
    assert_eq!(answer.status, 503, "{}", answer.message());
    assert!(!answer.message().contains("CERTIFICATE"), "{}", answer.message());
    let mine = key(bulla::KeyAlgorithm::EcdsaP256);
    let digest = bulla::Digest::sha256(b"message").to_hex();
    let v2 = json!({ "hashedRekordRequestV002": {
        "digest": base64(&hex::decode(&digest).unwrap()),
        "signature": {
            "content": base64(&mine.sign(b"message").unwrap()),
            "verifier": {
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "publicKey": { "rawBytes": base64(mine.public().spki_der()) },
            },
        },
    } });
    assert_eq!(bench.post_json("/api/v2/log/entries", &v2).status, 503);
    let v1 = json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": { "hash": { "algorithm": "sha256", "value": digest } },
        "signature": {
            "content": base64(&mine.sign(b"message").unwrap()),
            "publicKey": { "content": base64(mine.public().to_pem().as_bytes()) },
        },
    } });
    let answer = bench.post_json("/api/v1/log/entries", &v1);
    assert_eq!(answer.status, 503);
    assert!(!answer.message().contains("signedEntryTimestamp"));
    assert_eq!(bench.get("/readyz").status, 503);
    assert_eq!(bench.get("/healthz").status, 200);

    // The token was not used up: when the log works again, it is good.
    let bench = bench.restart();
    bench.set_clock("2026-11-20T12:00:01Z");
    let again = certificate_request(&token, &mine, EMAIL);
    // A restart forgets that it was given back: the safe side.
    assert_eq!(bench.post_json("/api/v2/signingCert", &again).status, 401);
}

#[test]
fn a_token_is_given_back_when_nothing_was_issued() {
    let mut bench = Bench::new();
    let token = bench.token(json!({}));
    let logs = bench.authority.generations()[0].logs.clone();
    bench.break_logs();
    assert_eq!(bench.certify(&token).status, 503);
    std::sync::Arc::get_mut(&mut bench.authority).unwrap().generations_mut()[0].logs = logs;
    assert_eq!(bench.certify(&token).status, 200);
}

#[test]
fn a_clock_that_went_back_issues_nothing() {
    let bench = Bench::new();
    assert_eq!(bench.certify(&bench.token(json!({}))).status, 200);
    bench.set_clock("2026-11-20T11:59:00Z");
    let logged = bench.logged();
    assert_eq!(bench.certify(&bench.token(json!({}))).status, 503);
    assert_eq!(bench.get("/readyz").status, 503);
    assert_eq!(bench.logged(), logged);
    // And it does not start.
    let Bench { folder, clock, authority } = bench;
    drop(authority);
    assert!(matches!(open(&folder, &clock), Err(OpenError::Clock(_))));
}

#[test]
fn an_authority_runs_once_at_a_time() {
    let bench = Bench::new();
    assert!(matches!(open(&bench.folder, &bench.clock), Err(OpenError::InUse { .. })));
    drop(bench.restart());
}

#[test]
fn rule_17_a_log_that_is_gone_is_not_made_anew() {
    let bench = Bench::new();
    let Bench { folder, clock, authority } = bench;
    drop(authority);
    std::fs::remove_dir_all(folder.path().join("ca/logs/1/rekor-v2")).unwrap();
    assert!(open(&folder, &clock).is_err());
}

/// A development authority stays one, and no other becomes one by its configuration.
#[test]
fn rule_17_development_is_decided_when_an_authority_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ca");
    let mut config = Config::development("Test", super::URL);
    config.development = false;
    config.issuers = vec!["https://accounts.example.com".parse().unwrap()];
    config.logs.high_water_marks = folder.path().join("marks");
    let made = init(&place, &config, &Protection::None, at(super::NOW)).unwrap();
    let names: Vec<_> = made.trust.files().map(|(name, _)| name).into();
    assert_eq!(names, ["trusted_root.json", "signing_config.json", "trust_config.json"]);
    assert!(!place.join("generations/1/development-issuer.key").exists());
    let text = std::fs::read_to_string(place.join(CONFIG_FILE)).unwrap();
    std::fs::write(
        place.join(CONFIG_FILE),
        text.replace("development = false", "development = true"),
    )
    .unwrap();
    let clock = std::sync::Arc::new(super::TestClock(std::sync::Mutex::new(at(super::NOW))));
    assert!(matches!(open(&folder, &clock), Err(OpenError::OtherKind { .. })));
}

#[test]
fn rule_17_a_development_authoritys_files_say_what_they_are() {
    let bench = Bench::new();
    let names: Vec<_> = bench.authority.trust().files().map(|(name, _)| name).into();
    assert!(names.iter().all(|name| name.starts_with("development_")), "{names:?}");
    assert_eq!(bench.get("/trusted_root.json").status, 404);
    let root = bench.get("/development_trusted_root.json").json();
    let certificate = root["certificateAuthorities"][0]["certChain"]["certificates"][1].clone();
    let der = crate::unbase64(certificate["rawBytes"].as_str().unwrap()).unwrap();
    let subject = bulla::Certificate::from_der(&der).unwrap().subject().to_owned();
    assert!(subject.contains("DEVELOPMENT"), "{subject}");
}

/// Each authority has a root of its own, whatever it is called.
#[test]
fn rule_17_keys_are_separate() {
    let (one, other) = (Bench::new(), Bench::new());
    let mut all = std::collections::BTreeSet::new();
    for bench in [&one, &other] {
        let active = &bench.authority.generations()[0];
        let keys = &active.keys;
        for key in [&keys.issuing, &keys.ct_log, &keys.rekor_v1, &keys.rekor_v2, &keys.timestamp] {
            assert!(all.insert(key.public().spki_der().to_vec()), "a key stands twice");
        }
        for root in [&active.record.root, &active.record.timestamp_root] {
            let key = bulla::Certificate::from_der(&root.0).unwrap().public_key().unwrap();
            assert!(all.insert(key.spki_der().to_vec()), "a key stands twice");
        }
    }
    assert_eq!(all.len(), 14);
}

#[test]
fn an_authority_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::development("Test", super::URL);
    let make =
        |name: &str| init(&folder.path().join(name), &config, &Protection::None, at(super::NOW));
    make("ca").unwrap();
    assert!(matches!(make("ca"), Err(InitError::Exists { .. })));
    std::fs::create_dir(folder.path().join("full")).unwrap();
    std::fs::write(folder.path().join("full/x"), "x").unwrap();
    assert!(matches!(make("full"), Err(InitError::Exists { .. })));
    std::fs::write(folder.path().join("file"), "x").unwrap();
    assert!(make("file").is_err());
    // An empty folder may be filled, and nothing else is left beside.
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    make("empty").unwrap();
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["ca", "empty", "file", "full"]);
}

#[test]
fn keys_are_encrypted_and_need_their_password() {
    use bulla::{Fault, Password};
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ca");
    let password = |text: &str| Password::new(text.as_bytes().to_vec().into());
    let config = Config::development("Test", super::URL);
    init(&place, &config, &Protection::Password(&password("secret")), at(super::NOW)).unwrap();
    for entry in std::fs::read_dir(place.join("generations/1")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "key") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
                "{}",
                path.display()
            );
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    let clock = std::sync::Arc::new(super::TestClock(std::sync::Mutex::new(at(super::NOW))));
    let open = |text: &'static str| {
        crate::Authority::open(&place, clock.clone(), &move || Ok(password(text)))
    };
    assert!(matches!(open("wrong"), Err(OpenError::Fault(Fault::WrongPassword))));
    open("secret").unwrap();
}

#[test]
fn a_key_that_was_exchanged_is_found_out() {
    let (one, other) = (Bench::new(), Bench::new());
    let Bench { folder, clock, authority } = one;
    drop(authority);
    let key = "ca/generations/1/issuing.key";
    std::fs::copy(other.folder.path().join(key), folder.path().join(key)).unwrap();
    let refused = open(&folder, &clock).unwrap_err().to_string();
    assert!(refused.contains("issuing.key"), "{refused}");
}

#[test]
fn the_development_issuer_answers_this_machine_only() {
    use axum::body::Body;
    use axum::http::Request;
    let bench = Bench::new();
    let ask = |host: &str| {
        let request = Request::post("/dev/token?email=ada@example.com").header("host", host);
        bench.request(request.body(Body::empty()).unwrap()).status
    };
    assert_eq!(ask("127.0.0.1:8080"), 200);
    assert_eq!(ask("localhost:8080"), 200);
    // A name that was made to point here, by a page that wants a token.
    assert_eq!(ask("evil.example:8080"), 403);
    assert_eq!(ask("127.0.0.1.evil.example"), 403);
    let from_a_page = |name: &str, value: &str| {
        let request = Request::post("/dev/token?email=ada@example.com")
            .header("host", "localhost:8080")
            .header(name, value);
        bench.request(request.body(Body::empty()).unwrap()).status
    };
    assert_eq!(from_a_page("origin", "http://localhost:3000"), 200);
    assert_eq!(from_a_page("origin", "https://evil.example"), 403);
    assert_eq!(from_a_page("origin", "null"), 403);
    assert_eq!(from_a_page("sec-fetch-site", "cross-site"), 403);
}

#[test]
fn a_login_with_pkce() {
    let bench = Bench::new();
    let challenge = crate::base64url(&crate::keys::sha256(b"verifier"));
    let authorize = |redirect: &str, method: &str| {
        bench.get(&format!("/dev/authorize?client_id=sigstore&response_type=code&redirect_uri={redirect}&state=s&nonce=n&code_challenge={challenge}&code_challenge_method={method}&email=ada@example.com"))
    };
    let redirect = "http://localhost:4000/auth/callback";
    assert_eq!(authorize("https://evil.example/", "S256").status, 400);
    assert_eq!(authorize(redirect, "plain").status, 400);
    let exchange = |code: &str, verifier: &str| {
        use axum::body::Body;
        use axum::http::Request;
        let form = format!(
            "grant_type=authorization_code&code={code}&code_verifier={verifier}&redirect_uri={redirect}"
        );
        let request = Request::post("/dev/token")
            .header("host", "localhost:8080")
            .header("content-type", "application/x-www-form-urlencoded");
        bench.request(request.body(Body::from(form)).unwrap())
    };
    let code = || {
        let answer = authorize(redirect, "S256");
        assert_eq!(answer.status, 302, "{}", answer.message());
        let location = answer.headers["location"].to_str().unwrap().to_owned();
        assert!(location.starts_with(redirect) && location.ends_with("&state=s"), "{location}");
        location.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()
    };
    assert_eq!(exchange(&code(), "guess").status, 400);
    let good = code();
    let answer = exchange(&good, "verifier");
    assert_eq!(answer.status, 200, "{}", answer.message());
    let token = answer.json()["id_token"].as_str().unwrap().to_owned();
    assert_eq!(bench.certify(&token).status, 200);
    assert_eq!(exchange(&good, "verifier").status, 400, "a code is good once");
}

#[test]
fn the_logs_can_be_read_as_tiles() {
    let bench = Bench::new();
    bench.certify(&bench.token(json!({})));
    for path in ["/api/v2/checkpoint", "/ct/checkpoint", "/rekor-v1/checkpoint"] {
        let text = bench.get(path).message();
        assert!(text.starts_with("127.0.0.1") && text.contains("\n\u{2014} 127.0.0.1"), "{text}");
    }
    assert_eq!(bench.get("/ct/tile/0/000.p/1").body.len(), 32);
    for path in ["/ct/../../authority.toml", "/ct/%2e%2e/entries", "/ct/state", "/api/v2/tile/9/9"]
    {
        assert_eq!(bench.get(path).status, 404, "{path}");
    }
}

#[test]
fn what_operators_look_at() {
    let bench = Bench::new();
    bench.certify(&bench.token(json!({})));
    bench.certify("garbage");
    assert_eq!(bench.get("/readyz").message(), "ready\n");
    assert!(bench.get("/metrics").message().contains("log_stopped{log=\"ct/1\"} 0"));
    let metrics = bench.get("/metrics").message();
    for line in [
        "bulla_authority_certificates_total 1",
        "bulla_authority_log_entries{log=\"ct/1\"} 1",
        "bulla_authority_refusals_total{service=\"certificate\",status=\"401\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert_eq!(bench.get("/api/v2/configuration").json()["issuers"][0]["audience"], "sigstore");
    assert_eq!(bench.get("/nothing").status, 404);
}

/// What a rotation that was killed left behind is in nobody's way.
#[test]
fn a_rotation_that_was_killed_can_be_done_again() {
    let bench = Bench::new();
    let Bench { folder, clock, authority } = bench;
    drop(authority);
    let place = folder.path().join("ca");
    let never = || panic!("the keys are not encrypted");
    let schedule = crate::Schedule {
        announced_for: jiff::SignedDuration::from_hours(1),
        overlap: jiff::SignedDuration::from_hours(2),
    };
    let rotate = || crate::rotate(&place, schedule, &Protection::None, &never, at(super::NOW));
    rotate().unwrap();
    // As if it had been killed before its one step.
    std::fs::rename(place.join("generations/2"), place.join("generations/.2.x.tmp")).unwrap();
    assert_eq!(rotate().unwrap().number, 2);

    // Until it starts the old keys sign; then the new ones do, and the old log takes entries until its end.
    let bench =
        Bench { authority: std::sync::Arc::new(open(&folder, &clock).unwrap()), folder, clock };
    let active = |time: &str| bench.authority.active(at(time)).unwrap().record.number;
    assert_eq!(active("2026-11-20T12:59:59Z"), 1);
    assert_eq!(active("2026-11-20T13:00:00Z"), 2);
    let takes = |number: u32, time: &str| bench.authority.open_generation(number, at(time)).is_ok();
    assert!(takes(1, "2026-11-20T12:00:00Z") && !takes(2, "2026-11-20T12:00:00Z"));
    assert!(takes(1, "2026-11-20T14:59:59Z") && takes(2, "2026-11-20T14:59:59Z"));
    assert!(!takes(1, "2026-11-20T15:00:00Z") && takes(2, "2026-11-20T15:00:00Z"));
}

#[test]
fn it_is_a_witness_of_the_logs_that_are_named() {
    use bulla_log::note::VerifierKey;
    let other = Bench::new();
    let none = other.post("/add-checkpoint", "old 0\n\n");
    assert_eq!(none.status, 404);
    // Its own newer log is the other one here.
    let log = &other.authority.generations()[0].keys.rekor_v2;
    let key = VerifierKey::of_log("127.0.0.1", log.public().clone()).unwrap().to_string();
    let bench = Bench::with(|config| config.witness.logs = vec![key]);
    let checkpoint = other.get("/api/v2/checkpoint").message();
    let request = format!("old 0\n\n{checkpoint}");
    let answer = bench.post("/add-checkpoint", request.clone());
    assert_eq!(answer.status, 200, "{}", answer.message());
    assert!(answer.message().starts_with("\u{2014} 127.0.0.1/witness "), "{}", answer.message());
    let forged = request.replace("\n0\n", "\n1\n");
    assert_eq!(bench.post("/add-checkpoint", forged).status, 403);
    assert_eq!(bench.post("/add-checkpoint", "garbage").status, 400);
}

#[test]
fn rule_17_a_restored_log_does_not_start_below_its_mark() {
    let bench = Bench::new();
    bench.certify(&bench.token(json!({})));
    let Bench { folder, clock, authority } = bench;
    drop(authority);
    let ca = folder.path().join("ca");
    let copy = |from: &str, to: &str| {
        let said = std::process::Command::new("cp")
            .args(["-r", from, to])
            .current_dir(&ca)
            .status()
            .unwrap();
        assert!(said.success());
    };
    copy("logs", "backup");
    let bench =
        Bench { authority: std::sync::Arc::new(open(&folder, &clock).unwrap()), folder, clock };
    bench.certify(&bench.token(json!({})));
    let Bench { folder, clock, authority } = bench;
    drop(authority);
    std::fs::remove_dir_all(ca.join("logs")).unwrap();
    copy("backup", "logs");
    let refused = open(&folder, &clock).unwrap_err().to_string();
    assert!(refused.contains("high-water mark"), "{refused}");
}

/// A backup from before a rotation, while the marks are on another disk and know better.
#[test]
fn an_authority_from_before_its_rotation_neither_starts_nor_rotates() {
    let outside = tempfile::tempdir().unwrap();
    let marks = outside.path().join("marks");
    let bench = Bench::with(|config| config.logs.high_water_marks.clone_from(&marks));
    let Bench { folder, clock, authority } = bench;
    drop(authority);
    let place = folder.path().join("ca");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let said = std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap();
        assert!(said.success());
    };
    let backup = folder.path().join("backup");
    copy(&place, &backup);
    let never = || panic!("the keys are not encrypted");
    let schedule = crate::Schedule {
        announced_for: jiff::SignedDuration::ZERO,
        overlap: jiff::SignedDuration::from_hours(2),
    };
    let rotate = || crate::rotate(&place, schedule, &Protection::None, &never, at(super::NOW));
    rotate().unwrap();
    let bench =
        Bench { authority: std::sync::Arc::new(open(&folder, &clock).unwrap()), folder, clock };
    assert_eq!(bench.certify(&bench.token(json!({}))).status, 200);
    let Bench { folder, clock, authority } = bench;
    drop(authority);
    std::fs::remove_dir_all(&place).unwrap();
    copy(&backup, &place);
    let before = std::fs::read(marks.join("ct-2.mark")).unwrap();
    let refused = open(&folder, &clock).unwrap_err();
    assert!(matches!(refused, OpenError::OldCopy { found: 2, newest: 1, .. }), "{refused}");
    assert!(matches!(rotate(), Err(OpenError::OldCopy { found: 2, newest: 1, .. })));
    assert_eq!(std::fs::read(marks.join("ct-2.mark")).unwrap(), before);
}

#[test]
fn marks_of_a_real_authority_inside_of_it_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ca");
    let mut config = Config::development("Test", "https://sigstore.example.com");
    config.development = false;
    config.issuers = vec!["https://accounts.example.com".parse().unwrap()];
    let make = |config: &Config| init(&place, config, &Protection::None, at(super::NOW));
    assert!(matches!(make(&config), Err(InitError::Config(_))));
    assert!(!place.exists());
    config.logs.high_water_marks = folder.path().join("marks");
    make(&config).unwrap();
    assert!(folder.path().join("marks/ct-1.mark").exists());
}

/// A log whose disk failed takes nothing until it is opened anew, and its checkpoint still reads well.
#[test]
fn an_authority_whose_log_has_stopped_is_not_ready() {
    struct Stopped(std::sync::Arc<dyn crate::logs::Ledger>);
    impl crate::logs::Ledger for Stopped {
        fn append(&self, _: Vec<u8>) -> Result<bulla_log::Included, bulla_log::LogError> {
            Err(super::broken())
        }
        fn prove(&self, index: u64) -> Result<bulla_log::Included, bulla_log::LogError> {
            self.0.prove(index)
        }
        fn entry(&self, index: u64) -> Result<Vec<u8>, bulla_log::LogError> {
            self.0.entry(index)
        }
        fn file(&self, path: &str) -> Result<Option<Vec<u8>>, bulla_log::LogError> {
            self.0.file(path)
        }
        fn stopped(&self) -> Option<bulla_log::LogError> {
            Some(super::broken())
        }
    }
    let mut bench = Bench::new();
    assert_eq!(bench.get("/readyz").status, 200);
    let authority = std::sync::Arc::get_mut(&mut bench.authority).unwrap();
    let logs = &mut authority.generations_mut()[0].logs;
    logs.rekor_v1 = std::sync::Arc::new(Stopped(logs.rekor_v1.clone()));
    assert_eq!(bench.get("/readyz").status, 503);
    let metrics = bench.get("/metrics").message();
    assert!(metrics.contains("log_stopped{log=\"rekor-v1/1\"} 1"), "{metrics}");
    assert!(metrics.contains("log_stopped{log=\"ct/1\"} 0"), "{metrics}");
}

/// Over a real socket: who says nothing, who speaks HTTP/2, and who has connections enough.
#[test]
fn connections_that_ask_nothing_are_closed() {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;
    let bench = Bench::with(|config| config.limits.connections_per_address = 3);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let authority = bench.authority.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(crate::server::serve(&authority, listener, None, std::future::pending()))
    });
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        stream
    };
    // A reset is an end, too.
    let until_closed = |mut stream: TcpStream| {
        let mut said = Vec::new();
        match stream.read_to_end(&mut said) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("it is open, and said {:?}", String::from_utf8_lossy(&said))
            }
            _ => String::from_utf8_lossy(&said).into_owned(),
        }
    };
    let mut first = connect();
    first.write_all(b"GET /healthz HTTP/1.0\r\nhost: x\r\n\r\n").unwrap();
    assert!(until_closed(first).starts_with("HTTP/1.0 200"));
    let mut http2 = connect();
    http2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let said = until_closed(http2);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    // As many as one address may have, all of them answered: those from before may still be on their way out.
    let ask = |stream: &mut TcpStream| {
        let mut answer = [0; 12];
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && &answer == b"HTTP/1.1 200"
    };
    let three = (0..200).find_map(|_| {
        let mut three: Vec<TcpStream> = (0..3).map(|_| connect()).collect();
        if three.iter_mut().all(ask) {
            return Some(three);
        }
        drop(three);
        std::thread::sleep(Duration::from_millis(50));
        None
    });
    let mut three = three.unwrap();
    let mut fourth = connect();
    let _ = fourth.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(until_closed(fourth), "", "one more than one address may have");
    three[0].write_all(b"GET /healthz HTT").unwrap();
    drop(three.pop());
    std::thread::sleep(Duration::from_millis(200));
    let silent = connect();
    for stream in three.into_iter().chain([silent]) {
        until_closed(stream);
    }
    let again = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        ask(&mut connect())
    });
    assert!(again, "places are free again");
}

#[test]
fn reads_have_a_rate_of_their_own() {
    let bench = Bench::with(|config| config.limits.reads_burst = 1);
    let client: std::net::SocketAddr = "192.0.2.1:1".parse().unwrap();
    let router = crate::server::router(&bench.authority)
        .layer(axum::extract::connect_info::MockConnectInfo(client));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let statuses: Vec<_> = (0..20)
        .map(|_| {
            use tower::ServiceExt as _;
            let request = axum::http::Request::get("/healthz").body(axum::body::Body::empty());
            runtime.block_on(router.clone().oneshot(request.unwrap())).unwrap().status().as_u16()
        })
        .collect();
    assert!(statuses[0] == 200 && statuses.contains(&429), "{statuses:?}");
}
