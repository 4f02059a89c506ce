//! Which services to use: a Sigstore signing config
//! (`application/vnd.dev.sigstore.signingconfig.v0.2+json`), or addresses that the user gives.

use bulla::Fault;
use sigstore_trust_root::{
    ServiceConfiguration, ServiceEndpoint, ServiceSelector, SigningConfig, SigstoreInstance,
};

/// The two forms of transparency log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RekorVersion {
    /// Rekor v1: says when an entry was added.
    V1,
    /// Rekor v2, on tiles: needs a timestamp beside it.
    V2,
}

/// A transparency log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its address.
    pub url: String,
    /// Its form.
    pub version: RekorVersion,
}

/// The services that a signature is made with. Where any of several will do, they are tried in order.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// Certificate authorities; any will do.
    pub certificate_authorities: Vec<String>,
    /// OpenID Connect provider for people.
    pub identity_provider: Option<String>,
    /// Transparency logs.
    pub logs: Vec<Log>,
    /// How many of the logs have to take the signature.
    pub logs_wanted: usize,
    /// Timestamp authorities.
    pub timestamp_authorities: Vec<String>,
    /// How many of them have to stamp it.
    pub timestamps_wanted: usize,
}

impl Services {
    /// The services of Sigstore's public-good instance, or of its staging instance.
    ///
    /// # Errors
    /// [`Fault::Bug`] when the config that comes with the program cannot be read.
    pub fn embedded(staging: bool, rekor: Option<RekorVersion>) -> Result<Self, Fault> {
        let instance =
            if staging { SigstoreInstance::Staging } else { SigstoreInstance::PublicGood };
        let text = instance
            .embedded_signing_config_json()
            .ok_or(Fault::Bug { what: "there is no embedded signing config" })?;
        Self::from_json("the embedded signing config", text, rekor)
    }

    /// Reads a signing config. `rekor` asks for logs of one form only.
    ///
    /// # Errors
    /// [`Fault::TrustedRoot`] that says what is wrong with it.
    pub fn from_json(name: &str, text: &str, rekor: Option<RekorVersion>) -> Result<Self, Fault> {
        let bad = |detail: String| Fault::TrustedRoot {
            name: name.to_owned(),
            detail,
            hint: "give the signing_config.json that the instance publishes",
        };
        let config = SigningConfig::from_json(text).map_err(|e| bad(e.to_string()))?;
        let version = rekor.map(|version| match version {
            RekorVersion::V1 => 1,
            RekorVersion::V2 => 2,
        });
        let urls = |of: Vec<&ServiceEndpoint>| -> Vec<String> {
            of.into_iter().map(|endpoint| endpoint.url.clone()).collect()
        };
        let logs = one_per_operator(config.eligible_rekor_urls(version));
        let stamps = one_per_operator(config.eligible_tsa_urls());
        let logs_wanted = wanted("transparency logs", &config.rekor_tlog_config, logs.len());
        let stamps_wanted = wanted("timestamp authorities", &config.tsa_config, stamps.len());
        Ok(Self {
            certificate_authorities: urls(config.eligible_fulcio_urls()),
            identity_provider: config.oidc_url().map(|endpoint| endpoint.url.clone()),
            logs: logs
                .iter()
                .map(|endpoint| Log {
                    url: endpoint.url.clone(),
                    version: match endpoint.major_api_version {
                        1 => RekorVersion::V1,
                        _ => RekorVersion::V2,
                    },
                })
                .collect(),
            logs_wanted: logs_wanted.map_err(&bad)?,
            timestamp_authorities: urls(stamps),
            timestamps_wanted: stamps_wanted.map_err(&bad)?,
        })
    }
}

/// Services of one operator vouch once (signing config specification): the first is the best.
fn one_per_operator(endpoints: Vec<&ServiceEndpoint>) -> Vec<&ServiceEndpoint> {
    let mut chosen: Vec<&ServiceEndpoint> = Vec::new();
    for endpoint in endpoints {
        let operator = endpoint.operator.as_deref().filter(|name| !name.is_empty());
        let known = operator
            .is_some_and(|name| chosen.iter().any(|other| other.operator.as_deref() == Some(name)));
        if !known {
            chosen.push(endpoint);
        }
    }
    chosen
}

fn wanted(what: &str, config: &ServiceConfiguration, there: usize) -> Result<usize, String> {
    let count = match config.selector {
        ServiceSelector::Any => there.min(1),
        ServiceSelector::All => there,
        ServiceSelector::Exact => match config.count {
            Some(count) if count > 0 => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(format!("it asks for an exact number of {what}, and gives none")),
        },
        _ => return Err(format!("it does not say how many {what} are to be used")),
    };
    if count > there {
        return Err(format!(
            "it asks for {count} {what} of different operators, and lists {there} that are valid now"
        ));
    }
    Ok(count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config(rekor: serde_json::Value, selector: serde_json::Value) -> Result<Services, Fault> {
        let valid = serde_json::json!({ "start": "2020-01-01T00:00:00Z" });
        let endpoint = |url: &str| serde_json::json!([{ "url": url, "majorApiVersion": 1, "validFor": valid, "operator": "a" }]);
        let json = serde_json::json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": endpoint("https://ca"), "oidcUrls": endpoint("https://idp"), "tsaUrls": endpoint("https://tsa"),
            "rekorTlogUrls": rekor, "rekorTlogConfig": selector, "tsaConfig": { "selector": "ANY" },
        });
        Services::from_json("test", &json.to_string(), None)
    }

    fn log(url: &str, version: u32, operator: &str, end: Option<&str>) -> serde_json::Value {
        serde_json::json!({ "url": url, "majorApiVersion": version, "operator": operator,
            "validFor": { "start": "2020-01-01T00:00:00Z", "end": end } })
    }

    #[test]
    fn logs_of_several_operators_are_used_where_the_config_asks() {
        let logs = serde_json::json!([
            log("https://a1", 1, "a", None),
            log("https://a2", 2, "a", None),
            log("https://b1", 1, "b", None),
            log("https://old", 2, "c", Some("2021-01-01T00:00:00Z")),
        ]);
        let read = |selector| config(logs.clone(), selector);
        let all = read(serde_json::json!({ "selector": "ALL" })).unwrap();
        let urls: Vec<_> = all.logs.iter().map(|log| (log.url.as_str(), log.version)).collect();
        assert_eq!(urls, [("https://a2", RekorVersion::V2), ("https://b1", RekorVersion::V1)]);
        assert_eq!(all.logs_wanted, 2);
        assert_eq!(read(serde_json::json!({ "selector": "ANY" })).unwrap().logs_wanted, 1);
        let two = serde_json::json!({ "selector": "EXACT", "count": 2 });
        assert_eq!(read(two).unwrap().logs_wanted, 2);
        for bad in [
            serde_json::json!({ "selector": "EXACT", "count": 3 }),
            serde_json::json!({ "selector": "EXACT" }),
            serde_json::json!({ "selector": "SERVICE_SELECTOR_UNDEFINED" }),
        ] {
            assert!(read(bad).is_err());
        }
    }

    #[test]
    fn the_embedded_configs_are_usable() {
        for staging in [false, true] {
            let services = Services::embedded(staging, None).unwrap();
            assert!(!services.certificate_authorities.is_empty() && !services.logs.is_empty());
            assert!(services.identity_provider.is_some());
        }
    }
}
