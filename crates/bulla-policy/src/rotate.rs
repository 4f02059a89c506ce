//! A new key for an authority: both keys count for the overlap, and then only the new one.
//!
//! A person wrote the document, with comments and in an order that means something to them, and people will look at what has changed before
//! they sign it. So its text is edited where it has to change and stays as it is everywhere else; and then it is read again: it has to be
//! the old document, its version one higher, with one more key and one end.

use std::collections::BTreeMap;

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::{Digest, Fault, PublicKey};
use serde::Deserialize;
use serde_json::{Value, json};
use serde_saphyr::{Location, Spanned};

use crate::authorities::Storage;
use crate::policy::Policy;
use crate::yaml;

/// The key that comes.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// What it is called in the document.
    pub id: &'a str,
    /// How the document names it: a path from beside it, or PEM.
    pub written: &'a str,
    /// The key itself.
    pub key: &'a PublicKey,
    /// Where it is kept; as the old one, where nothing is said.
    pub storage: Option<Storage>,
    /// Who holds it; as the old one, where nothing is said.
    pub signer: Option<&'a str>,
}

/// A policy with a new key.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// The document's text.
    pub text: String,
    /// Its version.
    pub version: u64,
    /// The key that goes.
    pub old: Digest,
    /// Until when the old key counts. Never later than before.
    pub both_until: Timestamp,
    /// Until when the new key counts, if the authority's rotation says so.
    pub until: Option<Timestamp>,
}

/// The new key's entry, its members in the order in which people write them.
struct Entry(Vec<(&'static str, Value)>);

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}: {}", flow(value))).collect();
        write!(f, "{{ {} }}", members.join(", "))
    }
}

#[derive(Deserialize)]
struct Document {
    policy: Head,
    signing_authorities: BTreeMap<String, Authority>,
}

#[derive(Deserialize)]
struct Head {
    version: Spanned<u64>,
}

#[derive(Deserialize)]
struct Authority {
    #[serde(default)]
    keys: Vec<Spanned<Key>>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    valid: Option<Spanned<Valid>>,
}

#[derive(Deserialize)]
struct Valid {
    #[serde(default)]
    until: Option<Spanned<String>>,
}

impl Policy {
    /// The document with a key more for one of its authorities; the one that it takes the place of ends after the overlap.
    ///
    /// `overlap` stands in for what the authority's rotation says.
    ///
    /// # Errors
    /// [`Fault::Policy`] when there is no such authority or key, when the new key is there already or is not what the authority asks of its
    /// keys, or when the text is of a form that cannot be edited in place.
    pub fn rotate(
        &self,
        authority: &str,
        old: &Digest,
        new: &NewKey<'_>,
        from: Timestamp,
        overlap: Option<SignedDuration>,
    ) -> Result<Rotated, Fault> {
        let of_authority: Vec<_> =
            self.keys.iter().filter(|record| record.authority == authority).collect();
        let at = of_authority.iter().position(|record| record.fingerprint == *old);
        let Some((at, record)) = at.and_then(|at| Some((at, *of_authority.get(at)?))) else {
            let keys: Vec<String> =
                of_authority.iter().map(|record| record.fingerprint.to_string()).collect();
            let has = if keys.is_empty() { "no keys".to_owned() } else { keys.join(", ") };
            return Err(self.fault(format!("{authority} has no key {old}; it has {has}")));
        };
        if let Some(known) = self.keys.iter().find(|one| one.fingerprint == new.key.fingerprint()) {
            let whose = &known.authority;
            return Err(self.fault(format!(
                "the key {} is there already, of {whose}: a new key is one that nobody has used",
                known.fingerprint
            )));
        }
        if let Some(end) = record.valid.1.filter(|end| *end <= from) {
            return Err(self.fault(format!(
                "the key {old} ended at {end}: there is nothing to rotate from; add the new key by hand"
            )));
        }
        let rotation = self.rotations.get(authority);
        let Some(overlap) = overlap.or(rotation.map(|(_, overlap)| *overlap)) else {
            return Err(self.fault(format!(
                "{authority} does not say for how long both keys count: say it here, or give it a rotation with an overlap"
            )));
        };
        let late = || self.fault("it would end beyond the end of time".to_owned());
        let end = from.checked_add(overlap).map_err(|_| late())?;
        // A key is never made to count for longer than was agreed.
        let both_until = record.valid.1.map_or(end, |until| until.min(end));
        let until = match rotation {
            Some((every, _)) => Some(from.checked_add(*every).map_err(|_| late())?),
            None => None,
        };
        let before: Value = yaml::read(&self.path, &self.bytes)?;
        let version = self
            .version
            .checked_add(1)
            .ok_or_else(|| self.fault("its version is the last that there is".into()))?;
        let entry = self.entry(&before, authority, at, new, from, until)?;
        let expected = self.expected(before, authority, at, &entry, version, both_until);
        let text = self.edited(authority, at, &entry, version, both_until);
        let as_expected = |text: &String| {
            let read = yaml::read::<Value>(&self.path, text.as_bytes());
            expected.is_some() && read.ok() == expected
        };
        let Some(text) = text.filter(as_expected) else {
            return Err(self.fault(format!(
                "its text cannot be edited in place (aliases, or a form that is not expected). By hand: raise the version to {version}, add under keys of {authority}: {entry} and give the old key valid: {{ until: {both_until} }}"
            )));
        };
        Ok(Rotated { text, version, old: *old, both_until, until })
    }

