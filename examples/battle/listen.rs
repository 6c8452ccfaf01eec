//! Where connections come in.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// As many listeners as there are cores, one each; or one, for all of them.
pub(crate) struct Listeners {
    list: Vec<TcpListener>,
    address: SocketAddr,
}

impl Listeners {
    /// One for all.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
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
            let listener = TcpListener::from(socket);
            // The first may have been given any port that is free: the others take the same.
            address = listener.local_addr()?;
            list.push(listener);
        }
        Ok(Self { list, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Each core's own, if they have one each; or else the one for all of them. It goes when its thread goes, so that the system sends
    /// nobody to a thread that is no more.
    pub(crate) fn deal(self, cores: usize) -> (Vec<Option<TcpListener>>, Option<TcpListener>) {
        let mut list = self.list.into_iter().map(Some);
        if list.len() == cores {
            return (list.collect(), None);
        }
        let of_all = list.next().flatten();
        ((0..cores).map(|_| None).collect(), of_all)
    }
}
