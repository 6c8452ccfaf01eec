//! permessage-deflate (RFC 7692) without the feature `deflate`: types without values, so that nothing can ask for compression, nothing
//! can agree on it, and RSV1 is never legal. The code that uses them is the same.

use std::rc::Rc;

use super::{ProtocolError, Role};

/// What is wanted of permessage-deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deflate {}

/// Its four parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeflateParams {
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    pub(crate) server_max_window_bits: u8,
    pub(crate) client_max_window_bits: u8,
}

impl Deflate {
    pub(crate) const fn params(&self) -> DeflateParams {
        match *self {}
    }

    pub(crate) const fn with_params(self, _: DeflateParams) -> Self {
        match self {}
    }
}

/// What unpacks compressed messages.
#[derive(Debug)]
pub(crate) enum Inflater {}

impl Inflater {
    pub(crate) const fn new(agreed: &Deflate, _: Role) -> Self {
        match *agreed {}
    }

    pub(crate) const fn max_packed(max: usize) -> usize {
        max
    }

    pub(crate) const fn begin(&mut self) {
        match *self {}
    }

    pub(crate) const fn packed(&mut self) -> &mut Vec<u8> {
        match *self {}
    }

    pub(crate) const fn step(&mut self, _: &mut Vec<u8>, _: usize) -> Result<bool, ProtocolError> {
        match *self {}
    }

    pub(crate) const fn cost(&self) -> usize {
        match *self {}
    }

    pub(crate) const fn release(&mut self) {
        match *self {}
    }
}

/// What packs messages.
#[derive(Debug)]
pub(crate) enum Deflater {}

impl Deflater {
    pub(crate) const fn new(agreed: &Deflate, _: Role) -> Self {
        match *agreed {}
    }

    pub(crate) const fn wants(&self, _: usize) -> bool {
        match *self {}
    }

    pub(crate) const fn wants_from(&self) -> usize {
        match *self {}
    }

    pub(crate) const fn deflate(&mut self, _: &[u8]) -> Option<Vec<u8>> {
        match *self {}
    }
}

/// The compressed forms of a message that is sent to many: none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variants {}

impl Variants {
    pub(crate) fn get_or_encode(
        &self,
        deflater: &Deflater,
        _: &[u8],
        _: impl FnOnce(&[u8]) -> Rc<[u8]>,
    ) -> Option<&Rc<[u8]>> {
        match *deflater {}
    }
}
