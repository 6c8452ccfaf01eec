//! Until the connection lands.
#![allow(missing_docs, dead_code, missing_debug_implementations)]
use super::{Config, HalfClose, Timer};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Server,
    Client,
}

#[derive(Debug)]
pub struct WebSocket<T> {
    pub stream: T,
    pub read_ahead: Vec<u8>,
    pub subprotocol: Option<String>,
    local: std::marker::PhantomData<std::rc::Rc<()>>,
}

impl<T> WebSocket<T> {
    pub(crate) fn new_internal(
        stream: T,
        _role: Role,
        _config: &Config,
        read_ahead: Vec<u8>,
        _timer: Box<dyn Timer>,
        _half_close: Option<HalfClose<T>>,
        subprotocol: Option<String>,
    ) -> Self {
        Self {
            stream,
            read_ahead,
            subprotocol,
            local: std::marker::PhantomData,
        }
    }
}