    /// The new key's entry, after that of the old.
    fn entry(
        &self,
        document: &Value,
        authority: &str,
        at: usize,
        new: &NewKey<'_>,
        from: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<Entry, Fault> {
        let missing = || self.fault("its keys cannot be found again".to_owned());
        let pointer = |at: usize| format!("/signing_authorities/{authority}/keys/{at}");
        let old = document.pointer(&pointer(at)).ok_or_else(missing)?;
        let mut entry = Entry(Vec::new());
        let mut put = |name, value: Option<Value>| {
            entry.0.extend(value.map(|value| (name, value)));
        };
        put("id", Some(new.id.into()));
        put("public_key", Some(new.written.into()));
        put("fingerprint", Some(new.key.fingerprint().to_string().into()));
        let storage = new.storage.map(|storage| storage.word().into());
        put("storage", storage.or_else(|| old.get("storage").cloned()));
        put("signer", new.signer.map(Value::from).or_else(|| old.get("signer").cloned()));
        put("may_sign", old.get("may_sign").cloned());
        let mut valid = json!({ "from": from.to_string() });
        if let (Some(until), Some(valid)) = (until, valid.as_object_mut()) {
            valid.insert("until".to_owned(), until.to_string().into());
        }
        put("valid", Some(valid));
        Ok(entry)
    }

    /// What the new document has to say.
    fn expected(
        &self,
        mut document: Value,
        authority: &str,
        at: usize,
        entry: &Entry,
        version: u64,
        both_until: Timestamp,
    ) -> Option<Value> {
        *document.pointer_mut("/policy/version")? = version.into();
        let keys = document.get_mut("signing_authorities")?.get_mut(authority)?.get_mut("keys")?;
        let keys = keys.as_array_mut()?;
        let old = keys.get_mut(at)?.as_object_mut()?;
        let valid = old.entry("valid").or_insert_with(|| json!({}));
        if valid.is_null() {
            *valid = json!({});
        }
        valid.as_object_mut()?.insert("until".to_owned(), both_until.to_string().into());
        let entry = entry.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        keys.insert(at, Value::Object(entry.collect()));
        Some(document)
    }

    /// The text with its changes, from the last to the first; `None` where something is not as it should be.
    fn edited(
        &self,
        authority: &str,
        at: usize,
        entry: &Entry,
        version: u64,
        both_until: Timestamp,
    ) -> Option<String> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        let document: Document = serde_saphyr::from_str(text).ok()?;
        let key = document.signing_authorities.get(authority)?.keys.get(at)?;
        let mut edits: Vec<(usize, usize, String)> = Vec::new();
        let (start, length) = span(&document.policy.version.defined)?;
        edits.push((start, length, version.to_string()));
        let (start, _) = span(&key.defined)?;
        // A new entry before the old one: in a flow list after a comma, in a block list on a line of its own.
        let line = text.get(..start)?.rsplit('\n').next()?;
        let is_dash = !line.is_empty() && line.chars().all(|c| c == ' ' || c == '-');
        edits.push((
            start,
            0,
            match is_dash && line.contains('-') {
                true => format!("{entry}\n{line}"),
                false => format!("{entry}, "),
            },
        ));
        let until = format!("until: {both_until}");
        match &key.value.valid {
            None => edits.push(member(text, start, &format!("valid: {{ {until} }}"))?),
            Some(valid) => match &valid.value.until {
                Some(end) => {
                    let (start, length) = span(&end.defined)?;
                    edits.push((start, length, both_until.to_string()));
                }
                None => edits.push(member(text, span(&valid.defined)?.0, &until)?),
            },
        }
        let mut edited = text.to_owned();
        // Of two at one place the later one is put in first, and so stands behind the other.
        edits.sort_by_key(|(start, ..)| *start);
        for (start, length, with) in edits.into_iter().rev() {
            edited.get(start..start + length)?;
            edited.replace_range(start..start + length, &with);
        }
        Some(edited)
    }
}

/// A member more at the beginning of a map that starts there.
fn member(text: &str, start: usize, member: &str) -> Option<(usize, usize, String)> {
    let (before, after) = text.split_at_checked(start)?;
    if after.starts_with('{') {
        return Some((start + 1, 0, format!(" {member},")));
    }
    let column = before.rsplit('\n').next()?.chars().count();
    Some((start, 0, format!("{member}\n{}", " ".repeat(column))))
}

/// As YAML on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}: {}", flow(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        // JSON's texts are YAML's, PEM with its ends of lines, too.
        other => other.to_string(),
    }
}

/// Where something stands: from which byte, and how many.
fn span(location: &Location) -> Option<(usize, usize)> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    Some((start, usize::try_from(span.byte_len()?).ok()?))
}
