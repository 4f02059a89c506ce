//! Parties: who may have made a statement, and by whose clock it counts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bulla::lineage::{Held, Rules, Stated, Stored, counting};
use bulla::party::{self, MaySign, Party};
use bulla::sign::attest;
use bulla::statement::descriptor::ResourceDescriptor;
use bulla::statement::other::Other;
use bulla::{
    Digest, KeyAlgorithm, KeyPair, KeySigner, Limits, Predicate, PublicKey, Reason, Statement,
    UnverifiedBundle,
};
use bulla_testkit::now;
use bulla_testkit::stamps::{Stamp, StampAuthority, Stamped};
use serde_json::json;

const TYPE: &str = "https://cyclonedx.org/bom";

struct Case {
    time: StampAuthority,
    key: PublicKey,
    bundle: Vec<u8>,
}

/// A statement whose signature was stamped an hour before now.
fn case() -> Case {
    let time = StampAuthority::default();
    let key = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let public = key.public().clone();
    let signer = Stamped {
        signer: KeySigner::new(key),
        stamps: |signature: &[u8]| vec![time.stamp(&Stamp::of(signature, "20261120110000Z"))],
    };
    let subject = ResourceDescriptor::of_file("m", &Digest::sha256(b"m"));
    let predicate = Other::new(TYPE, json!({ "bomFormat": "CycloneDX" })).unwrap();
    let statement = Statement::about(subject, Predicate::Other(predicate));
    let bundle = attest(&statement, &signer, &Limits::default()).unwrap().bundle;
    Case { time, key: public, bundle }
}

impl Case {
    fn party(&self, id: &str, with_time: bool, may_sign: &[&str]) -> Party {
        let mut party =
            Party::of_key(id, self.key.clone(), MaySign::only(may_sign.iter().copied())).unwrap();
        if with_time {
            let roots = vec![self.time.root.certificate.clone()];
            party.trust = party.trust.with_timestamp_roots(roots);
        }
        party
    }

    fn stated(&self, parties: Vec<Party>) -> (Vec<Stated>, Vec<String>) {
        let held = Held { claims: vec![Stored::Bytes(self.bundle.clone())], ..Held::default() };
        counting(vec![held], &Rules::new(parties), now(), &Limits::default()).unwrap()
    }
}

/// Another entry of the same key, which may sign something else and knows no timestamp authority, changes nothing.
#[test]
fn the_time_of_a_statement_is_that_of_a_party_that_may_make_it() {
    let case = case();
    let knows = case.party("knows", false, &["dataset"]);
    let may = case.party("may", true, &[TYPE]);
    for parties in [vec![knows.clone(), may.clone()], vec![may, knows]] {
        let (stated, passed_over) = case.stated(parties);
        assert!(passed_over.is_empty(), "{passed_over:?}");
        assert!(stated[0].parties.iter().eq(["may"]));
        assert_eq!(stated[0].claim.checked_at().to_string(), "2026-11-20T11:00:00Z");
        assert_eq!(stated[0].claim.times().len(), 1);
    }
}

#[test]
fn a_statement_by_one_who_may_not_make_it() {
    let case = case();
    let (stated, passed_over) = case.stated(vec![case.party("ana", true, &["oms", "provenance"])]);
    assert!(stated.is_empty());
    assert!(passed_over[0].contains("ana"), "{passed_over:?}");
    let (stated, _) =
        case.stated(vec![Party { may_sign: MaySign::Anything, ..case.party("ana", true, &[]) }]);
    assert_eq!(stated.len(), 1);
}

/// The window is of the time at which the party's own trust says that it was signed.
#[test]
fn a_party_whose_time_is_over_or_has_not_come() {
    let case = case();
    let window = |from: Option<&str>, until: Option<&str>, with_time| {
        let time = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        let party =
            Party { valid: (time(from), time(until)), ..case.party("ana", with_time, &[TYPE]) };
        let bundle = UnverifiedBundle::parse(&case.bundle, &Limits::default()).unwrap();
        match party::authenticate(bundle, [&party], now(), &Limits::default()) {
            Ok(_) => "counts".to_owned(),
            Err(refusal) => refusal.reasons().map(Reason::code).collect::<Vec<_>>().join(" "),
        }
    };
    // now() is 12:00; the stamp says 11:00.
    let half_past = Some("2026-11-20T11:30:00Z");
    assert_eq!(window(None, half_past, true), "counts");
    assert_eq!(window(None, half_past, false), "not-in-force");
    assert_eq!(window(half_past, None, true), "not-in-force");
    assert_eq!(window(half_past, None, false), "counts");
}

/// One that is nearly right says more than many that are somebody else's.
#[test]
fn a_refusal_tells_of_whoever_nearly_accepts() {
    let case = case();
    let others = (0..3).map(|n| {
        let key = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap().public().clone();
        Party::of_key(format!("other-{n}"), key, MaySign::Anything).unwrap()
    });
    let others: Vec<Party> = others.collect();
    let over = Party {
        valid: (None, Some("2020-01-01T00:00:00Z".parse().unwrap())),
        ..case.party("ana", true, &[TYPE])
    };
    let codes = |parties: &[Party]| {
        let bundle = UnverifiedBundle::parse(&case.bundle, &Limits::default()).unwrap();
        let refusal = party::authenticate(bundle, parties, now(), &Limits::default()).unwrap_err();
        refusal.reasons().map(Reason::code).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(codes(&others), "not-by-any-party");
    let all: Vec<Party> = others.into_iter().chain([over]).collect();
    assert_eq!(codes(&all), "not-in-force");
    let nobody: [&Party; 0] = [];
    let bundle = UnverifiedBundle::parse(&case.bundle, &Limits::default()).unwrap();
    assert!(party::authenticate(bundle, nobody, now(), &Limits::default()).is_err());
}
