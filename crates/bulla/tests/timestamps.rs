//! RFC 3161 timestamps: with one that is trusted a signature outlives its certificate; any that does not hold
//! refuses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bulla::{
    Compatibility, Failure, KeySigner, Limits, LocalModel, Recipe, SignedBy, SignerName,
    TimeSource, Trust, VerifiedModel, sign, verify,
};
use bulla_testkit::authority::{Issued, authority, signer};
use bulla_testkit::stamps::{Stamp, StampAuthority, Stamped};
use bulla_testkit::{models, refusal, refused, work};

/// Certificates are of 2026; the checks are long after.
const LATER: &str = "2031-01-01T00:00:00Z";
const THEN: &str = "20261120120000Z";

struct Case {
    folder: tempfile::TempDir,
    root: Issued,
    time: StampAuthority,
    bundle: Vec<u8>,
}

/// A model signed with a certificate, and stamps over the signature.
fn case(time: StampAuthority, stamps: impl Fn(&StampAuthority, &[u8]) -> Vec<Vec<u8>>) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let root = Issued::root(authority("Root"));
    let team = root.issue(signer("Team"));
    let signer = Stamped { signer: team.signer(&[]), stamps: |s: &[u8]| stamps(&time, s) };
    let source = LocalModel::open(&model).unwrap();
    let signed = sign::sign(
        &source,
        &Recipe::default(),
        Compatibility::Specification,
        &signer,
        sign::Known::Nothing,
        &Limits::default(),
        work(),
    );
    let bundle = signed.unwrap().bundle;
    Case { folder, root, time, bundle }
}

impl Case {
    fn trust(&self) -> Trust {
        let name = SignerName::parse("team@example.com").unwrap();
        let roots = vec![self.root.certificate.clone()];
        Trust::certificate_authorities(roots, Some(name)).unwrap()
    }

    fn with_time(&self) -> Trust {
        self.trust().with_timestamp_roots(vec![self.time.root.certificate.clone()])
    }

    fn verify(&self, trust: &Trust, now: &str) -> Result<VerifiedModel<LocalModel>, Failure> {
        self.verify_bundle(&self.bundle, trust, now)
    }

    fn verify_bundle(
        &self,
        bundle: &[u8],
        trust: &Trust,
        now: &str,
    ) -> Result<VerifiedModel<LocalModel>, Failure> {
        verify::verify(
            bundle,
            LocalModel::open(&self.folder.path().join("model")).unwrap(),
            trust,
            now.parse().unwrap(),
            &bulla::Options::default(),
            &Limits::default(),
            work(),
        )
    }
}

fn one(stamp: impl Fn(Stamp) -> Stamp) -> impl Fn(&StampAuthority, &[u8]) -> Vec<Vec<u8>> {
    move |time, signature| vec![time.stamp(&stamp(Stamp::of(signature, THEN)))]
}

#[test]
fn a_trusted_time_keeps_a_signature_beyond_its_certificate() {
    let case = case(StampAuthority::default(), one(|stamp| stamp));
    // Without anybody to believe about the time, the certificate has expired.
    assert_eq!(refused(case.verify(&case.trust(), LATER)), ["certificate-expired"; 2]);
    let verified = case.verify(&case.with_time(), LATER).unwrap();
    let claim = verified.claim();
    assert_eq!(claim.checked_at().to_string(), "2026-11-20T12:00:00Z");
    let [time] = claim.times() else { panic!() };
    assert_eq!(time.source, TimeSource::Timestamp("CN=Time".into()));
    assert!(matches!(claim.signed_by(), SignedBy::Certificate(_)));
}

/// Rule 8: a stamp can make a signature older, never younger, so the earliest time counts.
#[test]
fn rule_8_a_stamp_never_makes_a_signature_younger() {
    // Before the certificate was valid: whoever signed had no certificate then.
    let early = case(StampAuthority::default(), |time, signature| {
        let times = ["20251231235959Z", THEN];
        times.map(|at| time.stamp(&Stamp::of(signature, at))).to_vec()
    });
    let result = early.verify(&early.with_time(), LATER);
    assert_eq!(refused(result), ["certificate-not-yet-valid"; 2]);
    // After it had expired: stamped anew, it is not renewed.
    let late = case(
        StampAuthority::default(),
        one(|stamp| Stamp { time: "20270101000001Z".into(), ..stamp }),
    );
    assert_eq!(refused(late.verify(&late.with_time(), LATER)), ["certificate-expired"; 2]);
}

