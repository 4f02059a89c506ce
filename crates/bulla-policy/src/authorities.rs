//! `trust` and `signing_authorities`: keys, certificates and identities, each with what it may sign.
//!
//! What lies in another file is named with its digest, so that the digest of the document is that of everything in it
//! (rule 12 of the security design).

use std::collections::BTreeMap;
use std::path::Path;

use bulla::jiff::Timestamp;
use bulla::party::{MaySign, Party};
use bulla::text::time;
use bulla::{
    Certificate, ClaimRule, Digest, Embedded, Fault, IdentityRule, Limits, PublicKey, SignerName,
    SigstoreRoot, Trust, read_named,
};
use serde::Deserialize;

use crate::yaml::malformed;

/// Who is believed about the time, and which certificates lead somewhere.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustSection {
    #[serde(default)]
    timestamp_authorities: Vec<NamedFile>,
    #[serde(default)]
    certificate_authorities: Vec<NamedFile>,
    #[serde(default)]
    sigstore: Option<Sigstore>,
}

/// A file of certificates: PEM, or a path with the SHA-256 of what is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedFile {
    name: String,
    #[serde(alias = "root")]
    chain: String,
    #[serde(default)]
    sha256: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sigstore {
    #[serde(default)]
    trusted_root: Option<String>,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    public_good: bool,
}

/// Somebody who signs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authority {
    #[serde(rename = "type")]
    kind: Kind,
    /// What all of its keys or identities may sign.
    #[serde(default)]
    may_sign: Vec<String>,
    #[serde(default)]
    keys: Vec<Key>,
    /// For certificates: names of certificate authorities, else all that are listed.
    #[serde(default)]
    certificate_authorities: Vec<String>,
    /// For certificates: whom they are for.
    #[serde(default)]
    authorized_signers: Vec<String>,
    #[serde(default)]
    identity_provider: Option<String>,
    #[serde(default)]
    allowed_identities: Vec<String>,
    /// For identities: what their certificates must say of the run.
    #[serde(default)]
    require_claims: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Key,
    Certificate,
    Keyless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    id: Option<String>,
    public_key: String,
    #[serde(default)]
    fingerprint: Option<String>,
    #[serde(default)]
    valid: Option<Valid>,
    #[serde(default)]
    may_sign: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    until: Option<String>,
}

/// Reads what a document names, with the files that lie beside it.
pub(crate) struct Reader<'a> {
    /// The document.
    pub(crate) path: &'a Path,
    pub(crate) limits: &'a Limits,
}

