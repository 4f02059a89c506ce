//! `trust`: who is believed about the time, and which certificates and identities lead somewhere.
//!
//! What lies in another file is named with its digest, so that the digest of the document is that of everything in it
//! (rule 12 of the security design).

use std::path::Path;

use bulla::{Certificate, Digest, Embedded, Fault, Limits, SigstoreRoot, Trust, read_named};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::schema::{self, PIN};
use crate::yaml::malformed;

/// Who is believed about the time, and which certificates lead somewhere.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustSection {
    /// Who is believed about the time.
    #[serde(default)]
    timestamp_authorities: Vec<NamedFile>,
    /// To whom certificates may lead.
    #[serde(default)]
    certificate_authorities: Vec<NamedFile>,
    /// By which Sigstore instance identities are known.
    #[serde(default)]
    sigstore: Option<Sigstore>,
}

/// A file of certificates: PEM, or a path with the SHA-256 of what is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = schema::chain_or_root)]
struct NamedFile {
    /// What it is called.
    name: String,
    /// Its certificates in PEM; or the path of a file with them, which begins where the document lies.
    #[serde(alias = "root")]
    chain: String,
    /// SHA-256 of that file.
    #[serde(default)]
    #[schemars(regex(pattern = PIN))]
    sha256: Option<String>,
}

/// A Sigstore instance: one's own, or the public one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sigstore {
    /// The path of its trusted root, which begins where the document lies.
    #[serde(default)]
    trusted_root: Option<String>,
    /// SHA-256 of that file.
    #[serde(default)]
    #[schemars(regex(pattern = PIN))]
    sha256: Option<String>,
    /// The public one, as it was known when this program was built.
    #[serde(default)]
    public_good: bool,
}

/// Reads what a document names, with the files that lie beside it.
pub(crate) struct Reader<'a> {
    /// The document.
    pub(crate) path: &'a Path,
    pub(crate) limits: &'a Limits,
}

impl Reader<'_> {
    pub(crate) fn fault(&self, detail: impl Into<String>) -> Fault {
        malformed(self.path, detail)
    }

    /// Text that stands in the document, or a file from beside it that is what the document says.
    pub(crate) fn text(
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

    /// Everything that signatures are checked by, read.
    pub(crate) fn anchors(&self, trust: &TrustSection) -> Result<Anchors, Fault> {
        let root = trust.sigstore.as_ref().map(|sigstore| self.root(sigstore)).transpose()?;
        let mut stamps = Vec::new();
        for authority in &trust.timestamp_authorities {
            stamps.extend(self.certificates(authority)?);
        }
        let mut authorities = Vec::new();
        for authority in &trust.certificate_authorities {
            authorities.push((authority.name.clone(), self.certificates(authority)?));
        }
        Ok(Anchors { root, stamps, authorities })
    }
}

/// What signatures are checked by.
pub(crate) struct Anchors {
    pub(crate) root: Option<SigstoreRoot>,
    stamps: Vec<Certificate>,
    /// By their names.
    pub(crate) authorities: Vec<(String, Vec<Certificate>)>,
}

impl Anchors {
    /// With everybody who is believed about the time.
    pub(crate) fn timed(&self, trust: Trust) -> Trust {
        let trust = trust.with_timestamp_roots(self.stamps.clone());
        match &self.root {
            Some(root) => trust.with_time_of(root.clone()),
            None => trust,
        }
    }
}
