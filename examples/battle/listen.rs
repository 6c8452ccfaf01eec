//! Where connections come in.

use std::io;
use std::net::{SocketAddr, TcpListener};

use async_io::Async;

use crate::per_core::Core;

/// As many listeners as there are cores, one each; or one, for all of them.
pub(crate) struct Listeners {
    list: Vec<Async<TcpListener>>,
    address: SocketAddr,
}

impl Listeners {
    /// One for all.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = Async::<TcpListener>::bind(address)?;
        let address = listener.get_ref().local_addr()?;
        Ok(Self { list: vec![listener], address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The one that this core has to itself, if it has one.
    pub(crate) fn of_core(&self, core: Core) -> Option<&Async<TcpListener>> {
        self.list.get(core.index).filter(|_| self.list.len() == core.count)
    }

    /// The one for all of so many cores, if they have none of their own.
    pub(crate) fn of_all(&self, count: usize) -> Option<&Async<TcpListener>> {
        self.list.first().filter(|_| self.list.len() != count)
    }
}
