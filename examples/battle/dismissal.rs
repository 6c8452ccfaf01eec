//! How a battle parts with a client: why, and how its task learns of it, or of the client's wish to change.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use unsync_websocket::CloseCode;

use crate::change::Change;
use crate::wire;

/// Why the server parts with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dismissal {
    /// The server ends.
    GoingAway,
    /// The client does not take what it is sent as fast as it is made, or does not read it.
    TooSlow,
    /// The client speaks another version of the game.
    Outdated,
    /// The client sent something that is no message.
    Nonsense(wire::Error),
    /// The client asks for more than hands can.
    Flood,
    /// The client has a seat and does not use it.
    Idle,
    /// Its player has connected again.
    Replaced,
    /// The battle panicked.
    Failed,
}

impl Dismissal {
    /// The code of the Close frame.
    pub(crate) fn code(self) -> CloseCode {
        // 4000 and up are ours to give a meaning, which the page knows too (net.js).
        let ours = |code| CloseCode::new(code).unwrap_or(CloseCode::POLICY_VIOLATION);
        match self {
            Self::GoingAway => CloseCode::GOING_AWAY,
            Self::TooSlow => CloseCode::TRY_AGAIN_LATER,
            Self::Outdated | Self::Nonsense(_) | Self::Flood => CloseCode::POLICY_VIOLATION,
            Self::Idle => ours(4001),
            Self::Replaced => ours(4002),
            Self::Failed => CloseCode::INTERNAL_ERROR,
        }
    }

    /// The reason in the Close frame, which the page shows.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::GoingAway => String::from("the server is shutting down"),
            Self::TooSlow => String::from("too slow"),
            Self::Outdated => String::from("the game has a new version: reload the page"),
            Self::Nonsense(error) => error.to_string(),
            Self::Flood => String::from("too many inputs"),
            Self::Idle => String::from("idle"),
            Self::Replaced => String::from("connected again elsewhere"),
            Self::Failed => String::from("this battle has failed"),
        }
    }

    /// Whether the player's seat is kept for a while: of those who were unlucky, or are here again already.
    pub(crate) fn keeps_seat(self) -> bool {
        matches!(self, Self::TooSlow | Self::Replaced)
    }
}

/// Word from a battle to the task of one of its clients, beside the client's writer.
#[derive(Default)]
pub(crate) struct Notice {
    /// The connection, as the log calls it.
    pub(crate) conn: u64,
    /// The battle parts with this client. A client that leaves by itself is told nothing.
    pub(crate) dismissal: Word<Dismissal>,
    /// What its task shall ask the client, behind what it was sent before, by a Ping.
    pub(crate) question: Cell<Option<u32>>,
    /// This client wants to go on in another battle; of several wishes, in the latest.
    pub(crate) change: Word<Change>,
}

impl Notice {
    /// For the client on this connection.
    pub(crate) fn of(conn: u64) -> Self {
        Self { conn, ..Self::default() }
    }
}

/// A word that may be given, once or again, and that one task waits for.
pub(crate) struct Word<W> {
    word: Cell<Option<W>>,
    waker: Cell<Option<Waker>>,
}

impl<W> Default for Word<W> {
    fn default() -> Self {
        Self { word: Cell::default(), waker: Cell::default() }
    }
}

impl<W> Word<W> {
    pub(crate) fn give(&self, word: W) {
        self.word.set(Some(word));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits for the word, and takes it.
    pub(crate) async fn wait(&self) -> W {
        poll_fn(|cx| match self.word.take() {
            Some(word) => Poll::Ready(word),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    #[cfg(test)]
    pub(crate) fn given(&self) -> Option<W>
    where
        W: Copy,
    {
        self.word.get()
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once, zip};

    use super::*;

    #[test]
    fn every_dismissal_fits_a_close_frame() {
        let all = [
            (Dismissal::GoingAway, 1001),
            (Dismissal::TooSlow, 1013),
            (Dismissal::Outdated, 1008),
            (Dismissal::Nonsense(wire::Error::BadValue), 1008),
            (Dismissal::Flood, 1008),
            (Dismissal::Idle, 4001),
            (Dismissal::Replaced, 4002),
            (Dismissal::Failed, 1011),
        ];
        for (dismissal, code) in all {
            assert!(dismissal.reason().len() <= 123);
            assert_eq!(dismissal.code().get(), code);
        }
    }

    #[test]
    fn a_task_that_waits_is_woken_by_the_word_and_one_that_asks_later_has_it_too() {
        let word = Word::default();
        assert_eq!(block_on(poll_once(word.wait())), None);
        let (heard, ()) = block_on(zip(word.wait(), async { word.give(Dismissal::Flood) }));
        assert_eq!(heard, Dismissal::Flood);
        word.give(Dismissal::Idle);
        word.give(Dismissal::Failed);
        assert_eq!(block_on(word.wait()), Dismissal::Failed, "the latest");
        assert_eq!(block_on(poll_once(word.wait())), None, "it is taken once");
    }
}
