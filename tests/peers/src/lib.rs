//! What a stream of frames comes to: by our reckoning, by a peer's, and by the slow model of the test kit.
//!
//! [`streams`] makes the streams; [`Story`] is what somebody makes of one, in the slow model's words. The comparison, with the list of
//! all that is known to differ, is in `tests/differential.rs`.

#[path = "../../kit/choices.rs"]
#[allow(clippy::should_implement_trait, reason = "the kit is for many")]
pub mod choices;
#[path = "../../kit/inflate.rs"]
#[allow(clippy::precedence, clippy::wrong_self_convention, reason = "the kit is for many")]
pub mod inflate;
pub mod ours;
#[path = "../../kit/slow.rs"]
pub mod slow;
pub mod streams;
pub mod tungstenite;

use slow::{Event, Limits, Seen, Verdict};

/// How far a stream was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// To its end; more is waited for.
    Waiting,
    /// To a Close.
    Closed,
    /// To a fault that deserves this close code.
    Fault(u16),
}

/// All that somebody makes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    pub events: Vec<Event>,
    pub end: End,
}

impl Story {
    /// The slow model's.
    #[must_use]
    pub fn of_model(seen: &Seen) -> Self {
        let end = match seen.verdict {
            Verdict::Open | Verdict::InMessage | Verdict::InFrame => End::Waiting,
            Verdict::Closed { .. } => End::Closed,
            Verdict::Fault { code, .. } => End::Fault(code),
        };
        Self { events: seen.events.clone(), end }
    }
}

/// A stream, and in which pieces it comes.
#[derive(Clone, Debug)]
pub struct Stream {
    pub from: slow::From,
    pub limits: Limits,
    pub bytes: Vec<u8>,
    /// Ends of the pieces, ascending, without the last.
    pub cuts: Vec<usize>,
}

impl Stream {
    /// The pieces in which it comes.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain([self.bytes.len()]);
        starts.zip(ends).map(|(start, end)| &self.bytes[start..end])
    }
}
