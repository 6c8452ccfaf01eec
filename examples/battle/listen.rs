//! Where connections come in.

use std::io;
use std::net::{SocketAddr, TcpListener};

use async_io::Async;
use socket2::{Domain, Socket, Type};

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

    /// One for each of so many cores, on the same port: the system spreads connections over them, and over those of other processes
    /// that do the same.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "there is no such thing"))]
    pub(crate) fn sharing_port(mut address: SocketAddr, cores: usize) -> io::Result<Self> {
        let mut list = Vec::new();
        for _ in 0..cores {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            #[cfg(unix)]
            socket.set_reuse_port(true)?;
            #[cfg(not(unix))]
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no SO_REUSEPORT"));
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(1024)?;
            let listener = Async::new(TcpListener::from(socket))?;
            // The first may have been given any port that is free: the others take the same.
            address = listener.get_ref().local_addr()?;
            list.push(listener);
        }
        Ok(Self { list, address })
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
