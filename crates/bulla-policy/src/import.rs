//! Bringing in a certificate policy that says who signs models and what is asked of them, and leaves out by which keys: those, and
//! whatever else has to be known before anything can be decided, are answers that somebody gives besides.
//!
//! ```text
//! certificate policy ─┐
//! answers ────────────┴─► what is missing, all of it; or a policy as text, and what no policy can enforce
//! ```

mod source;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bulla::jiff::Timestamp;
use bulla::text::glob;
use bulla::{Fault, Limits, PublicKey};

use crate::policy::Policy;
use crate::yaml::{self, policy_fault};
use source::{Document, Kind, Source};

/// What a certificate policy leaves out.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Answers {
    /// The policy's name.
    pub name: Option<String>,
    /// Its version.
    pub version: u64,
    /// When it ends: a day or a point in time.
    pub expires: Option<String>,
    /// From when on its keys count.
    pub keys_from: Option<Timestamp>,
    /// The keys of each authority.
    pub keys: BTreeMap<String, Vec<GivenKey>>,
    /// People of each role, by names, with their keys.
    pub roles: BTreeMap<String, BTreeMap<String, Vec<GivenKey>>>,
    /// The role that approves what an authority signed.
    pub approvals: BTreeMap<String, String>,
    /// The URL that an identity provider's name stands for.
    pub issuers: BTreeMap<String, String>,
    /// By which Sigstore instance identities are known.
    pub root: Option<GivenRoot>,
}

/// A key.
#[derive(Debug, Clone)]
pub struct GivenKey {
    /// Where it was, for people.
    pub from: String,
    /// The key.
    pub key: PublicKey,
    /// Who holds it: a person or a machine.
    pub holder: Option<String>,
}

/// A Sigstore instance.
#[derive(Debug, Clone)]
pub enum GivenRoot {
    /// One's own: the path of its trusted root, as the policy names it, and the SHA-256 of that file.
    Own(String, String),
    /// The public one.
    PublicGood,
}

/// Something that nobody has said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Missing {
    /// The policy's name.
    Name,
    /// Its end.
    Expires,
    /// A key of an authority, held by one of these.
    Key(String, Vec<String>),
    /// Who holds a key of an authority, which was in a file: one of these.
    Holder(String, String, Vec<String>),
    /// The role that approves what an authority signed, by so many people.
    Approvals(String, usize),
    /// So many people of a role.
    People(String, usize),
    /// What a name of an identity provider stands for.
    Issuer(String),
    /// By which Sigstore instance identities are known.
    Root,
}

/// A policy that was brought in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Imported {
    /// Its text: comments say where each part came from.
    pub text: String,
    /// What the text is read as.
    pub policy: Policy,
    /// What the source says and no policy can enforce.
    pub not_enforced: Vec<String>,
}

/// Why nothing was brought in.
#[derive(Debug)]
pub enum ImportError {
    /// Everything that nobody has said.
    Missing(Vec<Missing>),
    /// Answers to what was not asked, in words.
    Unasked(Vec<String>),
    /// The source, or what comes of it, cannot be used.
    Fault(Fault),
}

impl From<Fault> for ImportError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Brings in a certificate policy. `output` is where the policy will lie: files that it names lie beside it.
///
/// # Errors
/// [`ImportError`]: with everything that is missing, not the first of it only.
pub fn import(
    path: &Path,
    bytes: &[u8],
    answers: &Answers,
    output: &Path,
    limits: &Limits,
) -> Result<Imported, ImportError> {
    let document: Document = yaml::read(path, bytes).map_err(Fault::from)?;
    let source = document.certificate_policy;
    let fault = |detail: String| policy_fault(path, detail);
    for (id, authority) in &source.signing_authorities {
        let checked = authority
            .check()
            .and_then(|()| authority.storage().map(|_| ()))
            .and_then(|()| authority.days().map(|_| ()));
        checked.map_err(|why| fault(format!("{id}: {why}")))?;
    }
    let environments = environments(&source).map_err(fault)?;
    let unasked = unasked(&source, answers);
    if !unasked.is_empty() {
        return Err(ImportError::Unasked(unasked));
    }
    let missing = missing(&source, answers);
    if !missing.is_empty() {
        return Err(ImportError::Missing(missing));
    }
    let not_enforced = not_enforced(&source);
    let text = write::policy(&write::Parts {
        path,
        bytes,
        source: &source,
        environments: &environments,
        answers,
        not_enforced: &not_enforced,
    });
    let policy = Policy::parse(output, text.as_bytes(), limits)?;
    Ok(Imported { text, policy, not_enforced })
}

