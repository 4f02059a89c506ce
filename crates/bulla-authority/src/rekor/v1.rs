//! Rekor v1, for clients that know no newer one.
//!
//! Its answers have a signed entry timestamp and a checkpoint in its own dialect: the first line is `host - tree`, which
//! a signed note's name cannot be, and there is one signature only (its Go client refuses any that it
//! cannot verify). That checkpoint is signed here, over the size and the root that the log itself has signed: the two
//! cannot disagree.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bulla::Fault;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::entries_v1;
use super::index::leaf_hash;
use crate::authority::{Active, Authority};
use crate::base64;
use crate::clock::whole_seconds;
use crate::http::{AtMost, Refusal, read_object};
use crate::logs::{ENTRY_BYTES, first_four};
use crate::server::Generation;
use bulla_log::Included;

/// Most entries that are looked up in one request.
const LOOKUPS: usize = 10;

/// `POST /api/v1/log/entries`
pub(crate) async fn create_entry(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
    body: Bytes,
) -> Response {
    let answer = blocking(authority.clone(), generation, move |authority, generation| {
        create(authority, generation, &body)
    });
    match answer.await {
        Ok(Created { uuid, entry, existed: false }) => {
            authority.metrics().entries_v1.inc();
            let location = format!("/api/v1/log/entries/{uuid}");
            (
                StatusCode::CREATED,
                [(header::LOCATION, header_value(&location)), (header::ETAG, header_value(&uuid))],
                Json(entry),
            )
                .into_response()
        }
        Ok(Created { uuid, .. }) => {
            let message = format!(
                "an equivalent entry already exists in the transparency log with UUID {uuid}"
            );
            let location = header_value(&format!("/api/v1/log/entries/{uuid}"));
            let body = json!({ "code": 409, "message": message });
            (StatusCode::CONFLICT, [(header::LOCATION, location)], Json(body)).into_response()
        }
        Err(refusal) => {
            authority.metrics().refused("rekor-v1", &refusal);
            refusal.traced("rekor-v1").rekor_v1()
        }
    }
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Hashing, signing and the log block.
async fn blocking<T: Send + 'static>(
    authority: Arc<Authority>,
    generation: Generation,
    work: impl FnOnce(&Authority, u32) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(move || work(&authority, generation.number()))
        .await
        .map_err(|_| Refusal::unavailable("the authority is stopping"))?
}

struct Created {
    uuid: String,
    entry: Value,
    existed: bool,
}

fn create(authority: &Authority, generation: u32, body: &[u8]) -> Result<Created, Refusal> {
    let leaf = entries_v1::check(body)?.leaf;
    if leaf.len() > ENTRY_BYTES {
        return Err(Refusal::too_large("the entry is too large for the log"));
    }
    let now = authority.now();
    let active = authority.open_generation(generation, now)?;
    let hash = leaf_hash(&leaf);
    let uuid = entry_id(active, &hash);
    // Of two clients that propose the same at once the second one finds the first one's.
    let Some(_reserved) = active.index.reserve(hash) else {
        return Ok(Created { uuid, entry: Value::Null, existed: true });
    };
    authority.issuing(now)?;
    let included = active.logs.rekor_v1.append(leaf.clone())?;
    // The entry is there now; it was not there before.
    let time = whole_seconds(authority.now());
    let remembered = active.index.insert(hash, included.index, time);
    remembered.map_err(|e| Fault::io("write", std::path::Path::new("the times of the log"), e))?;
    let entry = answer(active, &leaf, &included, time)?;
    Ok(Created { uuid, entry, existed: false })
}

/// A number for the tree, from its key: Rekor's entries are named by their tree and their hash.
fn tree_id(active: &Active) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = active.record.rekor_v1_id();
    u64::from_be_bytes([a & 0x7f, b, c, d, e, f, g, h]).max(1)
}

fn entry_id(active: &Active, leaf_hash: &[u8; 32]) -> String {
    format!("{:016x}{}", tree_id(active), hex::encode(leaf_hash))
}

/// `LogEntry`: one entry by its name.
fn answer(
    active: &Active,
    leaf: &[u8],
    included: &Included,
    time: Timestamp,
) -> Result<Value, Refusal> {
    let log_id = hex::encode(active.record.rekor_v1_id());
    let promised = json!({
        "body": base64(leaf),
        "integratedTime": time.as_second(),
        "logID": log_id,
        "logIndex": included.index,
    });
    let promise = active.keys.rekor_v1.sign(&super::canonical_json(&promised)?)?;
    let mut entry = promised;
    if let Some(members) = entry.as_object_mut() {
        members.insert(
            "verification".into(),
            json!({
                "inclusionProof": {
                    "checkpoint": checkpoint(active, included.size, &included.root)?,
                    "hashes": included.hashes.iter().map(hex::encode).collect::<Vec<_>>(),
                    "logIndex": included.index,
                    "rootHash": hex::encode(included.root),
                    "treeSize": included.size,
                },
                "signedEntryTimestamp": base64(&promise),
            }),
        );
    }
    Ok(Value::Object(Map::from_iter([(entry_id(active, &leaf_hash(leaf)), entry)])))
}

