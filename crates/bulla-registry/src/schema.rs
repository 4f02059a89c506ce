//! The tables, and how an older registry becomes a newer one.

use bulla::Fault;

use crate::database::{Conflict, Database, Table, Tx, binds};

/// What is run to get from the version before to this one; the first makes an empty registry. One that was released is never
/// changed: what is wrong in it is mended by the next.
const MIGRATIONS: [&str; 2] = [V1, V2];

/// The newest version.
pub(crate) const VERSION: u64 = MIGRATIONS.len() as u64;

const V1: &str = "
CREATE TABLE meta (name {text} NOT NULL PRIMARY KEY, value {text} NOT NULL);

CREATE TABLE head (id BIGINT NOT NULL PRIMARY KEY, size BIGINT NOT NULL, frontier {bytes} NOT NULL, note {text} NOT NULL);
CREATE TABLE log_entries (idx BIGINT NOT NULL PRIMARY KEY, body {bytes} NOT NULL);
CREATE TABLE log_nodes (height BIGINT NOT NULL, idx BIGINT NOT NULL, hash {bytes} NOT NULL, PRIMARY KEY (height, idx)){rowless};
CREATE TABLE state_rows (bucket BIGINT NOT NULL, name {text} NOT NULL, value {text} NOT NULL, PRIMARY KEY (bucket, name)){rowless};
CREATE TABLE state_nodes (level BIGINT NOT NULL, idx BIGINT NOT NULL, digests {bytes} NOT NULL, PRIMARY KEY (level, idx));
CREATE TABLE attachments (digest {bytes} NOT NULL PRIMARY KEY, content {bytes} NOT NULL);

CREATE TABLE models (model {bytes} NOT NULL PRIMARY KEY, oms {bytes} NOT NULL, seen_at BIGINT NOT NULL);
CREATE TABLE sightings (model {bytes} NOT NULL, name {text} NOT NULL, place {text} NOT NULL, size BIGINT NOT NULL, files {bytes} NOT NULL, seen_at BIGINT NOT NULL, PRIMARY KEY (model, name, place, files)){rowless};
CREATE INDEX sightings_by_name ON sightings (name, model);
CREATE TABLE evidence (what {bytes} NOT NULL, model {bytes} NOT NULL, kind {text} NOT NULL, type {text} NOT NULL, role {text} NOT NULL, authorities {text} NOT NULL, basis {text} NOT NULL, seen_at BIGINT NOT NULL, PRIMARY KEY (what, model)){rowless};
CREATE TABLE rests_on (kind {text} NOT NULL, value {bytes} NOT NULL, model {bytes} NOT NULL, role {text} NOT NULL, what {bytes} NOT NULL, provider {text} NOT NULL, trusted BIGINT, not_before BIGINT, PRIMARY KEY (kind, value, model, role, what)){rowless};
CREATE INDEX rests_on_by_model ON rests_on (model);
CREATE TABLE lineage (kind {text} NOT NULL, value {bytes} NOT NULL, child {bytes} NOT NULL, what {bytes} NOT NULL, PRIMARY KEY (kind, value, child, what)){rowless};
CREATE INDEX lineage_by_child ON lineage (child);

CREATE TABLE keys (fingerprint {bytes} NOT NULL PRIMARY KEY, authority {text} NOT NULL, id {text} NOT NULL, algorithm {text} NOT NULL, storage {text} NOT NULL, valid_from BIGINT, valid_until BIGINT, added_at BIGINT NOT NULL, retired_at BIGINT, replaced_by {bytes}, overlap_until BIGINT);
CREATE TABLE decisions (request {text} NOT NULL PRIMARY KEY, idx BIGINT NOT NULL, model {bytes} NOT NULL, environment {text} NOT NULL, name {text} NOT NULL, admitted BIGINT NOT NULL, passed BIGINT NOT NULL, decided_at BIGINT NOT NULL, expires BIGINT, withdrawn_at BIGINT);
CREATE INDEX decisions_by_model ON decisions (model);
CREATE TABLE releases (idx BIGINT NOT NULL PRIMARY KEY, environment {text} NOT NULL, name {text} NOT NULL, sequence BIGINT, model {bytes} NOT NULL, oms {bytes} NOT NULL, request {text} NOT NULL, state {text} NOT NULL, since BIGINT NOT NULL);
CREATE INDEX releases_by_place ON releases (environment, name, idx);
CREATE INDEX releases_by_model ON releases (model);

CREATE TABLE revocations (idx BIGINT NOT NULL PRIMARY KEY, kind {text} NOT NULL, value {bytes} NOT NULL, provider {text} NOT NULL, since BIGINT, until BIGINT, body {text} NOT NULL, revoked_at BIGINT NOT NULL);
CREATE INDEX revocations_by_value ON revocations (kind, value);
CREATE TABLE quarantines (model {bytes} NOT NULL PRIMARY KEY, reason {text} NOT NULL, put_by {text} NOT NULL, put_at BIGINT NOT NULL);

CREATE TABLE resign (idx BIGINT NOT NULL PRIMARY KEY, model {bytes} NOT NULL, oms {bytes} NOT NULL, signing_key {bytes}, reason {text} NOT NULL, state {text} NOT NULL, why {text}, worker {text}, lease BIGINT, queued_at BIGINT NOT NULL);
CREATE INDEX resign_by_state ON resign (state, idx);
CREATE TABLE alerts (idx BIGINT NOT NULL PRIMARY KEY, destination {text} NOT NULL, payload {text} NOT NULL, attempts BIGINT NOT NULL, next_at BIGINT, delivered_at BIGINT, last_error {text}, queued_at BIGINT NOT NULL);
CREATE INDEX alerts_by_time ON alerts (next_at);
";

