//! What was withdrawn, in every role that it can have.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::sign::attest;
use bulla::statement::descriptor::ResourceDescriptor;
use bulla::statement::other::Other;
use bulla::{
    Digest, HashAlgorithm, IdentityRule, KeyAlgorithm, KeyPair, KeySigner, Limits, Predicate,
    Reason, Refusal, Revocations, Revoked, RevokedIdentity, Signer, SigstoreRoot, Statement, Trust,
    UnverifiedBundle,
};
use bulla_testkit::authority::{Issued, authority, signer};
use bulla_testkit::now;
use bulla_testkit::stamps::{Stamp, StampAuthority, Stamped};
use proptest::prelude::*;
use serde_json::json;

/// now() is 12:00; this is an hour before.
const STAMPED: &str = "20261120110000Z";
const BEFORE: &str = "2026-11-20T10:30:00Z";
const BETWEEN: &str = "2026-11-20T11:30:00Z";
const AFTER: &str = "2026-11-20T12:30:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn since(text: &str) -> Revoked {
    Revoked { since: Some(time(text)), reason: "laptop stolen".into() }
}

fn ever() -> Revoked {
    Revoked { since: None, reason: "never ours".into() }
}

fn bundle(signer: &dyn Signer) -> Vec<u8> {
    let subject = ResourceDescriptor::of_file("m", &Digest::sha256(b"m"));
    let other = Other::new("https://cyclonedx.org/bom", json!({ "bomFormat": "CycloneDX" }));
    let statement = Statement::about(subject, Predicate::Other(other.unwrap()));
    attest(&statement, &signer, &Limits::default()).unwrap().bundle
}

/// `yes`, or the codes of what is wrong.
fn check(bundle: &[u8], trust: &Trust, revocations: &Revocations) -> String {
    match authenticate(bundle, trust, revocations) {
        Ok(()) => "yes".into(),
        Err(refusal) => refusal.reasons().map(Reason::code).collect::<Vec<_>>().join(" "),
    }
}

fn authenticate(bundle: &[u8], trust: &Trust, revocations: &Revocations) -> Result<(), Refusal> {
    let trust = trust.clone().with_revocations(Arc::new(revocations.clone()));
    let bundle = UnverifiedBundle::parse(bundle, &Limits::default()).unwrap();
    bundle.authenticate(&trust, now(), &Limits::default()).map(drop)
}

/// Signatures by a key: one with a stamp, one without.
struct ByKey {
    clock: StampAuthority,
    key: Digest,
    trust: Trust,
    stamped: Vec<u8>,
    plain: Vec<u8>,
}

impl ByKey {
    fn new() -> Self {
        let clock = StampAuthority::default();
        let pair = || KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let pair = pair();
        let public = pair.public().clone();
        let signer = KeySigner::new(pair);
        let plain = bundle(&signer);
        let stamps = |signature: &[u8]| vec![clock.stamp(&Stamp::of(signature, STAMPED))];
        let stamped = bundle(&Stamped { signer, stamps });
        let roots = vec![clock.root.certificate.clone()];
        let trust = Trust::keys(vec![public.clone()]).unwrap().with_timestamp_roots(roots);
        Self { clock, key: public.fingerprint(), trust, stamped, plain }
    }

    fn with(&self, revoke: impl FnOnce(&mut Revocations)) -> [String; 2] {
        let mut revocations = Revocations::default();
        revoke(&mut revocations);
        [&self.stamped, &self.plain].map(|bundle| check(bundle, &self.trust, &revocations))
    }
}

#[test]
fn a_key_as_of_a_time() {
    let case = ByKey::new();
    assert_eq!(case.with(|_| {}), ["yes", "yes"]);
    // What a trusted time puts before stays; what comes after falls; what has no trusted time falls.
    assert_eq!(case.with(|r| r.key(case.key, since(BETWEEN))), ["yes", "revoked"]);
    assert_eq!(case.with(|r| r.key(case.key, since(BEFORE))), ["revoked", "revoked"]);
    assert_eq!(case.with(|r| r.key(case.key, since("2026-11-20T11:00:00Z")))[0], "revoked");
    assert_eq!(case.with(|r| r.key(case.key, ever())), ["revoked", "revoked"]);
    // What will be is not yet.
    assert_eq!(case.with(|r| r.key(case.key, since(AFTER))), ["yes", "yes"]);
    // The earlier of two entries counts, whichever comes first.
    let both = |one: Revoked, other: Revoked| {
        case.with(|r| {
            r.key(case.key, one);
            r.key(case.key, other);
        })
    };
    assert_eq!(both(since(BEFORE), since(BETWEEN)), ["revoked", "revoked"]);
    assert_eq!(both(since(BETWEEN), since(BEFORE)), ["revoked", "revoked"]);
    assert_eq!(both(since(BETWEEN), ever()), ["revoked", "revoked"]);
    assert_eq!(both(ever(), since(BETWEEN)), ["revoked", "revoked"]);
    let another = Digest::sha256(b"another");
    assert_eq!(case.with(|r| r.key(another, ever())), ["yes", "yes"]);
}

