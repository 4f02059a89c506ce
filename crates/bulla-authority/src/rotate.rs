//! `bulla authority rotate`: a new generation of keys, announced before it signs and beside the one before it for a while.
//!
//! ```text
//! now ── announced: in trusted_root.json, so that clients know it ── starts: it signs ── overlap ── the old one ends
//! ```
//!
//! What the old keys signed before their end verifies for ever. Old logs stay readable, each below its own URL.

use std::path::Path;

use bulla::{Fault, Password};
use jiff::{SignedDuration, Timestamp};

use crate::authority::{OpenError, lock, must_be_newest};
use crate::clock::whole_seconds;
use crate::config::Config;
use crate::generation::{self, Period};
use crate::init::{STATE, sync_folders};
use crate::keys::{self, Protection, Role, random};
use crate::trust::TrustFiles;
use crate::tuf::Repository;

/// When the new keys sign, and the old ones end.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// From now until the new keys sign.
    pub announced_for: SignedDuration,
    /// From then until what the old ones sign is no longer valid.
    pub overlap: SignedDuration,
}

/// What was made.
#[derive(Debug)]
pub struct Rotated {
    /// Number of the new generation.
    pub number: u32,
    /// From when on it signs.
    pub starts: Timestamp,
    /// Until when the one before it is valid for what is signed.
    pub previous_ends: Timestamp,
}

/// Whether an authority's keys are encrypted.
///
/// # Errors
/// [`Fault::Io`] when there is no authority.
pub fn is_protected(folder: &Path) -> Result<bool, Fault> {
    let path = folder.join(keys::FOLDER).join(Role::Tuf.file_name());
    let text = std::fs::read_to_string(&path).map_err(|e| Fault::io("read", &path, e))?;
    let kind = bulla::KeyPair::file_kind(&text, &bulla::Limits::default());
    Ok(matches!(kind, Some(bulla::PrivateKeyFile::Encrypted(_))))
}

/// Makes a new generation. `password` opens the key of the update repository, and `protection` is for the new keys.
///
/// # Errors
/// An [`OpenError`]; then the authority is as it was.
pub fn rotate(
    folder: &Path,
    schedule: Schedule,
    protection: &Protection<'_>,
    password: &dyn Fn() -> Result<Password, Fault>,
    now: Timestamp,
) -> Result<Rotated, OpenError> {
    let config = Config::load(folder)?;
    // It must not be served meanwhile: a server has read what is there.
    let _lock = lock(folder, &folder.join(STATE))?;
    let mut records = generation::records(folder)?;
    must_be_newest(folder, &config, &records)?;
    let newest = records.last().ok_or(Fault::Bug { what: "an authority without keys" })?;
    let late = |_| Fault::Bug { what: "the end of time" };
    let starts =
        whole_seconds(now.checked_add(schedule.announced_for).map_err(late)?).max(newest.starts);
    let previous_ends = starts.checked_add(schedule.overlap).map_err(late)?;
    let number = newest.number.saturating_add(1);
    let online = keys::load(&folder.join(keys::FOLDER), Role::Tuf, password)?;

    let place = generation::folder(folder, number);
    let logs = generation::logs_folder(folder, number);
    generation::discard_unfinished(folder, &config, number)?;
    let temporary = place.with_file_name(format!(".{number}.{}.tmp", hex::encode(random::<12>()?)));
    let make = |path: &Path| std::fs::create_dir_all(path).map_err(|e| Fault::io("make", path, e));
    make(&temporary)?;
    make(&logs)?;
    let period = Period { number, starts, previous_ends: Some(previous_ends) };
    let made = generation::create(&temporary, folder, &config, period, protection)
        .and_then(|record| {
            sync_folders(&temporary)?;
            sync_folders(&logs)?;
            // The one step in which the generation comes to be.
            std::fs::rename(&temporary, &place).map_err(|e| Fault::io("make", &place, e))?;
            sync_folders(&folder.join(generation::GENERATIONS))?;
            Ok(record)
        })
        .inspect_err(|_| {
            // As far as that goes.
            let _ = std::fs::remove_dir_all(&temporary);
        })?;
    records.push(made);
    // They follow from what is there now; the server, too, would write them.
    let trust = TrustFiles::of(&config, &records);
    trust.store(folder)?;
    Repository::at(folder, config.development).refresh(&trust, &online, now)?;
    Ok(Rotated { number, starts, previous_ends })
}
