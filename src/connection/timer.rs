//! Time, injected: the library reads no clock of its own.
//!
//! A [`Timer`] tells the time and makes alarms. The `async-io` feature brings one and the constructors that use
//! it; with [`NoTimer`] there are no deadlines at all, which a caller has to ask for by name.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

/// A future that ends at a given instant, made by a [`Timer`].
///
/// # Examples
///
/// See [`Timer`].
pub type Sleep = Pin<Box<dyn Future<Output = ()>>>;

/// A clock, and alarms that go by it.
///
/// A connection asks for an alarm while it is opening or closing; an idle one holds none, or one for its
/// [`keepalive`](crate::Config::keepalive).
///
/// # Examples
///
/// A clock of one's own is two lines:
///
/// ```
/// use std::time::Instant;
/// use unsync_websocket::{Sleep, Timer};
///
/// struct SmolTimer;
///
/// impl Timer for SmolTimer {
///     fn now(&self) -> Instant {
///         Instant::now()
///     }
///     fn sleep_until(&self, deadline: Instant) -> Option<Sleep> {
///         Some(Box::pin(async move {
///             async_io::Timer::at(deadline).await;
///         }))
///     }
/// }
/// ```
pub trait Timer: 'static {
    /// The present instant.
    ///
    /// # Examples
    ///
    /// See [`Timer`].
    fn now(&self) -> Instant;

    /// A future that ends at `deadline`, at once if that has passed. `None` says that there is no such thing
    /// here, and that whoever asked has to wait without a deadline.
    ///
    /// # Examples
    ///
    /// See [`Timer`].
    fn sleep_until(&self, deadline: Instant) -> Option<Sleep>;
}

/// No deadlines: a peer that stops answering can hold a handshake or a closing connection open for ever.
///
/// For programs that keep time themselves, around the futures of this crate.
///
/// # Examples
///
/// ```
/// use futures_lite::io::Cursor;
/// use unsync_websocket::{NoTimer, Server};
///
/// let server = Server::with_timer(Cursor::new(Vec::<u8>::new()), NoTimer);
/// # drop(server);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTimer;

impl Timer for NoTimer {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, _deadline: Instant) -> Option<Sleep> {
        None
    }
}

impl fmt::Debug for dyn Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer")
    }
}
