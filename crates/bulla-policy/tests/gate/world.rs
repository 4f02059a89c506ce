//! A company.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bulla::claims::{append, claims_path};
use bulla::jiff::{SignedDuration, Timestamp};
use bulla::lineage::Held;
use bulla::sign::{Known, attest, sign};
use bulla::statement::approval::{AppliesTo, Approval, Exception};
use bulla::statement::release::{ListedClaim, Release};
use bulla::{
    Compatibility, Failure, Fault, KeyAlgorithm, KeyPair, KeySigner, Limits, LocalModel,
    ModelDigests, Predicate, PublicKey, Recipe, Signer, Statement,
};
use bulla_policy::{
    Candidate, Decision, Gate, Memory, ModelName, Outcome, Policy, Request, RevocationList,
};
use bulla_testkit::stamps::{Stamp, StampAuthority, Stamped};
use bulla_testkit::{now, work};

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) keys: BTreeMap<&'static str, Key>,
    pub(crate) clock: StampAuthority,
    /// The policy's text.
    pub(crate) policy: String,
    pub(crate) memory: Memory,
    pub(crate) revoked: RevocationList,
    pub(crate) now: Timestamp,
    pub(crate) expected: Vec<ModelName>,
}

/// Somebody's key.
pub(crate) struct Key {
    public: PublicKey,
    signer: KeySigner,
}

impl Key {
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }
}

pub(crate) const NAME: &str = "fraud-eu";
/// Of signatures that are stamped: an hour before now().
pub(crate) const STAMPED: &str = "20261120110000Z";

/// Text as YAML and JSON have it between quotes.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(crate) fn codes(decision: &Decision) -> Vec<&str> {
    decision.refusals().map(|finding| finding.rule.as_str()).collect()
}

/// The summary that the gate signs.
pub(crate) fn verdict(decision: &Decision) -> bulla::statement::verdict::Verdict {
    let statement = decision.statement("https://gate.example", "https://policy.example").unwrap();
    match statement.predicate {
        Predicate::Verdict(verdict) => *verdict,
        other => panic!("{other:?}"),
    }
}