/// Signatures by age, and re-signing by model: for the status.
const V2: &str = "
CREATE INDEX evidence_by_model ON evidence (model);
CREATE INDEX keys_by_end ON keys (valid_until);
CREATE INDEX resign_by_model ON resign (model);
";

macro_rules! tables {
    ($($const:ident = $name:literal ($key:literal, $conflict:ident): $($column:literal)+;)*) => {
        $(pub(crate) static $const: Table = Table {
            name: $name,
            columns: &[$($column),+],
            key: $key,
            conflict: Conflict::$conflict,
        };)*
    };
}

tables! {
    LOG_ENTRIES = "log_entries" (1, Fail): "idx" "body";
    LOG_NODES = "log_nodes" (2, Fail): "height" "idx" "hash";
    STATE_ROWS = "state_rows" (2, Replace): "bucket" "name" "value";
    STATE_NODES = "state_nodes" (2, Replace): "level" "idx" "digests";
    ATTACHMENTS = "attachments" (1, Keep): "digest" "content";
    MODELS = "models" (1, Keep): "model" "oms" "seen_at";
    SIGHTINGS = "sightings" (4, Keep): "model" "name" "place" "files" "size" "seen_at";
    EVIDENCE = "evidence" (2, Keep): "what" "model" "kind" "type" "role" "authorities" "basis" "seen_at";
    RESTS_ON = "rests_on" (5, Keep): "kind" "value" "model" "role" "what" "provider" "trusted" "not_before";
    LINEAGE = "lineage" (4, Keep): "kind" "value" "child" "what";
    KEYS = "keys" (1, Fail): "fingerprint" "authority" "id" "algorithm" "storage" "valid_from" "valid_until" "added_at" "retired_at" "replaced_by" "overlap_until";
    DECISIONS = "decisions" (1, Fail): "request" "idx" "model" "environment" "name" "admitted" "passed" "decided_at" "expires" "withdrawn_at";
    RELEASES = "releases" (1, Fail): "idx" "environment" "name" "sequence" "model" "oms" "request" "state" "since";
    REVOCATIONS = "revocations" (1, Fail): "idx" "kind" "value" "provider" "since" "until" "body" "revoked_at";
    QUARANTINES = "quarantines" (1, Replace): "model" "reason" "put_by" "put_at";
    RESIGN = "resign" (1, Fail): "idx" "model" "oms" "signing_key" "reason" "state" "why" "worker" "lease" "queued_at";
    ALERTS = "alerts" (1, Fail): "idx" "destination" "payload" "attempts" "next_at" "delivered_at" "last_error" "queued_at";
}

/// The tables that follow from the log: an audit compares every row of them.
pub(crate) static PROJECTIONS: [&Table; 17] = [
    &LOG_ENTRIES,
    &LOG_NODES,
    &STATE_ROWS,
    &STATE_NODES,
    &ATTACHMENTS,
    &MODELS,
    &SIGHTINGS,
    &EVIDENCE,
    &RESTS_ON,
    &LINEAGE,
    &KEYS,
    &DECISIONS,
    &RELEASES,
    &REVOCATIONS,
    &QUARANTINES,
    &RESIGN,
    &ALERTS,
];

/// Makes the tables of a version in an empty database.
pub(crate) async fn create(database: &Database, tx: &mut Tx, version: u64) -> Result<(), Fault> {
    for (number, script) in (1..=version).zip(MIGRATIONS) {
        tx.run(database.in_dialect(script)).await?;
        if number == 1 {
            let first = binds!["schema", "1"];
            tx.execute("INSERT INTO meta (name, value) VALUES ($1, $2)", first).await?;
        }
    }
    say(tx, version).await
}

/// Brings tables up to the newest version, from the one they have: that one.
pub(crate) async fn migrate(database: &Database, tx: &mut Tx) -> Result<u64, Fault> {
    let from = version(tx).await?;
    for (_, script) in (1..).zip(MIGRATIONS).filter(|(number, _)| *number > from) {
        tx.run(database.in_dialect(script)).await?;
    }
    say(tx, VERSION).await?;
    Ok(from)
}

/// The version of the tables. One that is newer than this program is a fault.
pub(crate) async fn version(tx: &mut Tx) -> Result<u64, Fault> {
    let row = tx.row("SELECT value FROM meta WHERE name = $1", binds!["schema"]).await?;
    let text = row.map(|row| row.text(0)).transpose()?.unwrap_or_default();
    let version: u64 = text.parse().map_err(|_| {
        crate::damaged(
            tx.place(),
            format!("the version of its tables is {text:?}, expected a number"),
        )
    })?;
    if version > VERSION {
        return Err(Fault::Registry {
            place: tx.place().to_owned(),
            detail: format!(
                "its tables have version {version}, and this program knows up to {VERSION}"
            ),
            hint: "use the newer program that made them",
        });
    }
    Ok(version)
}

/// The same, where there may be no registry at all.
pub(crate) async fn exists(tx: &mut Tx) -> Result<bool, Fault> {
    let found = match tx.is_postgres() {
        true => tx.row("SELECT 1 WHERE to_regclass('meta') IS NOT NULL", Vec::new()).await?,
        false => {
            let sql = "SELECT 1 FROM sqlite_master WHERE name = 'meta'";
            tx.row(sql, Vec::new()).await?
        }
    };
    Ok(found.is_some())
}

async fn say(tx: &mut Tx, version: u64) -> Result<(), Fault> {
    let binds = binds![version.to_string(), "schema"];
    tx.execute("UPDATE meta SET value = $1 WHERE name = $2", binds).await.map(drop)
}
