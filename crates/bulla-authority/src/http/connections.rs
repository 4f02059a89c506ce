//! Connections: how many, and for how long one may take nothing of what it asked for.

use std::future::{Future as _, Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::shares::{Share, Shares};

/// A client that takes nothing for this long is not waited for.
const STALLED: Duration = Duration::from_secs(30);

/// Accepts as many as may be.
#[derive(Debug, Clone)]
pub(crate) struct Connections(pub(crate) Arc<Shares>);

impl<S> Accept<TcpStream, S> for Connections {
    type Stream = Watched<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = stream.peer_addr().and_then(|client| {
            let share = self.0.take(client.ip(), 1).ok_or_else(|| {
                tracing::debug!(%client, "too many connections: one more is closed");
                io::Error::other("too many connections")
            })?;
            Ok((Watched { stream, stalled: None, patience: STALLED, _share: share }, service))
        });
        ready(accepted)
    }
}

/// A connection that ends when its client takes nothing.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    /// Runs while something waits to be taken.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
    _share: Share,
}

impl<S> Watched<S> {
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // A socket has nothing to flush: that it is done says nothing about the client.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::task::Waker;

    /// Never takes anything.
    struct Stuck;

    impl AsyncWrite for Stuck {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_client_that_takes_nothing_is_left() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let share = Shares::new(1, 1).take(IpAddr::from([127, 0, 0, 1]), 1).unwrap();
            let patience = Duration::from_millis(20);
            let mut watched = Watched { stream: Stuck, stalled: None, patience, _share: share };
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut watched).poll_write(&mut context, b"x").is_pending());
            let ended = std::future::poll_fn(|context| {
                // Flushing in between is no sign of life.
                let _ = Pin::new(&mut watched).poll_flush(context);
                Pin::new(&mut watched).poll_write(context, b"x")
            });
            assert_eq!(ended.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }
}