impl World {
    /// A model that meets every rule of production.
    pub(crate) fn new() -> Self {
        let mut keys = BTreeMap::new();
        for id in ["prod", "next", "dev", "ana", "ben", "cem", "eva", "fay", "stranger"] {
            let pair = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
            let public = pair.public().clone();
            keys.insert(id, Key { public, signer: KeySigner::new(pair) });
        }
        let clock = StampAuthority::default();
        let key = |id: &str| quoted(&keys[id].public().to_pem());
        let person = |id: &str| format!("{{ id: {id}, keys: [{{ public_key: {} }}] }}", key(id));
        let policy = format!(
            r#"policy: {{ name: company-models, version: 7, expires: 2027-06-01 }}
trust:
  timestamp_authorities: [{{ name: clock, chain: {clock} }}]
roles:
  release-managers: {{ people: [{ana}, {ben}, {cem}] }}
  security-officers: {{ threshold: 2, people: [{eva}, {fay}] }}
signing_authorities:
  production:
    type: key
    key_storage: hsm
    key_algorithm: ECDSA-P256
    authorized_signers: ["ci@company.com"]
    may_sign: [oms, provenance, release, evaluation, test-result, dataset, "https://cyclonedx.org/bom"]
    keys:
      - {{ id: prod-2026, public_key: {prod}, storage: hsm, signer: ci@company.com, valid: {{ from: 2026-01-01, until: 2027-01-01 }} }}
      - {{ id: prod-2027, public_key: {next}, storage: hsm, signer: ci@company.com, valid: {{ from: 2026-12-02 }} }}
    approvals: {{ required: 2, from: release-managers, valid_for: 30d }}
  development:
    type: key
    may_sign: [oms]
    keys: [{{ public_key: {dev} }}]
verification_policy:
  production:
    models: ["fraud-*"]
    accepted_authorities: [production]
    formats: [safetensors, json, txt]
    exceptions: {{ from: security-officers, required: 1, valid_for: 14d }}
  staging:
    accepted_authorities: [production, development]
"#,
            clock = quoted(clock.root.certificate_pem()),
            ana = person("ana"),
            ben = person("ben"),
            cem = person("cem"),
            eva = person("eva"),
            fay = person("fay"),
            prod = key("prod"),
            next = key("next"),
            dev = key("dev"),
        );
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            keys,
            clock,
            policy,
            memory: Memory::default(),
            revoked: RevocationList::default(),
            now: now(),
            expected: Vec::new(),
        };
        world.write("config.json", b"{\"architectures\":[\"Llama\"]}");
        world.write("model.safetensors", b"weights");
        world.sign("prod");
        world.approve("ana");
        world.approve("ben");
        world
    }

    /// The same with another text of the policy.
    pub(crate) fn with(mut self, from: &str, to: &str) -> Self {
        self.change(from, to);
        self
    }

    pub(crate) fn change(&mut self, from: &str, to: &str) {
        assert!(self.policy.contains(from), "{from}");
        self.policy = self.policy.replacen(from, to, 1);
    }

    /// Another rule of production.
    pub(crate) fn rule(self, rule: &str) -> Self {
        self.with(
            "    models: [\"fraud-*\"]\n",
            &format!("    models: [\"fraud-*\"]\n    {rule}\n"),
        )
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    pub(crate) fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.model().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn signer(&self, id: &str) -> &KeySigner {
        &self.keys[id].signer
    }

    pub(crate) fn sign(&self, by: &str) {
        self.sign_with(self.signer(by), &Recipe::default());
    }

    /// With a stamp of an hour ago.
    pub(crate) fn sign_stamped(&self, by: &str) {
        let stamps = |signature: &[u8]| vec![self.clock.stamp(&Stamp::of(signature, STAMPED))];
        self.sign_with(&Stamped { signer: self.signer(by), stamps }, &Recipe::default());
    }

    pub(crate) fn sign_with(&self, signer: &dyn Signer, recipe: &Recipe) {
        let _ = std::fs::remove_file(self.model().join("model.sig"));
        let source = LocalModel::open(&self.model()).unwrap();
        let (compatibility, limits) = (Compatibility::Specification, Limits::default());
        let signed =
            sign(&source, recipe, compatibility, &signer, Known::Nothing, &limits, work()).unwrap();
        std::fs::write(self.model().join("model.sig"), signed.bundle).unwrap();
    }

    pub(crate) fn digests(&self) -> ModelDigests {
        let source = LocalModel::open(&self.model()).unwrap();
        let (recipe, limits) = (Recipe::default(), Limits::default());
        let manifest = bulla::sign::measure(&source, &recipe, Known::Nothing, &limits, work());
        ModelDigests::of(&manifest.unwrap())
    }

    /// Adds a statement about the model; returns its digest.
    pub(crate) fn state(&self, by: &str, predicate: Predicate) -> String {
        let about = self.digests().descriptor("model", Some(&Recipe::default()));
        self.add(by, &Statement::about(about, predicate))
    }

    pub(crate) fn add(&self, by: &str, statement: &Statement) -> String {
        let limits = Limits::default();
        let sealed = attest(statement, self.signer(by), &limits).unwrap();
        append(&claims_path(&self.model(), Some(true)), &sealed.bundle, &limits).unwrap();
        sealed.payload.to_hex()
    }

    pub(crate) fn applies_to(&self, environment: &str) -> AppliesTo {
        let policy = self.read().unwrap();
        let digest = policy.environment(environment).unwrap().digest;
        AppliesTo {
            policy: policy.name.clone(),
            environment: environment.into(),
            rules_sha256: digest.to_hex(),
        }
    }

    pub(crate) fn approve(&self, by: &str) {
        self.approve_as(by, |_| {});
    }

    pub(crate) fn approve_as(&self, by: &str, change: impl FnOnce(&mut Approval)) {
        let mut approval = Approval {
            applies_to: self.applies_to("production"),
            issued: self.now - SignedDuration::from_hours(1),
            expires: self.now + SignedDuration::from_hours(24 * 20),
            comment: None,
        };
        change(&mut approval);
        self.state(by, Predicate::Approval(approval));
    }

    pub(crate) fn waive(&self, by: &str, rule: &str) {
        let exception = Exception {
            applies_to: self.applies_to("production"),
            waives: vec![rule.into()],
            reason: "the retraining is late".into(),
            issued: self.now - SignedDuration::from_hours(1),
            expires: self.now + SignedDuration::from_hours(24 * 20),
        };
        self.state(by, Predicate::Exception(exception));
    }

    pub(crate) fn release(&self, by: &str, name: &str, sequence: u64, claims: &[&str]) {
        let claims = claims.iter().map(|sha256| ListedClaim {
            predicate_type: "https://example.com/x".into(),
            sha256: (*sha256).to_owned(),
        });
        let release = Release {
            name: name.into(),
            sequence,
            claims: claims.collect(),
            issued: self.now - SignedDuration::from_hours(2),
            expires: self.now + SignedDuration::from_hours(24 * 10),
        };
        self.state(by, Predicate::Release(release));
    }

    pub(crate) fn forget_claims(&self) {
        std::fs::remove_file(self.model().join("claims.jsonl")).unwrap();
    }

    pub(crate) fn read(&self) -> Result<Policy, Fault> {
        let path = self.folder.path().join("policy.yaml");
        Policy::parse(&path, self.policy.as_bytes(), &Limits::default())
    }

    #[track_caller]
    pub(crate) fn decide(&self) -> Decision {
        self.decide_for("production", NAME).unwrap()
    }

    #[track_caller]
    pub(crate) fn decide_for(&self, environment: &str, name: &str) -> Result<Decision, Failure> {
        let limits = Limits::default();
        let gate = Gate::open(self.read()?, None, &self.revoked, self.now, &limits)?;
        let request = Request {
            environment,
            name,
            expected: &self.expected,
            measure_parents: true,
            converter: None,
        };
        let source = LocalModel::open(&self.model())?;
        let held = vec![Held::local(&self.model())?];
        let candidate = Candidate { source: &source, held };
        Ok(gate.decide(&request, candidate, &self.memory, self.now, &limits, work())?)
    }

    #[track_caller]
    pub(crate) fn admitted(&self) {
        let decision = self.decide();
        assert!(decision.admitted && decision.passed, "{:#?}", decision.findings);
        assert!(decision.findings.iter().all(|finding| finding.outcome == Outcome::Met));
    }

    /// Refused by this rule and no other, and with these words.
    #[track_caller]
    pub(crate) fn refused(&self, rule: &str, words: &str) {
        let decision = self.decide();
        assert!(!decision.admitted && !decision.passed, "{:#?}", decision.findings);
        assert_eq!(codes(&decision), [rule], "{:#?}", decision.findings);
        let finding = decision.refusals().next().unwrap();
        let said = format!("{} / {}", finding.found, finding.expected.clone().unwrap_or_default());
        assert!(said.contains(words), "{said}");
        assert!(finding.remedy.is_some(), "{rule} says what to do");
    }
}