impl Reader<'_> {
    fn fault(&self, detail: impl Into<String>) -> Fault {
        malformed(self.path, detail)
    }

    /// Text that stands in the document, or a file from beside it that is what the document says.
    fn text(
        &self,
        what: &str,
        given: &str,
        limit: u64,
        is_pinned: impl FnOnce(&[u8]) -> Result<(), String>,
    ) -> Result<String, Fault> {
        if given.contains("-----BEGIN ") {
            return Ok(given.to_owned());
        }
        let beside = self.path.parent().unwrap_or_else(|| Path::new("."));
        let file = beside.join(given);
        let bytes = read_named(&file, limit)?;
        is_pinned(&bytes).map_err(|why| self.fault(format!("{what}: {given} {why}")))?;
        String::from_utf8(bytes).map_err(|_| self.fault(format!("{what}: {given} is not text")))
    }

    /// The same for a file that is named with the SHA-256 of its bytes.
    fn pinned(
        &self,
        what: &str,
        given: &str,
        sha256: Option<&str>,
        limit: u64,
    ) -> Result<String, Fault> {
        self.text(what, given, limit, |bytes| {
            let found = hex::encode(Digest::sha256(bytes).as_bytes());
            match sha256.map(|pin| pin.strip_prefix("sha256:").unwrap_or(pin)) {
                Some(pin) if pin.eq_ignore_ascii_case(&found) => Ok(()),
                Some(pin) => Err(format!("has the SHA-256 {found}, expected {pin}")),
                None => Err(format!(
                    "is another file: add the SHA-256 of what it has to be (it is now {found})"
                )),
            }
        })
    }

    fn certificates(&self, file: &NamedFile) -> Result<Vec<Certificate>, Fault> {
        let (limit, what) = (self.limits.pem_bytes, file.name.as_str());
        let text = self.pinned(what, &file.chain, file.sha256.as_deref(), limit)?;
        Certificate::from_pem(&text, self.limits).map_err(|e| self.fault(format!("{what}: {e}")))
    }

    fn root(&self, sigstore: &Sigstore) -> Result<SigstoreRoot, Fault> {
        match (&sigstore.trusted_root, sigstore.public_good) {
            (None, true) => SigstoreRoot::embedded(Embedded::PublicGood),
            (Some(path), false) => {
                let limit = self.limits.trusted_root_bytes;
                let text = self.pinned("sigstore", path, sigstore.sha256.as_deref(), limit)?;
                SigstoreRoot::from_json(path, text.as_bytes(), self.limits)
            }
            _ => {
                Err(self
                    .fault("sigstore: give either trusted_root with sha256, or public_good: true"))
            }
        }
    }

    /// Every party, with all its keys.
    pub(crate) fn parties(
        &self,
        trust: &TrustSection,
        authorities: &BTreeMap<String, Authority>,
    ) -> Result<Vec<Party>, Fault> {
        if authorities.is_empty() {
            return Err(self.fault("signing_authorities is empty: nobody is named to trust"));
        }
        let root = trust.sigstore.as_ref().map(|sigstore| self.root(sigstore)).transpose()?;
        let mut stamps = Vec::new();
        for authority in &trust.timestamp_authorities {
            stamps.extend(self.certificates(authority)?);
        }
        let timed = |trust: Trust| {
            let trust = trust.with_timestamp_roots(stamps.clone());
            match &root {
                Some(root) => trust.with_time_of(root.clone()),
                None => trust,
            }
        };
        let mut parties = Vec::new();
        for (id, authority) in authorities {
            let fault = |detail: String| self.fault(format!("{id}: {detail}"));
            authority.check_members().map_err(fault)?;
            match authority.kind {
                Kind::Key => {
                    for key in &authority.keys {
                        let public = self.key(id, key)?;
                        let trust = timed(Trust::keys(vec![public])?);
                        let valid = key.valid.as_ref().map_or(Ok((None, None)), Valid::read);
                        let may_sign = key.may_sign.as_ref().unwrap_or(&authority.may_sign);
                        let valid = valid.map_err(fault)?;
                        let may_sign = read_may_sign(may_sign).map_err(fault)?;
                        parties.push(Party { id: id.clone(), trust, valid, may_sign });
                    }
                }
                Kind::Certificate => {
                    let mut roots = Vec::new();
                    let named = |file: &&NamedFile| {
                        let names = &authority.certificate_authorities;
                        names.is_empty() || names.contains(&file.name)
                    };
                    for file in trust.certificate_authorities.iter().filter(named) {
                        roots.extend(self.certificates(file)?);
                    }
                    let known = |name: &&String| {
                        !trust.certificate_authorities.iter().any(|file| file.name == **name)
                    };
                    if let Some(name) = authority.certificate_authorities.iter().find(known) {
                        return Err(fault(format!(
                            "there is no certificate authority {name} under trust"
                        )));
                    }
                    if roots.is_empty() {
                        return Err(fault("no certificate authority is listed under trust".into()));
                    }
                    for signer in &authority.authorized_signers {
                        let signer = SignerName::parse(signer).map_err(|e| fault(e.to_string()))?;
                        let trust = Trust::certificate_authorities(roots.clone(), Some(signer))?;
                        let may_sign = read_may_sign(&authority.may_sign).map_err(fault)?;
                        let (id, trust) = (id.clone(), timed(trust));
                        parties.push(Party { id, trust, valid: (None, None), may_sign });
                    }
                }
                Kind::Keyless => {
                    let Some(root) = &root else {
                        return Err(fault(
                            "an identity needs a Sigstore instance: add trust.sigstore".into(),
                        ));
                    };
                    let provider = authority.identity_provider.as_deref().unwrap_or_default();
                    let mut rules = Vec::new();
                    for identity in &authority.allowed_identities {
                        let mut rule = IdentityRule::new(identity, provider)
                            .map_err(|e| fault(e.to_string()))?;
                        for claim in &authority.require_claims {
                            let claim =
                                ClaimRule::parse(claim).map_err(|e| fault(e.to_string()))?;
                            rule = rule.require(claim);
                        }
                        rules.push(rule);
                    }
                    let trust = Trust::sigstore(root.clone(), rules)?;
                    let may_sign = read_may_sign(&authority.may_sign).map_err(fault)?;
                    parties.push(Party { id: id.clone(), trust, valid: (None, None), may_sign });
                }
            }
        }
        Ok(parties)
    }

    fn key(&self, authority: &str, key: &Key) -> Result<PublicKey, Fault> {
        let what = match &key.id {
            Some(id) => format!("{authority}, key {id}"),
            None => format!("{authority}, key"),
        };
        let mut pinned = true;
        let text = self.text(&what, &key.public_key, self.limits.pem_bytes, |_| {
            pinned = key.fingerprint.is_some();
            Ok(())
        })?;
        let public = PublicKey::from_pem(&text, self.limits)
            .map_err(|e| self.fault(format!("{what}: {e}")))?;
        let found = public.fingerprint().to_string();
        if !pinned {
            return Err(self.fault(format!(
                "{what}: {} is another file: add the fingerprint of the key that it has to hold (it is now {found})",
                key.public_key
            )));
        }
        match &key.fingerprint {
            Some(expected) if *expected != found => {
                Err(self.fault(format!("{what}: its fingerprint is {found}, expected {expected}")))
            }
            _ => Ok(public),
        }
    }
}