/// A tree head that the log has signed, in Rekor v1's dialect.
fn checkpoint(active: &Active, size: u64, root: &[u8; 32]) -> Result<String, Fault> {
    let host = &active.record.host;
    let text = format!("{host} - {}\n{size}\n{}\n", tree_id(active), base64(root));
    let key = &active.keys.rekor_v1;
    let signature = key.sign(text.as_bytes())?;
    let signed = base64(&[&first_four(key.id())[..], &signature].concat());
    Ok(format!("{text}\n\u{2014} {host} {signed}\n"))
}

fn look_up(active: &Active, index: u64) -> Result<Value, Refusal> {
    let not_found = || Refusal::not_found("there is no such entry");
    if index >= crate::logs::size(active.logs.rekor_v1.as_ref())? {
        return Err(not_found());
    }
    let leaf = active.logs.rekor_v1.entry(index)?;
    let included = active.logs.rekor_v1.prove(index)?;
    let time = active
        .index
        .time(index)
        .map_err(|e| Fault::io("read", std::path::Path::new("the times of the log"), e))?;
    answer(active, &leaf, &included, time.ok_or_else(not_found)?)
}

/// By either of the names that Rekor gives: with the tree in front, or the hash alone.
fn find(active: &Active, name: &str) -> Result<u64, Refusal> {
    let tree = format!("{:016x}", tree_id(active));
    let hash = if name.len() == 80 { name.strip_prefix(&tree) } else { Some(name) };
    let mut bytes = [0; 32];
    hash.and_then(|hash| hex::decode_to_slice(hash, &mut bytes).ok())
        .and_then(|()| active.index.find(&bytes))
        .ok_or_else(|| Refusal::not_found("there is no such entry"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ByIndex {
    log_index: u64,
}

/// `GET /api/v1/log/entries?logIndex=`
pub(crate) async fn by_index(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
    Query(ByIndex { log_index }): Query<ByIndex>,
) -> Response {
    respond(
        blocking(authority, generation, move |authority, generation| {
            look_up(authority.generation_or_none(generation)?, log_index)
        })
        .await,
    )
}

/// `GET /api/v1/log/entries/{uuid}`
pub(crate) async fn by_uuid(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
    Path(uuid): Path<String>,
) -> Response {
    respond(
        blocking(authority, generation, move |authority, generation| {
            let active = authority.generation_or_none(generation)?;
            look_up(active, find(active, &uuid)?)
        })
        .await,
    )
}

fn respond(answer: Result<Value, Refusal>) -> Response {
    match answer {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => refusal.rekor_v1(),
    }
}

/// `SearchLogQuery`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search<'a> {
    #[serde(default, rename = "entryUUIDs")]
    entry_uuids: AtMost<String, LOOKUPS>,
    #[serde(default)]
    log_indexes: AtMost<u64, LOOKUPS>,
    #[serde(default, borrow)]
    entries: AtMost<&'a RawValue, LOOKUPS>,
}

/// `POST /api/v1/log/entries/retrieve`
pub(crate) async fn retrieve(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
    body: Bytes,
) -> Response {
    respond(
        blocking(authority, generation, move |authority, generation| {
            search(authority.generation_or_none(generation)?, &body)
        })
        .await,
    )
}

fn search(active: &Active, body: &[u8]) -> Result<Value, Refusal> {
    let Search {
        entry_uuids: AtMost(entry_uuids),
        log_indexes: AtMost(log_indexes),
        entries: AtMost(entries),
    } = read_object(body)?;
    if entry_uuids.len() + log_indexes.len() + entries.len() > LOOKUPS {
        return Err(Refusal::malformed(format!(
            "more than max allowed {LOOKUPS} entries in request"
        )));
    }
    let mut places = log_indexes;
    places.extend(entry_uuids.iter().filter_map(|name| find(active, name).ok()));
    for entry in entries {
        let leaf = entries_v1::check(entry.get().as_bytes())?.leaf;
        places.extend(active.index.find(&leaf_hash(&leaf)));
    }
    let mut found = Vec::new();
    for place in places {
        match look_up(active, place) {
            Ok(entry) => found.push(entry),
            Err(refusal) if refusal.status() == StatusCode::NOT_FOUND => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(found.into())
}

/// `GET /api/v1/log`
pub(crate) async fn info(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
) -> Response {
    respond(
        blocking(authority, generation, |authority, generation| {
            let active = authority.generation_or_none(generation)?;
            let note = active.logs.rekor_v1.file("checkpoint")?.unwrap_or_default();
            let (size, root) =
                head(&note).ok_or_else(|| Refusal::unavailable("the log has no checkpoint"))?;
            Ok(json!({
                "rootHash": hex::encode(root),
                "treeSize": size,
                "signedTreeHead": checkpoint(active, size, &root)?,
                "treeID": tree_id(active).to_string(),
                "inactiveShards": [],
            }))
        })
        .await,
    )
}

/// Size and root in a checkpoint of our own.
fn head(note: &[u8]) -> Option<(u64, [u8; 32])> {
    let text = std::str::from_utf8(note).ok()?;
    let mut lines = text.lines().skip(1);
    let size = lines.next()?.parse().ok()?;
    let root = crate::unbase64(lines.next()?)?.try_into().ok()?;
    Some((size, root))
}

/// `GET /api/v1/log/publicKey`
pub(crate) async fn public_key(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
) -> Response {
    match authority.generation_or_none(generation.number()) {
        Ok(active) => (
            [(header::CONTENT_TYPE, "application/x-pem-file")],
            active.keys.rekor_v1.public().to_pem(),
        )
            .into_response(),
        Err(refusal) => refusal.rekor_v1(),
    }
}