#[test]
fn fractions_of_a_second_are_read() {
    let case = case(
        StampAuthority::default(),
        one(|stamp| Stamp { time: "20261120120000.25Z".into(), ..stamp }),
    );
    let verified = case.verify(&case.with_time(), LATER).unwrap();
    assert_eq!(verified.claim().checked_at().to_string(), "2026-11-20T12:00:00.25Z");
}

#[test]
fn times_that_are_none_are_refused() {
    for bad in [
        "20261120120000",
        "20261120120000.Z",
        "20261120120000.50Z",
        "20261120120000.5",
        "20261320120000Z",
        "2026112012Z",
        "20261120120000.5xZ",
        "20261120120000+0100",
        "",
        "99999999999999Z",
    ] {
        let case =
            case(StampAuthority::default(), one(|stamp| Stamp { time: bad.into(), ..stamp }));
        assert_eq!(
            refused(case.verify(&case.with_time(), LATER)),
            ["timestamp-malformed"],
            "{bad}"
        );
    }
}

#[test]
fn a_bare_token_and_a_response_are_read() {
    for status in [None, Some(0), Some(1)] {
        let case = case(StampAuthority::default(), one(|stamp| Stamp { status, ..stamp }));
        case.verify(&case.with_time(), LATER).unwrap();
    }
    let case = case(StampAuthority::default(), one(|s| Stamp { status: Some(2), ..s }));
    assert_eq!(refused(case.verify(&case.with_time(), LATER)), ["timestamp-not-granted"]);
}

#[test]
fn a_stamp_of_another_signature_is_refused() {
    let case = case(StampAuthority::default(), |time, _| vec![time.stamp(&Stamp::of(b"x", THEN))]);
    assert_eq!(refused(case.verify(&case.with_time(), LATER)), ["timestamp-for-other-signature"]);
}

#[test]
fn a_time_that_was_changed_is_refused() {
    let case = case(
        StampAuthority::default(),
        one(|stamp| Stamp { changed_time: Some("20261119120000Z".into()), ..stamp }),
    );
    assert_eq!(refused(case.verify(&case.with_time(), LATER)), ["timestamp-bad-signature"]);
}

#[test]
fn a_stamp_of_somebody_else_is_refused() {
    let case = case(StampAuthority::default(), one(|stamp| stamp));
    let other = StampAuthority::below("Other root", |_| {});
    let trust = case.trust().with_timestamp_roots(vec![other.root.certificate.clone()]);
    let text = refusal(case.verify(&trust, LATER));
    assert!(text.contains("none of the trusted timestamp authorities (but by CN=Time)"), "{text}");
    // A good one beside it does not help: what is there has to hold.
    let two = self::case(StampAuthority::default(), move |time, signature| {
        [time, &other].map(|authority| authority.stamp(&Stamp::of(signature, THEN))).to_vec()
    });
    assert_eq!(refused(two.verify(&two.with_time(), LATER)), ["timestamp-unknown-authority"]);
}

#[test]
fn a_stamp_from_the_future_is_refused() {
    let case = case(StampAuthority::default(), one(|stamp| stamp));
    // Clocks differ by a minute.
    case.verify(&case.with_time(), "2026-11-20T11:59:00Z").unwrap();
    let result = case.verify(&case.with_time(), "2026-11-20T11:58:59Z");
    assert_eq!(refused(result), ["timestamp-future"]);
}

#[test]
fn a_stamp_without_its_certificate_needs_it_to_be_named() {
    let case = case(StampAuthority::default(), one(|s| Stamp { with_certificate: false, ..s }));
    assert_eq!(refused(case.verify(&case.with_time(), LATER)), ["timestamp-unknown-authority"]);
    let named = [&case.time.root, &case.time.leaf].map(|c| c.certificate.clone()).to_vec();
    case.verify(&case.trust().with_timestamp_roots(named), LATER).unwrap();
}

/// RFC 5816: the signed attributes name the certificate that was meant.
#[test]
fn a_certificate_that_was_not_meant_is_refused() {
    let good = case(StampAuthority::default(), |time, signature| {
        let meant = Some(time.leaf.certificate.to_der().to_vec());
        vec![time.stamp(&Stamp { meant, ..Stamp::of(signature, THEN) })]
    });
    good.verify(&good.with_time(), LATER).unwrap();
    let bad = case(StampAuthority::default(), one(|s| Stamp { meant: Some(vec![1]), ..s }));
    assert_eq!(refused(bad.verify(&bad.with_time(), LATER)), ["timestamp-bad-signature"]);
    let other =
        case(StampAuthority::default(), one(|s| Stamp { content_type: vec![0x2a, 3, 4], ..s }));
    assert_eq!(refused(other.verify(&other.with_time(), LATER)), ["timestamp-bad-signature"]);
}

