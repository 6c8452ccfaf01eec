//! What a connection has only while there is something in it.
//!
//! The reading side of a connection that waits between two messages, and the sending side of one that has nothing to send, say nothing
//! but that. They go to the thread meanwhile, for whichever connection is next, like the buffers: ten thousand idle connections do not
//! hold them, and nothing is allocated when one wakes. What compression was agreed on stays behind, with its context. One with something
//! else that cannot be made anew from a few words (a Close that was sent, masking keys, the peer's pulse) stays where it is.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use crate::protocol::{Deflater, Outbound};

/// Of each kind, as many as a thread keeps (some 240 KB of them): a room's, say, in which all are told something at once.
const KEPT: usize = 1024;

/// Something that need not be there while it is at rest.
pub(crate) trait Rests: Sized + 'static {
    /// What tells one at rest from another; what is only the connection's is in here while the rest is the thread's.
    type Terms;

    /// For who looks at one that is not there.
    const AT_REST: &'static Self;

    fn new() -> Self;

    /// Makes one at rest that of another connection.
    fn take_on(&mut self, terms: &mut Self::Terms);

    /// Leaves behind what is only this connection's.
    fn leave(&mut self, terms: &mut Self::Terms);

    fn is_at_rest(&self) -> bool;

    /// Those of this thread that are nobody's.
    fn spare() -> &'static Spare<Self>;
}

pub(crate) type Spare<V> = LocalKey<Boxes<V>>;
pub(crate) type Boxes<V> = RefCell<Vec<Box<V>>>;

/// One of those, or the words to make it from.
pub(crate) struct Resting<V: Rests> {
    present: Option<Box<V>>,
    terms: V::Terms,
}

impl<V: Rests> Resting<V> {
    pub(crate) fn new(present: V, mut terms: V::Terms) -> Self {
        // In a place of the thread's, or each new connection would leave it one more.
        let mut place = wake(&mut terms);
        *place = present;
        Self { present: Some(place), terms }
    }

    // Not methods, for what is inside has methods of its own.

    /// Whether it has been given back to the thread.
    #[inline]
    pub(crate) const fn is_at_rest(this: &Self) -> bool {
        this.present.is_none()
    }

    /// What it is made from again, if it has been given back to the thread.
    #[inline]
    pub(crate) const fn terms_at_rest(this: &Self) -> Option<&V::Terms> {
        if this.present.is_none() { Some(&this.terms) } else { None }
    }

    /// Takes it away; another takes its place when it is needed.
    pub(crate) fn take(this: &mut Self) -> Box<V> {
        this.present.take().unwrap_or_else(|| wake(&mut this.terms))
    }

    /// Gives it back to the thread, if it is at rest.
    pub(crate) fn rest(this: &mut Self) {
        if let Some(mut present) = this.present.take_if(|present| present.is_at_rest()) {
            present.leave(&mut this.terms);
            lay(present);
        }
    }
}

impl<V: Rests> Deref for Resting<V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        self.present.as_deref().unwrap_or(V::AT_REST)
    }
}

impl<V: Rests> DerefMut for Resting<V> {
    #[inline]
    fn deref_mut(&mut self) -> &mut V {
        self.present.get_or_insert_with(|| wake(&mut self.terms))
    }
}

/// One of the thread's. (Inlined where it is seldom called, it costs those who do not call it a tenth of a short message.)
#[cold]
#[inline(never)]
fn wake<V: Rests>(terms: &mut V::Terms) -> Box<V> {
    // At the end of a thread, when its locals are gone, a connection may still be polled.
    let spare = V::spare().try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    let mut one = spare.unwrap_or_else(|| Box::new(V::new()));
    one.take_on(terms);
    one
}

#[inline(never)]
fn lay<V: Rests>(one: Box<V>) {
    let _ended = V::spare().try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < KEPT {
            spare.push(one);
        }
    });
}

/// What an [`Outbound`] at rest leaves behind.
pub(crate) struct Sizes {
    pub(crate) fragment: usize,
    pub(crate) mark: usize,
    pub(crate) deflater: Option<Box<Deflater>>,
}

impl Sizes {
    /// As [`Outbound::way`] of one that has this, and nothing to write.
    pub(crate) fn way(&self) -> u8 {
        Outbound::way_with(self.fragment, self.deflater.as_deref())
    }
}

impl Rests for Outbound {
    type Terms = Sizes;

    const AT_REST: &'static Self = &Self::server();

    fn new() -> Self {
        Self::server()
    }

    fn take_on(&mut self, terms: &mut Sizes) {
        self.set_sizes(terms.fragment, terms.mark);
        *self.deflater() = terms.deflater.take();
    }

    fn leave(&mut self, terms: &mut Sizes) {
        terms.deflater = self.deflater().take();
    }

    fn is_at_rest(&self) -> bool {
        self.is_at_rest()
    }

    fn spare() -> &'static Spare<Self> {
        thread_local! {
            static SPARE: Boxes<Outbound> = const { RefCell::new(Vec::new()) };
        }
        &SPARE
    }
}