impl Imported {
    /// Whether a text is one that was brought in, and that nobody has changed since: it may be replaced.
    #[must_use]
    pub fn is_untouched(bytes: &[u8]) -> bool {
        write::is_untouched(bytes)
    }
}

/// The names of environments: `production_deployment` is `production`.
fn environments(source: &Source) -> Result<BTreeMap<String, &str>, String> {
    let mut all = BTreeMap::new();
    for name in source.verification_policy.keys() {
        let short = name.strip_suffix("_deployment").unwrap_or(name);
        if let Some(other) = all.insert(short.to_owned(), name.as_str()) {
            return Err(format!("verification_policy: {other} and {name} are one environment"));
        }
    }
    Ok(all)
}

/// Answers to what the source does not ask: a name that is mistyped.
fn unasked(source: &Source, answers: &Answers) -> Vec<String> {
    let mut all = Vec::new();
    let kind = |id: &String| source.signing_authorities.get(id).map(|authority| authority.kind);
    for id in answers.keys.keys().filter(|id| kind(id) != Some(Kind::KeyBased)) {
        all.push(format!("a key of {id}, and there is no authority with keys of this name"));
    }
    for id in answers.approvals.keys() {
        if !source.signing_authorities.get(id).is_some_and(|one| one.requires_approval) {
            all.push(format!("who approves for {id}, and no authority of this name asks for it"));
        }
    }
    let named: BTreeSet<&String> = issuers(source).collect();
    for name in answers.issuers.keys().filter(|name| !named.contains(name)) {
        all.push(format!("the identity provider {name}, and no authority names it"));
    }
    all
}

fn issuers(source: &Source) -> impl Iterator<Item = &String> {
    source.signing_authorities.values().filter_map(|one| one.identity_provider.as_ref())
}

/// Whether a name of an identity provider says already where it is.
fn is_url(name: &str) -> bool {
    name.contains("://")
}

/// Everything that nobody has said.
fn missing(source: &Source, answers: &Answers) -> Vec<Missing> {
    let mut all = Vec::new();
    if answers.name.is_none() {
        all.push(Missing::Name);
    }
    if answers.expires.is_none() {
        all.push(Missing::Expires);
    }
    let people = |role: &String| answers.roles.get(role).map_or(0, BTreeMap::len);
    for (id, authority) in &source.signing_authorities {
        let signers = &authority.authorized_signers;
        if authority.kind == Kind::KeyBased {
            let keys = answers.keys.get(id).map(Vec::as_slice).unwrap_or_default();
            if keys.is_empty() {
                all.push(Missing::Key(id.clone(), signers.clone()));
            }
            let may_hold = |holder: &String| signers.iter().any(|pattern| glob(pattern, holder));
            for key in keys.iter().filter(|_| !signers.is_empty()) {
                if !key.holder.as_ref().is_some_and(may_hold) {
                    all.push(Missing::Holder(id.clone(), key.from.clone(), signers.clone()));
                }
            }
        }
        let count = authority.approval_count.filter(|_| authority.requires_approval);
        match (count, answers.approvals.get(id)) {
            (Some(count), None) => all.push(Missing::Approvals(id.clone(), count)),
            (Some(count), Some(role)) if people(role) < count => {
                all.push(Missing::People(role.clone(), count));
            }
            _ => {}
        }
    }
    let named: BTreeSet<&String> = issuers(source).filter(|name| !is_url(name)).collect();
    for name in named.into_iter().filter(|name| !answers.issuers.contains_key(*name)) {
        all.push(Missing::Issuer(name.clone()));
    }
    if issuers(source).next().is_some() && answers.root.is_none() {
        all.push(Missing::Root);
    }
    all
}

/// Prose that no policy can enforce, by what it is about.
fn not_enforced(source: &Source) -> Vec<String> {
    let carried = source.overlap().map(|(_, line)| line);
    let lines = source
        .key_management
        .iter()
        .flat_map(|(about, lines)| lines.iter().map(move |line| (about, line)));
    lines
        .filter(|(_, line)| Some(line.as_str()) != carried)
        .map(|(about, line)| format!("{about}: {line}"))
        .collect()
}
