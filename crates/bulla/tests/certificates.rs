//! The rules for certificates: one vector for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bulla::sign::Signer;
use bulla::{
    Certificate, CertificateSigner, Failure, Limits, LocalModel, Recipe, SignerName, Trust,
    VerifiedModel, verify,
};
use bulla_testkit::authority::{Issued, authority, signer};
use bulla_testkit::{models, now, refused, work};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints,
};
use time::macros::datetime;

/// Root, intermediate and signer, each as a test wants it.
struct Chain {
    root: Issued,
    middle: Issued,
    leaf: Issued,
}

impl Chain {
    fn new(
        root: impl FnOnce(&mut CertificateParams),
        middle: impl FnOnce(&mut CertificateParams),
        leaf: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let (mut r, mut m, mut l) =
            (authority("Root"), authority("Intermediate"), signer("Signer"));
        root(&mut r);
        middle(&mut m);
        leaf(&mut l);
        let root = Issued::root(r);
        let middle = root.issue(m);
        let leaf = middle.issue(l);
        Self { root, middle, leaf }
    }

    fn good() -> Self {
        Self::new(|_| (), |_| (), |_| ())
    }

    fn verify(&self) -> Result<VerifiedModel<LocalModel>, Failure> {
        check(&self.leaf.signer(&[&self.middle]), &[&self.root], None, now())
    }
}

fn check(
    signer: &dyn Signer,
    roots: &[&Issued],
    name: Option<&str>,
    at: jiff::Timestamp,
) -> Result<VerifiedModel<LocalModel>, Failure> {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("model/a", b"1")]);
    let model = folder.path().join("model");
    let limits = Limits::default();
    let signed = bulla::sign::sign(
        &LocalModel::open(&model).unwrap(),
        &Recipe::default(),
        bulla::Compatibility::Specification,
        signer,
        bulla::sign::Known::Nothing,
        &limits,
        work(),
    )
    .unwrap();
    let roots = roots.iter().map(|r| r.certificate.clone()).collect();
    let name = name.map(|n| SignerName::parse(n).unwrap());
    let trust = Trust::certificate_authorities(roots, name).unwrap();
    let source = LocalModel::open(&model).unwrap();
    verify::verify(&signed.bundle, source, &trust, at, &verify::Options::default(), &limits, work())
}

#[test]
fn a_good_chain() {
    let chain = Chain::good();
    let verified = chain.verify().unwrap();
    let bulla::SignedBy::Certificate(by) = verified.claim().signed_by() else {
        panic!("signed by a certificate");
    };
    assert!(by.subject.contains("Signer"));
    assert_eq!(by.names.len(), 3);
    assert_eq!(by.path.subjects.len(), 3);
    // With the root in the bundle, in any order, or straight from the root.
    let Chain { root, middle, leaf } = &chain;
    check(&leaf.signer(&[root, middle]), &[root], None, now()).unwrap();
    check(&root.issue(signer("Direct")).signer(&[]), &[root], None, now()).unwrap();
    // The intermediate, too, may be what is named.
    check(&leaf.signer(&[]), &[middle], None, now()).unwrap();
    // Any of several authorities.
    let other = Issued::root(authority("Other"));
    check(&leaf.signer(&[middle]), &[&other, root], None, now()).unwrap();
}

#[test]
fn wrong_authority() {
    let chain = Chain::good();
    let other = Issued::root(authority("Other"));
    let result = check(&chain.leaf.signer(&[&chain.middle]), &[&other], None, now());
    assert_eq!(refused(result), ["certificate-no-authority"]);
    // One with the same name.
    let twin = Issued::root(authority("Root"));
    let result = check(&chain.leaf.signer(&[&chain.middle]), &[&twin], None, now());
    assert_eq!(refused(result), ["certificate-bad-signature"]);
}

#[test]
fn missing_intermediate() {
    let chain = Chain::good();
    let result = check(&chain.leaf.signer(&[]), &[&chain.root], None, now());
    assert_eq!(refused(result), ["certificate-no-authority"]);
}

#[test]
fn another_ones_intermediate() {
    let (chain, other) = (Chain::good(), Chain::good());
    let result = check(&chain.leaf.signer(&[&other.middle]), &[&chain.root], None, now());
    assert_eq!(refused(result), ["certificate-bad-signature"]);
}