impl Authority {
    /// That it has what its type needs, and nothing else: what is not looked at would only seem to restrict.
    fn check_members(&self) -> Result<(), String> {
        let members = [
            ("keys", !self.keys.is_empty(), Kind::Key, true),
            ("authorized_signers", !self.authorized_signers.is_empty(), Kind::Certificate, true),
            (
                "certificate_authorities",
                !self.certificate_authorities.is_empty(),
                Kind::Certificate,
                false,
            ),
            ("allowed_identities", !self.allowed_identities.is_empty(), Kind::Keyless, true),
            ("identity_provider", self.identity_provider.is_some(), Kind::Keyless, true),
            ("require_claims", !self.require_claims.is_empty(), Kind::Keyless, false),
        ];
        for (name, given, kind, needed) in members {
            if given && kind != self.kind {
                return Err(format!("{name} is for authorities of another type"));
            }
            if !given && needed && kind == self.kind {
                return Err(format!("{name} is missing"));
            }
        }
        Ok(())
    }
}

impl Valid {
    fn read(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), String> {
        let from = self.from.as_deref().map(time).transpose()?;
        let until = self.until.as_deref().map(time).transpose()?;
        match (from, until) {
            (Some(from), Some(until)) if until <= from => {
                Err(format!("it is valid until {until}, which is not after {from}"))
            }
            valid => Ok(valid),
        }
    }
}

fn read_may_sign(names: &[String]) -> Result<MaySign, String> {
    let known = || MaySign::names().collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        return Err(format!("may_sign is missing: some of {}", known()));
    }
    for name in names {
        if !MaySign::names().any(|known| known == name) && !name.contains(':') {
            return Err(format!(
                "may_sign: {name:?} is none of {}, and no predicate type",
                known()
            ));
        }
    }
    Ok(MaySign::only(names))
}
