//! Being a witness for other logs (c2sp.org/tlog-witness): `POST /add-checkpoint`.
//!
//! The decision is [`CosigningWitness`]'s; here it gets its key, its memory and the logs that the configuration names.

use std::path::Path;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bulla::{Fault, Password};

use crate::authority::Authority;
use crate::config::Config;
use crate::http::Refusal;
use crate::init::STATE;
use crate::keys::{self, Protection, Role, ServiceKey};
use bulla_log::note::VerifierKey;
use bulla_log::storage::LocalDirectory;
use bulla_log::trust::log_key;
use bulla_log::witness::CosigningWitness;

/// Largest request: a checkpoint with a consistency proof.
pub(crate) const REQUEST_BYTES: usize = 64 << 10;
/// What it cosigned last, of each log.
const MEMORY: &str = "witness";

fn fault(path: &Path, error: impl std::fmt::Display) -> Fault {
    Fault::io("open", path, std::io::Error::other(error.to_string()))
}

/// How it is called: notes show it, and its key is bound to it.
fn verifier_key(host: &str, key: &ServiceKey) -> Result<VerifierKey, Fault> {
    VerifierKey::of_witness(&format!("{host}/witness"), key.public().clone())
        .map_err(|e| Fault::key(e.to_string()))
}

/// Makes its key and its empty memory.
pub(crate) fn create(
    authority: &Path,
    config: &Config,
    protection: &Protection<'_>,
) -> Result<(), Fault> {
    let key = keys::generate(&authority.join(keys::FOLDER), Role::Witness, protection)?;
    let host = config.host().map_err(|_| Fault::Bug { what: "a URL without a host" })?;
    let memory = authority.join(STATE).join(MEMORY);
    let storage = LocalDirectory::create(&memory).map_err(|e| fault(&memory, e))?;
    CosigningWitness::create(&storage, &verifier_key(&host, &key)?).map_err(|e| fault(&memory, e))
}

/// Opens it, if the configuration names logs for it. `host` is the one that the authority was made with.
pub(crate) fn open(
    authority: &Path,
    config: &Config,
    host: &str,
    password: &dyn Fn() -> Result<Password, Fault>,
) -> Result<Option<CosigningWitness>, Fault> {
    if config.witness.logs.is_empty() {
        return Ok(None);
    }
    let key = keys::load(&authority.join(keys::FOLDER), Role::Witness, password)?;
    let path = authority.join(crate::config::CONFIG_FILE);
    let logs = config
        .witness
        .logs
        .iter()
        .map(|log| log_key(log, None).map_err(|e| fault(&path, e)))
        .collect::<Result<Vec<_>, _>>()?;
    let verifier = verifier_key(host, &key)?;
    let memory = authority.join(STATE).join(MEMORY);
    let storage = LocalDirectory::open(&memory).map_err(|e| fault(&memory, e))?;
    CosigningWitness::open(Arc::new(storage), Box::new(key), verifier, logs)
        .map(Some)
        .map_err(|e| fault(&memory, e))
}

/// `POST /add-checkpoint`
pub(crate) async fn add_checkpoint(
    State(authority): State<Arc<Authority>>,
    body: Bytes,
) -> Response {
    let decided = tokio::task::spawn_blocking(move || {
        let Some(witness) = authority.witness() else {
            return Refusal::not_found("this authority is no witness").into_response();
        };
        let now = authority.now();
        if let Err(e) = authority.issuing(now) {
            return Refusal::from(e).into_response();
        }
        match witness.add_checkpoint(&body, now) {
            Ok(cosignatures) => cosignatures.into_response(),
            Err(refusal) => {
                tracing::info!(service = "witness", %refusal, "refused");
                let status = StatusCode::from_u16(refusal.status())
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let (kind, text) = refusal.body();
                (status, [(header::CONTENT_TYPE, kind)], text).into_response()
            }
        }
    });
    let stopping = || Refusal::unavailable("the authority is stopping").into_response();
    decided.await.unwrap_or_else(|_| stopping())
}
