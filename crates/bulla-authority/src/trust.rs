//! The files that clients need: whom to trust, and where to go. They follow from the configuration and the
//! generations alone, so they can be written anew at any time.

use std::path::Path;

use bulla::{Access, Existing, Fault};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::base64;
use crate::config::{Config, IssuerType};
use crate::generation::{Bytes, Record};

const TRUSTED_ROOT: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
const SIGNING_CONFIG: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
const TRUST_CONFIG: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";

/// Where an authority takes RFC 3161 requests.
pub(crate) const TIMESTAMP_PATH: &str = "/api/v1/timestamp";

/// The three documents.
#[derive(Debug, Clone)]
pub struct TrustFiles {
    /// Keys and certificates.
    pub trusted_root: Value,
    /// Where to send what.
    pub signing_config: Value,
    /// Both.
    pub trust_config: Value,
    development: bool,
}

impl TrustFiles {
    /// Of all generations.
    pub(crate) fn of(config: &Config, records: &[Record]) -> Self {
        let periods: Vec<(&Record, Value)> = records
            .iter()
            .enumerate()
            .map(|(i, record)| {
                let ends = records.get(i + 1).and_then(|next| next.previous_ends);
                (record, valid_for(record.starts, ends))
            })
            .collect();
        let trusted_root = trusted_root(config, &periods);
        let signing_config = signing_config(config, &periods);
        let trust_config = json!({
            "mediaType": TRUST_CONFIG,
            "trustedRoot": trusted_root,
            "signingConfig": signing_config,
        });
        Self { trusted_root, signing_config, trust_config, development: config.development }
    }

    /// Each with its file name. Those of a development authority say what they are, so that none ends up where a
    /// real one belongs.
    #[must_use]
    pub fn files(&self) -> [(String, &Value); 3] {
        [
            ("trusted_root.json", &self.trusted_root),
            ("signing_config.json", &self.signing_config),
            ("trust_config.json", &self.trust_config),
        ]
        .map(|(name, value)| {
            let prefix = if self.development { "development_" } else { "" };
            (format!("{prefix}{name}"), value)
        })
    }

    /// Writes them below a folder.
    ///
    /// # Errors
    /// [`Fault::Io`]
    pub fn store(&self, folder: &Path) -> Result<(), Fault> {
        self.files().into_iter().try_for_each(|(name, value)| {
            let text = format!("{value:#}\n");
            bulla::store(&folder.join(name), text.as_bytes(), Access::Public, Existing::Replace)
        })
    }
}

fn valid_for(starts: Timestamp, ends: Option<Timestamp>) -> Value {
    match ends {
        Some(ends) => json!({ "start": starts.to_string(), "end": ends.to_string() }),
        None => json!({ "start": starts.to_string() }),
    }
}

fn trusted_root(config: &Config, periods: &[(&Record, Value)]) -> Value {
    let log = |url: String, key: &Bytes, details: &str, id: [u8; 32], valid_for: &Value| {
        json!({
            "baseUrl": url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": base64(&key.0),
                "keyDetails": details,
                "validFor": valid_for,
            },
            "logId": { "keyId": base64(&id) },
        })
    };
    let authority = |url: String, common_name: String, chain: [&Bytes; 2], valid_for: &Value| {
        json!({
            "subject": { "organization": config.name, "commonName": common_name },
            "uri": url,
            "certChain": {
                "certificates": chain.map(|certificate| json!({ "rawBytes": base64(&certificate.0) })),
            },
            "validFor": valid_for,
        })
    };
    let (p256, ed25519) = ("PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519");
    let each = |make: &dyn Fn(&Record, &Value) -> Value| -> Vec<Value> {
        periods.iter().map(|(record, valid_for)| make(record, valid_for)).collect()
    };
    // The older log first: clients without a choice take the first.
    let mut tlogs = each(&|r, v| log(r.base_url(config), &r.rekor_v1, p256, r.rekor_v1_id(), v));
    tlogs.extend(each(&|r, v| log(r.base_url(config), &r.rekor_v2, ed25519, r.rekor_v2_id(), v)));
    json!({
        "mediaType": TRUSTED_ROOT,
        "tlogs": tlogs,
        "certificateAuthorities": each(&|r, v| {
            let name = format!("Issuing authority {}", r.number);
            authority(config.url.clone(), name, [&r.issuing, &r.root], v)
        }),
        "ctlogs": each(&|r, v| {
            log(format!("{}/ct", r.base_url(config)), &r.ct_log, p256, r.ct_log_id(), v)
        }),
        "timestampAuthorities": each(&|r, v| {
            let url = format!("{}{TIMESTAMP_PATH}", config.url);
            let name = format!("Timestamp authority {}", r.number);
            authority(url, name, [&r.timestamp, &r.timestamp_root], v)
        }),
    })
}

fn signing_config(config: &Config, periods: &[(&Record, Value)]) -> Value {
    let service = |url: String, version: u32, valid_for: &Value| {
        json!({
            "url": url,
            "majorApiVersion": version,
            "validFor": valid_for,
            "operator": config.name,
        })
    };
    // Those that do not change with the keys are valid from the first generation on.
    let always = periods.first().map_or(Value::Null, |(first, _)| valid_for(first.starts, None));
    let people = config
        .issuers
        .iter()
        .filter(|issuer| issuer.kind == IssuerType::Email)
        .map(|issuer| issuer.url.clone());
    let dev = config.development.then(|| config.dev_issuer_url());
    // Newest first, and of each the newer API first; a client takes what it understands.
    let logs: Vec<Value> = periods
        .iter()
        .rev()
        .flat_map(|(record, valid_for)| {
            [2, 1].map(|version| service(record.base_url(config), version, valid_for))
        })
        .collect();
    json!({
        "mediaType": SIGNING_CONFIG,
        "caUrls": [service(config.url.clone(), 1, &always)],
        "oidcUrls": dev
            .into_iter()
            .chain(people)
            .map(|url| service(url, 1, &always))
            .collect::<Vec<_>>(),
        "rekorTlogUrls": logs,
        "tsaUrls": [service(format!("{}{TIMESTAMP_PATH}", config.url), 1, &always)],
        "rekorTlogConfig": { "selector": "ANY" },
        "tsaConfig": { "selector": "ANY" },
    })
}
