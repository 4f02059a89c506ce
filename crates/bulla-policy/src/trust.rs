//! `trust`: who is believed about the time, and which certificates and identities lead somewhere.
//!
//! What lies in another file is named with its digest, so that the digest of the document is that of everything in it
//! (rule 12 of the security design).

use std::cell::RefCell;
use std::path::Path;

use bulla::{Certificate, Digest, Embedded, Fault, Limits, SigstoreRoot, Trust, read_named};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::concern::{Concern, Unusable, meant};
use crate::places::{At, Places};
use crate::schema::{self, PIN};

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

/// Reads what a document names, with the files that lie beside it, and keeps everything that is wrong.
pub(crate) struct Reader<'a> {
    /// The document.
    pub(crate) path: &'a Path,
    pub(crate) limits: &'a Limits,
    places: &'a Places,
    found: RefCell<Found>,
}

/// What is wrong, and what could not be read.
#[derive(Default)]
struct Found {
    concerns: Vec<Concern>,
    fault: Option<Fault>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: &'a Path, places: &'a Places, limits: &'a Limits) -> Self {
        Self { path, limits, places, found: RefCell::default() }
    }

    /// Whether a document has a part.
    pub(crate) fn has(&self, at: &At) -> bool {
        self.places.has(at)
    }

    /// Notes that something is wrong.
    pub(crate) fn wrong(
        &self,
        at: &At,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let concern = Concern::error(code, message, hint).at(self.places.place(at));
        self.found.borrow_mut().concerns.push(concern);
    }

    /// Notes that something which the document names could not be read or used.
    pub(crate) fn failed(&self, at: &At, what: &str, fault: Fault) {
        let code = fault.code();
        let hint = fault.hint().unwrap_or("look at what the document says there");
        self.wrong(at, code, format!("{what}: {fault}"), hint);
        if matches!(fault, Fault::Io { .. }) {
            self.found.borrow_mut().fault.get_or_insert(fault);
        }
    }

    /// A part, or what is wrong with it.
    pub(crate) fn or_failed<T>(&self, at: &At, what: &str, part: Result<T, Fault>) -> Option<T> {
        part.map_err(|fault| self.failed(at, what, fault)).ok()
    }

    /// The same where that is in words.
    pub(crate) fn or_wrong<T>(&self, at: &At, hint: &str, part: Result<T, String>) -> Option<T> {
        part.map_err(|why| self.wrong(at, "wrong-value", why, hint)).ok()
    }

    /// That there is an authority, a role, and so on, of this name.
    pub(crate) fn known<'k>(
        &self,
        at: &At,
        message: impl Into<String>,
        name: &str,
        known: impl IntoIterator<Item = &'k String> + Clone,
    ) -> bool {
        if known.clone().into_iter().any(|one| one == name) {
            return true;
        }
        let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
        let hint = meant(name, known.iter().copied()).unwrap_or_else(|| "add it".to_owned());
        self.wrong(at, "unknown-name", message, hint);
        false
    }

    /// Whether anything is wrong so far.
    pub(crate) fn is_wrong(&self) -> bool {
        !self.found.borrow().concerns.is_empty()
    }

    /// All that is wrong.
    pub(crate) fn unusable(self) -> Unusable {
        let Found { mut concerns, fault } = self.found.into_inner();
        concerns.sort_by_key(|concern| concern.place);
        // What is wrong in the document is told rather than that something was not there.
        let fault = fault.filter(|_| concerns.iter().all(|concern| concern.code == "io"));
        let fault = fault.map(Box::new);
        Unusable { path: self.path.to_owned(), concerns, fault }
    }

    /// Text that stands in the document, or a file from beside it that is what the document says.
    pub(crate) fn text(
        &self,
        at: &At,
        what: &str,
        given: &str,
        limit: u64,
        is_pinned: impl FnOnce(&[u8]) -> Result<(), String>,
    ) -> Option<String> {
        if given.contains("-----BEGIN ") {
            return Some(given.to_owned());
        }
        let beside = self.path.parent().unwrap_or_else(|| Path::new("."));
        let file = beside.join(given);
        let bytes = self.or_failed(at, what, read_named(&file, limit))?;
        let pinned = is_pinned(&bytes).map_err(|why| format!("{what}: {given} {why}"));
        pinned.map_err(|why| self.wrong(at, "other-file", why, PINNED)).ok()?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{what}: {given} is not text"));
        self.or_wrong(at, "name a file of text (PEM, JSON)", text)
    }

    /// The same for a file that is named with the SHA-256 of its bytes.
    fn pinned(
        &self,
        at: &At,
        what: &str,
        given: &str,
        sha256: Option<&str>,
        limit: u64,
    ) -> Option<String> {
        self.text(at, what, given, limit, |bytes| {
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

    fn certificates(&self, at: &At, file: &NamedFile) -> Option<Vec<Certificate>> {
        let (limit, what) = (self.limits.pem_bytes, file.name.as_str());
        let name = if self.has(&at.of("root")) { "root" } else { "chain" };
        let at = at.of(name);
        let text = self.pinned(&at, what, &file.chain, file.sha256.as_deref(), limit)?;
        self.or_failed(&at, what, Certificate::from_pem(&text, self.limits))
    }

    fn root(&self, at: &At, sigstore: &Sigstore) -> Option<SigstoreRoot> {
        match (&sigstore.trusted_root, sigstore.public_good) {
            (None, true) => {
                self.or_failed(at, "sigstore", SigstoreRoot::embedded(Embedded::PublicGood))
            }
            (Some(path), false) => {
                let at = at.of("trusted_root");
                let limit = self.limits.trusted_root_bytes;
                let text = self.pinned(&at, "sigstore", path, sigstore.sha256.as_deref(), limit)?;
                let root = SigstoreRoot::from_json(path, text.as_bytes(), self.limits);
                self.or_failed(&at, "sigstore", root)
            }
            _ => {
                self.wrong(
                    at,
                    "wrong-value",
                    "sigstore: give either trusted_root with sha256, or public_good: true",
                    "leave one of them out",
                );
                None
            }
        }
    }

    /// Everything that signatures are checked by, read.
    pub(crate) fn anchors(&self, trust: &TrustSection) -> Anchors {
        let at = At::root().of("trust");
        let root = trust.sigstore.as_ref();
        let root = root.and_then(|sigstore| self.root(&at.of("sigstore"), sigstore));
        let mut stamps = Vec::new();
        for (index, authority) in trust.timestamp_authorities.iter().enumerate() {
            let at = at.of("timestamp_authorities").nth(index);
            stamps.extend(self.certificates(&at, authority).into_iter().flatten());
        }
        let mut authorities = Vec::new();
        for (index, authority) in trust.certificate_authorities.iter().enumerate() {
            let at = at.of("certificate_authorities").nth(index);
            let certificates = self.certificates(&at, authority).unwrap_or_default();
            authorities.push((authority.name.clone(), certificates));
        }
        Anchors { has_root: trust.sigstore.is_some(), root, stamps, authorities }
    }
}

/// Why what lies elsewhere is pinned.
const PINNED: &str =
    "who changes the file would change the policy: write the digest of the file that is meant";

/// What signatures are checked by.
pub(crate) struct Anchors {
    /// Whether there is to be a Sigstore instance, whatever is wrong with it.
    pub(crate) has_root: bool,
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
