//! `/metrics`, in Prometheus' text format.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::authority::Authority;
use crate::http::Refusal;
use crate::logs;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    service: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogName {
    log: String,
}

/// What is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) certificates: Counter,
    pub(crate) entries_v1: Counter,
    pub(crate) entries_v2: Counter,
    pub(crate) timestamps: Counter,
    refused: Family<Refused, Counter>,
    log_size: Family<LogName, Gauge>,
    log_stopped: Family<LogName, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("bulla_authority");
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let refused = Family::default();
        let log_size = Family::default();
        let log_stopped = Family::default();
        let this = Self {
            certificates: counter(&mut registry, "certificates", "Certificates issued"),
            entries_v1: counter(
                &mut registry,
                "rekor_v1_entries",
                "Entries logged by way of the v1 interface",
            ),
            entries_v2: counter(
                &mut registry,
                "rekor_v2_entries",
                "Entries logged by way of the v2 interface",
            ),
            timestamps: counter(&mut registry, "timestamps", "Timestamps issued"),
            refused: Family::clone(&refused),
            log_size: Family::clone(&log_size),
            log_stopped: Family::clone(&log_stopped),
            registry: Registry::default(),
        };
        registry.register("refusals", "Requests that were not fulfilled", refused);
        registry.register("log_entries", "Entries in each log", log_size);
        let help = "Whether a log takes nothing until the authority is started again";
        registry.register("log_stopped", help, log_stopped);
        Self { registry, ..this }
    }
}

impl Metrics {
    pub(crate) fn refused(&self, service: &'static str, refusal: &Refusal) {
        self.refused.get_or_create(&Refused { service, status: refusal.status().as_u16() }).inc();
    }

    /// The text.
    pub(crate) fn text(&self, authority: &Authority) -> String {
        for active in authority.generations() {
            let logs = &active.logs;
            for (name, log) in
                [("ct", &logs.ct), ("rekor-v1", &logs.rekor_v1), ("rekor-v2", &logs.rekor_v2)]
            {
                let name = format!("{name}/{}", active.record.number);
                self.log_stopped
                    .get_or_create(&LogName { log: name.clone() })
                    .set(i64::from(log.stopped().is_some()));
                if let Ok(size) = logs::size(log.as_ref()) {
                    let log = name;
                    self.log_size
                        .get_or_create(&LogName { log })
                        .set(i64::try_from(size).unwrap_or(i64::MAX));
                }
            }
        }
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
