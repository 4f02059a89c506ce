//! How often one client may ask.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Refusal;

/// More clients than this are not kept apart at once: those that were quiet are forgotten.
const CLIENTS: usize = 100_000;

/// Rates by client address.
#[derive(Debug)]
pub(crate) struct Rates(DefaultKeyedRateLimiter<IpAddr>);

impl Rates {
    /// So many each second, and so many at once.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self(RateLimiter::keyed(quota))
    }

    /// Counts a request.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.0.len() > CLIENTS {
            self.0.retain_recent();
        }
        let refused = |_| Refusal::too_many("too many requests from this address: try again later");
        self.0.check_key(&network(address)).map_err(refused)
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

/// The layer for routes that write.
pub(crate) async fn limit(
    State(rates): State<Arc<Rates>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match rates.check(client.ip()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => ([("retry-after", "1")], refusal).into_response(),
    }
}

/// The layer for all routes: those that only read have a rate of their own.
pub(crate) async fn limit_reads(
    rates: State<Arc<Rates>>,
    client: ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if request.method().is_safe() {
        return limit(rates, client, request, next).await;
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_floods_is_refused_and_others_are_not() {
        let rates = Rates::new(1, 2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(rates.check(ip("192.0.2.1")).is_ok());
        assert!(rates.check(ip("192.0.2.1")).is_ok());
        assert!(rates.check(ip("192.0.2.1")).is_err());
        assert!(rates.check(ip("192.0.2.2")).is_ok());
        assert!(rates.check(ip("2001:db8::1")).is_ok());
        assert!(rates.check(ip("2001:db8::2")).is_ok());
        assert!(rates.check(ip("2001:db8::3")).is_err(), "one network, one client");
    }
}
