//! Keepalive: a Ping when nothing has been heard for a while, and the end when nothing is heard after that (RFC 6455,
//! section 5.5.2).
//!
//! Any received byte counts as life, so a busy connection is never pinged and a Pong that comes late does no harm. The alarm is not set
//! anew with every byte: when it rings, it looks how long ago the last one was.

use std::fmt;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{Sleep, Timer};

/// What our Pings begin with, so that their Pongs can be told from those to the user's. Behind it is a number.
const MARK: [u8; 4] = *b"\0ka\0";

/// The payload of a Ping of ours.
pub(crate) type Payload = [u8; 8];

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Ping(Payload),
    /// Nothing was heard for too long.
    GiveUp,
}

pub(crate) struct Keepalive {
    pulse: Pulse,
    alarm: Option<Sleep>,
}

/// What is known of the peer's life. It is all that another thread needs to go on: alarms are made anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    interval: Duration,
    timeout: Duration,
    /// When the last byte was received.
    heard: Instant,
    /// The last Ping: its number, and when it was sent.
    number: u32,
    pinged: Option<Instant>,
    /// Whether nothing has been heard since.
    is_waiting: bool,
    latency: Option<Duration>,
}

impl Pulse {
    pub(crate) const fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self { interval, timeout, heard: now, number: 0, pinged: None, is_waiting: false, latency: None }
    }

    /// When the next thing is to be done; never, if that is too far away to be told.
    fn deadline(&self) -> Option<Instant> {
        match self.pinged {
            Some(pinged) if self.is_waiting => pinged.checked_add(self.timeout),
            _ => self.heard.checked_add(self.interval),
        }
    }

    fn payload(&self) -> Payload {
        let [a, b, c, d] = MARK;
        let [e, f, g, h] = self.number.to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

impl Keepalive {
    pub(crate) const fn new(pulse: Pulse) -> Self {
        Self { pulse, alarm: None }
    }

    pub(crate) const fn pulse(&self) -> Pulse {
        self.pulse
    }

    /// Something was received.
    pub(crate) const fn heard(&mut self, now: Instant) {
        self.pulse.heard = now;
        self.pulse.is_waiting = false;
    }

    /// The time that the last answered Ping took.
    pub(crate) const fn latency(&self) -> Option<Duration> {
        self.pulse.latency
    }

    /// Whether a Pong answers a Ping of ours, be it a late one.
    pub(crate) fn takes_pong(&mut self, payload: &[u8], now: Instant) -> bool {
        if payload == self.pulse.payload()
            && let Some(pinged) = self.pulse.pinged
        {
            self.pulse.latency = Some(now.saturating_duration_since(pinged));
        }
        payload.len() == size_of::<Payload>() && payload.starts_with(&MARK)
    }

    /// Waits for the next thing to do. Without alarms there is none.
    pub(crate) fn poll(&mut self, timer: &dyn Timer, cx: &mut Context<'_>) -> Poll<Action> {
        loop {
            let deadline = self.pulse.deadline();
            if self.alarm.is_none() {
                self.alarm = deadline.and_then(|deadline| timer.sleep_until(deadline));
            }
            let Some(alarm) = &mut self.alarm else { return Poll::Pending };
            std::task::ready!(alarm.as_mut().poll(cx));
            self.alarm = None;
            let now = timer.now();
            if deadline.is_some_and(|deadline| now < deadline) {
                continue;
            }
            let pulse = &mut self.pulse;
            if pulse.is_waiting {
                return Poll::Ready(Action::GiveUp);
            }
            pulse.number = pulse.number.wrapping_add(1);
            pulse.pinged = Some(now);
            pulse.is_waiting = true;
            return Poll::Ready(Action::Ping(pulse.payload()));
        }
    }
}

impl fmt::Debug for Keepalive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keepalive").field("pulse", &self.pulse).finish_non_exhaustive()
    }
}
