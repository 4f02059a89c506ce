//! Logs for tests.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use bulla::{KeyAlgorithm, KeyPair, KeySigner};
use bulla_log::note::{NoteKey, VerifierKey};
use bulla_log::storage::LocalDirectory;
use bulla_log::witness::Witnesses;
use bulla_log::{HighWaterMark, LogConfig, LogKey, LogLimits};

pub(crate) const ORIGIN: &str = "log.example/test";

/// A key that can be handed out again and again.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) signer: Arc<NoteKey>,
}

impl Key {
    pub(crate) fn new(origin: &str) -> Self {
        Self::of(origin, KeyPair::generate(KeyAlgorithm::Ed25519).unwrap())
    }

    pub(crate) fn of(origin: &str, pair: KeyPair) -> Self {
        let key = VerifierKey::of_log(origin, pair.public().clone()).unwrap();
        Self { signer: Arc::new(NoteKey::new(Box::new(KeySigner::new(pair)), key)) }
    }

    pub(crate) fn verifier(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    pub(crate) fn trusted(&self) -> [LogKey; 1] {
        [LogKey::new(self.verifier().clone())]
    }

    /// A log in `root/log` with its mark in `root/mark`.
    pub(crate) fn config(&self, root: &Path) -> LogConfig {
        let storage = LocalDirectory::create(&root.join("log")).unwrap();
        let mark = LocalDirectory::create(&root.join("mark")).unwrap();
        LogConfig {
            storage: Arc::new(storage),
            mark: HighWaterMark::new(Arc::new(mark), "test.mark"),
            signer: self.signer.clone(),
            key: self.verifier().clone(),
            witnesses: Witnesses::none(),
            limits: LogLimits::default(),
        }
    }
}

pub(crate) fn entry(i: u64) -> Vec<u8> {
    format!("entry {i} {}", "x".repeat(usize::try_from(i % 97).unwrap())).into_bytes()
}
