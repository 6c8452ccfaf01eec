//! The `async-io` runtime: its clock.

use std::time::Instant;

use crate::connection::{Sleep, Timer};

/// The clock of async-io (and so of smol): what the constructors without a timer argument use.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{AsyncIoTimer, Timer};
///
/// let timer = AsyncIoTimer;
/// let alarm = timer.sleep_until(timer.now()).expect("async-io has alarms");
/// async_io::block_on(alarm);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncIoTimer;

impl Timer for AsyncIoTimer {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Option<Sleep> {
        Some(Box::pin(async move {
            async_io::Timer::at(deadline).await;
        }))
    }
}