#[test]
fn what_a_refusal_says() {
    let case = ByKey::new();
    let mut revocations = Revocations::default();
    revocations.key(case.key, since(BETWEEN));
    let said = authenticate(&case.plain, &case.trust, &revocations).unwrap_err().to_string();
    assert_eq!(
        said,
        format!(
            "it rests on the key {}, which was revoked as of {BETWEEN} (laptop stolen); nobody trusted says that the signature is older",
            case.key
        )
    );
    revocations.key(case.key, since(BEFORE));
    let said = authenticate(&case.stamped, &case.trust, &revocations).unwrap_err().to_string();
    assert!(said.ends_with("time of the signature is 2026-11-20T11:00:00Z"), "{said}");
}

/// With a stolen key of an authority every time can be written: none of its stamps counts, from whenever.
#[test]
fn a_timestamp_authority() {
    let case = ByKey::new();
    let (root, leaf) = (&case.clock.root.certificate, &case.clock.leaf.certificate);
    for of_clock in [root, leaf] {
        for by_key in [true, false] {
            for revoked in [since(AFTER), since(BEFORE), ever()] {
                let said = case.with(|r| {
                    r.key(case.key, since(BETWEEN));
                    match by_key {
                        true => r.key(of_clock.public_key().unwrap().fingerprint(), revoked),
                        false => r.authority(of_clock.fingerprint(), revoked),
                    }
                });
                assert_eq!(said, ["revoked", "revoked"]);
            }
        }
    }
    // By itself it only takes the time away.
    assert_eq!(case.with(|r| r.authority(root.fingerprint(), ever())), ["yes", "yes"]);
}

#[test]
fn a_certificate_authority() {
    let clock = StampAuthority::default();
    let root = Issued::root(authority("Root"));
    let middle = root.issue(authority("Middle"));
    let team = middle.issue(signer("Team"));
    let stamps = |signature: &[u8]| vec![clock.stamp(&Stamp::of(signature, STAMPED))];
    let stamped = bundle(&Stamped { signer: team.signer(&[&middle]), stamps });
    let plain = bundle(&team.signer(&[&middle]));
    let trust = Trust::certificate_authorities(vec![root.certificate.clone()], None).unwrap();
    let trust = trust.with_timestamp_roots(vec![clock.root.certificate.clone()]);
    for one in [&root, &middle, &team] {
        for by_key in [true, false] {
            for (revoked, expected) in [
                (since(BETWEEN), ["yes", "revoked"]),
                (since(BEFORE), ["revoked", "revoked"]),
                (since(AFTER), ["yes", "yes"]),
                (ever(), ["revoked", "revoked"]),
            ] {
                let mut revocations = Revocations::default();
                let certificate = &one.certificate;
                match by_key {
                    true => {
                        revocations.key(certificate.public_key().unwrap().fingerprint(), revoked);
                    }
                    false => revocations.authority(certificate.fingerprint(), revoked),
                }
                let said = [&stamped, &plain].map(|one| check(one, &trust, &revocations));
                assert_eq!(said, expected, "{}", certificate.subject());
            }
        }
    }
}

fn window(
    identity: &str,
    provider: Option<&str>,
    from: Option<&str>,
    until: Option<&str>,
) -> Revocations {
    let mut revocations = Revocations::default();
    revocations.identity(RevokedIdentity {
        identity: identity.into(),
        provider: provider.map(str::to_owned),
        from: from.map(time),
        until: until.map(time),
        reason: "the account was taken over".into(),
    });
    revocations
}

/// A certificate of a year says little of when it was used: only one that begins later is beyond the window.
#[test]
fn the_name_in_a_certificate() {
    let clock = StampAuthority::default();
    let root = Issued::root(authority("Root"));
    let team = root.issue(signer("Team"));
    let stamps = |signature: &[u8]| vec![clock.stamp(&Stamp::of(signature, STAMPED))];
    let stamped = bundle(&Stamped { signer: team.signer(&[]), stamps });
    let trust = Trust::certificate_authorities(vec![root.certificate.clone()], None).unwrap();
    let trust = trust.with_timestamp_roots(vec![clock.root.certificate.clone()]);
    let (valid_from, _) = team.certificate.validity();
    let valid_from = valid_from.to_string();
    let said = |identity, provider, from, until| {
        check(&stamped, &trust, &window(identity, provider, from, until))
    };
    let team = "team@example.com";
    assert_eq!(said(team, None, None, None), "revoked");
    assert_eq!(said("TEAM@Example.com", None, None, None), "revoked");
    assert_eq!(said("other@example.com", None, None, None), "yes");
    assert_eq!(said(team, Some("https://idp.example"), None, None), "yes", "it has no provider");
    assert_eq!(said(team, None, Some(BETWEEN), None), "yes");
    assert_eq!(said(team, None, Some(BEFORE), None), "revoked");
    assert_eq!(said(team, None, Some(BEFORE), Some(BETWEEN)), "revoked");
    // Stamped after the window, and perhaps made in it.
    assert_eq!(said(team, None, None, Some(BEFORE)), "revoked");
    assert_eq!(said(team, None, None, Some(&valid_from)), "yes");
}