#[test]
fn trap_8_expired_or_not_yet_valid() {
    for (at, code) in [
        ("2025-12-31T23:59:59Z", "certificate-not-yet-valid"),
        ("2027-01-01T00:00:01Z", "certificate-expired"),
    ] {
        let chain = Chain::good();
        let at = at.parse().unwrap();
        let result = check(&chain.leaf.signer(&[&chain.middle]), &[&chain.root], None, at);
        assert_eq!(refused(result), [code; 3], "signer, intermediate and root");
    }
    // Both ends are included.
    for at in ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"] {
        let chain = Chain::good();
        check(&chain.leaf.signer(&[&chain.middle]), &[&chain.root], None, at.parse().unwrap())
            .unwrap();
    }
}

#[test]
fn expired_signer() {
    let chain = Chain::new(|_| (), |_| (), |c| c.not_after = datetime!(2026-06-01 0:00 UTC));
    assert_eq!(refused(chain.verify()), ["certificate-expired"]);
}

#[test]
fn expired_intermediate() {
    let chain = Chain::new(|_| (), |c| c.not_after = datetime!(2026-06-01 0:00 UTC), |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-expired"]);
}

#[test]
fn expired_root() {
    let chain = Chain::new(|c| c.not_after = datetime!(2026-06-01 0:00 UTC), |_| (), |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-expired"]);
}

#[test]
fn a_signer_that_may_not_sign() {
    let chain = Chain::new(|_| (), |_| (), |c| c.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    assert_eq!(refused(chain.verify()), ["certificate-may-not-sign"]);
    let chain = Chain::new(|_| (), |_| (), |c| c.key_usages.clear());
    assert_eq!(refused(chain.verify()), ["certificate-may-not-sign"]);
}

#[test]
fn an_authority_that_signs_models_itself() {
    let chain = Chain::new(|_| (), |_| (), |c| c.key_usages.push(KeyUsagePurpose::KeyCertSign));
    assert_eq!(refused(chain.verify()), ["certificate-may-not-sign"]);
}

#[test]
fn ca_true_alone_is_tolerated() {
    let chain = Chain::new(|_| (), |_| (), |c| c.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    chain.verify().unwrap();
}

#[test]
fn a_signer_for_other_uses() {
    let server = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let chain = Chain::new(|_| (), |_| (), |c| c.extended_key_usages = server);
    assert_eq!(refused(chain.verify()), ["certificate-not-for-code-signing"]);
    // No extended use at all leaves every use open.
    Chain::new(|_| (), |_| (), |c| c.extended_key_usages.clear()).verify().unwrap();
}

#[test]
fn an_intermediate_for_other_uses() {
    let server = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let chain = Chain::new(|_| (), |c| c.extended_key_usages = server, |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-not-for-code-signing"]);
}

#[test]
fn an_issuer_that_is_no_authority() {
    let chain = Chain::new(|_| (), |c| c.is_ca = IsCa::ExplicitNoCa, |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-not-an-authority"]);
    let chain = Chain::new(|_| (), |c| c.is_ca = IsCa::NoCa, |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-not-an-authority"]);
}

#[test]
fn a_signer_that_issues_another_signer() {
    let chain = Chain::good();
    let forged = chain.leaf.issue(signer("Forged"));
    let result = check(&forged.signer(&[&chain.leaf, &chain.middle]), &[&chain.root], None, now());
    assert_eq!(refused(result), ["certificate-may-not-issue", "certificate-not-an-authority"]);
}

#[test]
fn an_issuer_that_may_not_issue() {
    let chain = Chain::new(|_| (), |c| c.key_usages = vec![KeyUsagePurpose::CrlSign], |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-may-not-issue"]);
    let chain = Chain::new(|_| (), |c| c.key_usages.clear(), |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-may-not-issue"]);
    let chain = Chain::new(|c| c.key_usages = vec![KeyUsagePurpose::CrlSign], |_| (), |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-may-not-issue"]);
    // A root that was named may leave key usage out, as OpenSSL's do.
    Chain::new(|c| c.key_usages.clear(), |_| (), |_| ()).verify().unwrap();
}

#[test]
fn path_length() {
    let zero = || IsCa::Ca(BasicConstraints::Constrained(0));
    let chain = Chain::new(|c| c.is_ca = zero(), |_| (), |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-path-too-long"]);
    Chain::new(|_| (), |c| c.is_ca = zero(), |_| ()).verify().unwrap();
    Chain::new(|c| c.is_ca = IsCa::Ca(BasicConstraints::Constrained(1)), |_| (), |_| ())
        .verify()
        .unwrap();
    // A second authority below one that allows none.
    let chain = Chain::new(|_| (), |c| c.is_ca = zero(), |_| ());
    let lower = chain.middle.issue(authority("Lower"));
    let leaf = lower.issue(signer("Signer"));
    let result = check(&leaf.signer(&[&lower, &chain.middle]), &[&chain.root], None, now());
    assert_eq!(refused(result), ["certificate-path-too-long"]);
}

#[test]
fn a_path_that_is_too_long_at_all() {
    let root = Issued::root(authority("Root"));
    let mut chain = vec![root.issue(authority("1"))];
    for i in 2..10 {
        let next = chain.last().unwrap().issue(authority(&i.to_string()));
        chain.push(next);
    }
    let leaf = chain.last().unwrap().issue(signer("Signer"));
    let chain: Vec<&Issued> = chain.iter().collect();
    let result = check(&leaf.signer(&chain), &[&root], None, now());
    assert_eq!(refused(result), ["certificate-no-authority"]);
}

#[test]
fn certificates_that_issue_each_other_end() {
    // Sixteen authorities of one name: every one may have issued every other.
    let root = Issued::root(authority("Root"));
    let twins: Vec<Issued> = (0..15).map(|_| Issued::root(authority("Twin"))).collect();
    let leaf = twins[0].issue(signer("Signer"));
    let chain: Vec<&Issued> = twins.iter().collect();
    let codes = refused(check(&leaf.signer(&chain), &[&root], None, now()));
    assert!(codes[0].starts_with("certificate-"), "{codes:?}");
}

#[test]
fn critical_extensions_that_are_not_understood() {
    let unknown = || {
        let mut extension =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(true);
        extension
    };
    for place in 0..3 {
        let add = |here: usize, c: &mut CertificateParams| {
            if here == place {
                c.custom_extensions.push(unknown());
            }
        };
        let chain = Chain::new(|c| add(0, c), |c| add(1, c), |c| add(2, c));
        assert_eq!(refused(chain.verify()), ["certificate-unknown-critical"]);
    }
    let constraints = NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".into())],
        excluded_subtrees: Vec::new(),
    };
    let chain = Chain::new(|_| (), |c| c.name_constraints = Some(constraints), |_| ());
    assert_eq!(refused(chain.verify()), ["certificate-unknown-critical"]);
}

/// RFC 5280 §4.2: what is recognised is processed or refused, critical or not.
#[test]
fn name_constraints_that_are_not_critical() {
    // SEQUENCE { [0] { SEQUENCE { [1] "sub.example.com" } } }
    let mut content = vec![0x30, 21, 0xa0, 19, 0x30, 17, 0x81, 15];
    content.extend_from_slice(b"sub.example.com");
    for place in 0..2 {
        let add = |here: usize, c: &mut CertificateParams| {
            if here == place {
                let constraints =
                    CustomExtension::from_oid_content(&[2, 5, 29, 30], content.clone());
                c.custom_extensions.push(constraints);
            }
        };
        let chain = Chain::new(|c| add(0, c), |c| add(1, c), |_| ());
        assert_eq!(refused(chain.verify()), ["certificate-unknown-critical"]);
    }
}

#[test]
fn no_expiry() {
    let forever = |c: &mut CertificateParams| c.not_after = datetime!(9999-12-31 23:59:59 UTC);
    Chain::new(forever, forever, forever).verify().unwrap();
}

#[test]
fn certificates_that_would_cost_much_to_read() {
    let fault = Certificate::from_der(&[0x30; 20_000]).unwrap_err();
    assert!(fault.to_string().contains("at most 16384"), "{fault}");
    let mut params = signer("Many");
    for i in 0..80 {
        let oid = [1, 3, 6, 1, 4, 1, 99999, i];
        params.custom_extensions.push(CustomExtension::from_oid_content(&oid, vec![5, 0]));
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let fault = Certificate::from_der(&der).unwrap_err();
    assert!(fault.to_string().contains("too many extensions"), "{fault}");
}

#[test]
fn names_are_shown_with_their_kind() {
    let mut params = signer("Signer");
    params.subject_alt_names = vec![rcgen::SanType::DnsName("ceo@example.com".try_into().unwrap())];
    let root = Issued::root(authority("Root"));
    let leaf = root.issue(params);
    let result = check(&leaf.signer(&[]), &[&root], Some("ceo@example.com"), now());
    let said = bulla_testkit::refusal(result);
    assert!(said.contains("names DNS:ceo@example.com, expected email:ceo@example.com"), "{said}");
    for shown in
        ["email:team@example.com", "URI:spiffe://example.com/trainer", "DNS:trainer.example.com"]
    {
        assert_eq!(SignerName::parse(shown).unwrap().to_string(), shown);
    }
    assert_eq!(
        SignerName::parse("DNS:A.Example").unwrap(),
        SignerName::parse("a.example").unwrap()
    );
    for bad in ["", " ", "email:", "URI:", "DNS:", "email:a b@c", "a\n"] {
        assert!(SignerName::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn trap_10_the_signers_name_can_be_pinned() {
    let chain = Chain::good();
    let check =
        |name| check(&chain.leaf.signer(&[&chain.middle]), &[&chain.root], Some(name), now());
    for name in [
        "team@example.com",
        "spiffe://example.com/trainer",
        "trainer.example.com",
        "Trainer.Example.COM",
    ] {
        check(name).unwrap();
    }
    for name in [
        "eve@example.com",
        "Team@example.com",
        "example.com",
        "spiffe://example.com/trainer/x",
        "spiffe://example.com/",
        "*.example.com",
        "*@example.com",
        "Signer",
    ] {
        assert_eq!(refused(check(name)), ["wrong-signer"], "{name}");
    }
}

#[test]
fn all_problems_are_listed() {
    let chain = Chain::new(
        |_| (),
        |c| c.key_usages = vec![KeyUsagePurpose::CrlSign],
        |c| c.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
    );
    let leaf = chain.leaf.signer(&[&chain.middle]);
    let result = check(&leaf, &[&chain.root], Some("eve@example.com"), now());
    assert_eq!(
        refused(result),
        ["certificate-may-not-issue", "certificate-not-for-code-signing", "wrong-signer"]
    );
}

#[test]
fn a_self_signed_signer_is_no_authority() {
    let alone = Issued::root(signer("Alone"));
    let codes = refused(check(&alone.signer(&[]), &[&alone], None, now()));
    assert_eq!(codes, ["certificate-may-not-issue", "certificate-not-an-authority"]);
}

#[test]
fn a_certificate_for_another_key() {
    // The signature is the signer's; the certificate in the bundle is another's.
    struct Mixed<'a>(&'a Issued, &'a Issued, &'a Issued);
    impl Signer for Mixed<'_> {
        fn sign(&self, what: bulla::sign::ToSign<'_>) -> Result<bulla::sign::Signed, bulla::Fault> {
            let signed = self.0.signer(&[]).sign(what)?;
            let material = self.1.signer(&[self.2]).sign(what)?.material;
            Ok(bulla::sign::Signed { material, ..signed })
        }
    }
    let chain = Chain::good();
    let other = chain.middle.issue(signer("Other"));
    let result = check(&Mixed(&other, &chain.leaf, &chain.middle), &[&chain.root], None, now());
    assert_eq!(refused(result), ["bad-signature"]);
}

#[test]
fn signers_find_out_before_they_sign() {
    let chain = Chain::good();
    let make = |key: &Issued, leaf: &Issued, at: &str| {
        let leaf = leaf.certificate.clone();
        CertificateSigner::new(key.key_pair(), leaf, Vec::new(), at.parse().unwrap())
    };
    make(&chain.leaf, &chain.leaf, "2026-11-20T12:00:00Z").unwrap();
    let codes =
        |refusal: bulla::Refusal| refusal.reasons().map(bulla::Reason::code).collect::<Vec<_>>();
    let refusal = make(&chain.middle, &chain.leaf, "2026-11-20T12:00:00Z").unwrap_err();
    assert_eq!(codes(refusal), ["certificate-for-other-key"]);
    let many = vec![chain.middle.certificate.clone(); 16];
    let leaf = chain.leaf.certificate.clone();
    let refusal = CertificateSigner::new(chain.leaf.key_pair(), leaf, many, now()).unwrap_err();
    assert!(refusal.to_string().contains("at most 16"), "{refusal}");
    let refusal = make(&chain.leaf, &chain.leaf, "2028-01-01T00:00:00Z").unwrap_err();
    assert_eq!(codes(refusal), ["certificate-expired"]);
    let refusal = make(&chain.root, &chain.root, "2026-11-20T12:00:00Z").unwrap_err();
    assert_eq!(codes(refusal), ["certificate-may-not-sign"]);
}

#[test]
fn malformed_certificates_are_faults_or_refusals() {
    let der = Chain::good().leaf.certificate.to_der().to_vec();
    for end in 0..der.len() {
        assert!(Certificate::from_der(&der[..end]).is_err());
    }
    let longer = [der.as_slice(), &[0]].concat();
    assert!(Certificate::from_der(&longer).is_err());
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 0xff;
        let _ = Certificate::from_der(&changed);
    }
}