/// A certificate that may do other things than tell the time.
#[test]
fn authorities_that_are_none_are_refused() {
    use rcgen::ExtendedKeyUsagePurpose as Use;
    let spoilt: [fn(&mut rcgen::CertificateParams); 5] = [
        |p| p.extended_key_usages.clear(),
        |p| p.extended_key_usages = vec![Use::CodeSigning],
        |p| p.extended_key_usages = vec![Use::TimeStamping, Use::CodeSigning],
        |p| p.key_usages = vec![rcgen::KeyUsagePurpose::KeyAgreement],
        |p| p.not_after = time::macros::datetime!(2026-11-20 11:59:59 UTC),
    ];
    for spoil in spoilt {
        let case = case(StampAuthority::new(spoil), one(|stamp| stamp));
        let codes = refused(case.verify(&case.with_time(), LATER));
        assert_eq!(codes, ["timestamp-certificate"]);
    }
}

#[test]
fn every_changed_byte_of_a_stamp_is_refused_or_says_the_same() {
    let case = case(StampAuthority::default(), one(|stamp| stamp));
    let bundle: serde_json::Value = serde_json::from_slice(&case.bundle).unwrap();
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let place =
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
    let token = STANDARD.decode(bundle.pointer(place).unwrap().as_str().unwrap()).unwrap();
    for at in 0..token.len() {
        let mut changed = token.clone();
        changed[at] ^= 1;
        let mut copy = bundle.clone();
        *copy.pointer_mut(place).unwrap() = STANDARD.encode(&changed).into();
        let copy = serde_json::to_vec(&copy).unwrap();
        let result = case.verify_bundle(&copy, &case.with_time(), LATER);
        if let Ok(verified) = result {
            assert_eq!(verified.claim().checked_at().to_string(), "2026-11-20T12:00:00Z");
        }
    }
}

/// For a key the time changes nothing now, and is told; a stamp that does not hold refuses all the same.
#[test]
fn a_key_signature_with_a_stamp() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let pair = bulla::KeyPair::generate(bulla::KeyAlgorithm::EcdsaP384).unwrap();
    let key = pair.public().clone();
    let time = StampAuthority::default();
    let signer = Stamped {
        signer: KeySigner::new(pair),
        stamps: |s: &[u8]| vec![time.stamp(&Stamp::of(s, THEN))],
    };
    let bundle = sign::sign(
        &LocalModel::open(&model).unwrap(),
        &Recipe::default(),
        Compatibility::Specification,
        &signer,
        sign::Known::Nothing,
        &Limits::default(),
        work(),
    );
    let bundle = bundle.unwrap().bundle;
    let verify = |trust: &Trust| {
        verify::verify(
            &bundle,
            LocalModel::open(&model).unwrap(),
            trust,
            LATER.parse().unwrap(),
            &bulla::Options::default(),
            &Limits::default(),
            work(),
        )
    };
    let trust = Trust::keys(vec![key]).unwrap();
    assert!(verify(&trust).unwrap().claim().times().is_empty());
    let believed = trust.clone().with_timestamp_roots(vec![time.root.certificate.clone()]);
    assert_eq!(verify(&believed).unwrap().claim().times().len(), 1);
    let other = StampAuthority::below("Other root", |_| {}).root.certificate;
    let other = trust.with_timestamp_roots(vec![other]);
    assert_eq!(refused(verify(&other)), ["timestamp-unknown-authority"]);
}

#[test]
fn an_answer_is_for_the_request() {
    let time = StampAuthority::default();
    let stamp = |nonce: Option<&[u8]>| {
        time.stamp(&Stamp { nonce: nonce.map(<[u8]>::to_vec), ..Stamp::of(b"signature", THEN) })
    };
    assert!(bulla::check_response(&stamp(Some(&[0x80, 1])), b"signature", &[0, 0x80, 1]).is_ok());
    assert!(bulla::check_response(&stamp(Some(&[2])), b"signature", &[1]).is_err());
    assert!(bulla::check_response(&stamp(None), b"signature", &[1]).is_err());
    assert!(bulla::check_response(&stamp(Some(&[1])), b"other", &[1]).is_err());
    assert!(bulla::check_response(b"", b"signature", &[1]).is_err());
}