/// A signature of Sigstore's public instance, of 2025-10-10T02:12:20Z.
#[test]
fn an_identity_of_sigstore() {
    let vector = include_bytes!("data/oms-vectors/v1.1.0-sigstore/model.sig");
    let text = include_bytes!("data/sigstore/trusted_root.json");
    let root = SigstoreRoot::from_json("the root", text, &Limits::default()).unwrap();
    let (identity, provider) = ("stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2");
    let rule = IdentityRule::new(identity, provider).unwrap();
    let trust = Trust::sigstore(root, vec![rule]).unwrap();
    let said = |revocations: &Revocations| check(vector, &trust, revocations);
    assert_eq!(said(&Revocations::default()), "yes");
    for (from, until, expected) in [
        (None, None, "revoked"),
        (Some("2025-10-10T02:12:21Z"), None, "yes"),
        (Some("2025-10-10T02:12:00Z"), Some("2025-10-10T02:13:00Z"), "revoked"),
        (None, Some("2025-10-10T02:00:00Z"), "yes"),
    ] {
        assert_eq!(said(&window(identity, Some(provider), from, until)), expected, "{from:?}");
        assert_eq!(said(&window(identity, None, from, until)), expected, "{from:?}");
    }
    assert_eq!(said(&window(identity, Some("https://accounts.google.com"), None, None)), "yes");

    // Every certificate and log that the root lists.
    use base64::Engine as _;
    let base64 = |text: &serde_json::Value| {
        base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
    };
    let listed: serde_json::Value = serde_json::from_slice(text).unwrap();
    let certificates = |list: &str| -> Vec<Digest> {
        let entries = listed[list].as_array().unwrap().iter();
        let all = entries.flat_map(|entry| entry["certChain"]["certificates"].as_array().unwrap());
        all.map(|one| Digest::sha256(&base64(&one["rawBytes"]))).collect()
    };
    let on_the_way = certificates("certificateAuthorities").into_iter().filter(|one| {
        let mut revocations = Revocations::default();
        revocations.authority(*one, ever());
        said(&revocations) == "revoked"
    });
    assert_eq!(on_the_way.count(), 2, "the issuing authority and its root");
    // A clock that is withdrawn leaves the other; without any there is no time at all.
    let mut clocks = Revocations::default();
    certificates("timestampAuthorities").iter().for_each(|one| clocks.authority(*one, ever()));
    assert_eq!(said(&clocks), "yes");
    for log in listed["tlogs"].as_array().unwrap() {
        let id = base64(&log["logId"]["keyId"]);
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        clocks.key(Digest::from_hex(HashAlgorithm::Sha256, &hex).unwrap(), ever());
    }
    assert_eq!(said(&clocks), "no-trusted-time");
}

proptest! {
    /// Adding a revocation never turns a "no" into a "yes"; nor does time that passes.
    #[test]
    fn more_revocations_never_help(
        entries in proptest::collection::vec((0_usize..6, any::<bool>(), proptest::option::of(-3_i64..4)), 0..6),
        split in 0_usize..6,
        hours in 0_i64..4,
    ) {
        let case = &*CASE;
        let things = [
            case.key,
            case.clock.root.certificate.fingerprint(),
            case.clock.root.certificate.public_key().unwrap().fingerprint(),
            case.clock.leaf.certificate.fingerprint(),
            case.clock.leaf.certificate.public_key().unwrap().fingerprint(),
            Digest::sha256(b"another"),
        ];
        let half = |hours: i64| now() + SignedDuration::from_mins(30 * hours);
        let add = |list: &mut Revocations, &(thing, by_key, since): &(usize, bool, Option<i64>)| {
            let revoked = Revoked { since: since.map(half), reason: "x".into() };
            match by_key {
                true => list.key(things[thing], revoked),
                false => list.authority(things[thing], revoked),
            }
        };
        let split = split.min(entries.len());
        let (mut fewer, mut rest) = (Revocations::default(), Revocations::default());
        entries[..split].iter().for_each(|entry| add(&mut fewer, entry));
        entries[split..].iter().for_each(|entry| add(&mut rest, entry));
        let mut more = fewer.clone();
        more.unite(&rest);
        for bundle in [&case.stamped, &case.plain] {
            let yes = |list: &Revocations, at: Timestamp| {
                let trust = case.trust.clone().with_revocations(Arc::new(list.clone()));
                let bundle = UnverifiedBundle::parse(bundle, &Limits::default()).unwrap();
                bundle.authenticate(&trust, at, &Limits::default()).is_ok()
            };
            prop_assert!(!yes(&more, now()) || yes(&fewer, now()));
            prop_assert!(!yes(&fewer, half(hours)) || yes(&fewer, now()));
        }
    }
}

static CASE: std::sync::LazyLock<ByKey> = std::sync::LazyLock::new(ByKey::new);
