//! How much of something all clients together may take up, and one of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Refusal;
use super::rates::network;

/// What is shared: connections, or bytes in memory.
#[derive(Debug)]
pub(crate) struct Shares {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// Taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Shares>,
    by: IpAddr,
    amount: usize,
}

impl Shares {
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, taken: Mutex::default() })
    }

    /// Takes an amount, or nothing. Nobody waits: who waits takes up memory, too.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, amount: usize) -> Option<Share> {
        let by = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all = taken.all.checked_add(amount).filter(|all| *all <= self.all)?;
        let own = taken.by.get(&by).copied().unwrap_or(0).checked_add(amount)?;
        if own > self.each {
            return None;
        }
        taken.all = all;
        taken.by.insert(by, own);
        Some(Share { of: Arc::clone(self), by, amount })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(self.amount);
        if let Some(own) = taken.by.get_mut(&self.by) {
            *own = own.saturating_sub(self.amount);
            if *own == 0 {
                taken.by.remove(&self.by);
            }
        }
    }
}

/// Bodies up to this size count for nothing: what certificates, timestamps and most entries have.
const SMALL: usize = 64 << 10;

fn busy(what: &str) -> Response {
    let refusal = Refusal::unavailable(format!("too many large {what} at once: try again later"));
    ([("retry-after", "1")], refusal).into_response()
}

/// For routes that take large requests: the shares, and how large one may be.
pub(crate) async fn large_requests(
    State((shares, largest)): State<(Arc<Shares>, usize)>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let _share = match (length.unwrap_or(largest).min(largest), request.method().is_safe()) {
        (_, true) => None,
        (length, _) if length <= SMALL => None,
        (length, _) => match shares.take(client.ip(), length) {
            None => return busy("requests"),
            share => share,
        },
    };
    next.run(request).await
}

/// An answer that counts until the client has taken it.
struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// For all routes: large answers wait in memory for clients that do not read them.
pub(crate) async fn large_answers(
    State(shares): State<Arc<Shares>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let length = response.body().size_hint().lower();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length <= SMALL {
        return response;
    }
    let Some(share) = shares.take(client.ip(), length) else { return busy("answers") };
    let (parts, body) = response.into_parts();
    match axum::body::to_bytes(body, length).await {
        Ok(bytes) => {
            let held = Bytes::from_owner(Held { bytes, _share: share });
            Response::from_parts(parts, Body::from(held))
        }
        Err(_) => Refusal::unavailable("the answer could not be read").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_take_everything() {
        let shares = Shares::new(10, 4);
        let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
        let one = shares.take(ip(1), 4).unwrap();
        assert!(shares.take(ip(1), 1).is_none());
        let two = shares.take(ip(2), 4).unwrap();
        assert!(shares.take(ip(3), 3).is_none(), "all together");
        let three = shares.take(ip(3), 2).unwrap();
        drop(one);
        let again = shares.take(ip(1), 4).unwrap();
        drop((two, three, again));
        let taken = shares.taken.lock().unwrap();
        assert!(taken.all == 0 && taken.by.is_empty());
    }
}
