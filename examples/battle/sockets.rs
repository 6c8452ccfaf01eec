//! The sockets of a thread: async-io's, or with the feature `local` those of a poller of the thread's own, which cost it less.
//!
//! Only this file knows which. What is of the thread's poller stays there, so on the way to another thread a socket is [packed](Socket):
//! out of its poller, and into that of the thread it comes to, which looks first at what has come meanwhile.

use std::io;

use futures_lite::{AsyncRead, AsyncWrite};

pub(crate) use of_thread::{TcpListener, TcpStream, run};

/// What a connection to a client runs over, which can go to another thread.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Sized + 'static {
    /// What goes.
    type Packed;

    fn pack(self) -> Self::Packed;

    /// On the thread where it is to be from now on. The system may have no room for it there.
    fn unpack(packed: Self::Packed) -> io::Result<Self>;
}

/// What crosses threads.
pub(crate) type Packed = <TcpStream as Socket>::Packed;

#[cfg(all(feature = "local", unix))]
mod of_thread {
    use std::{io, net};

    pub(crate) use unsync_websocket::local::{TcpListener, TcpStream, run};

    impl super::Socket for TcpStream {
        type Packed = net::TcpStream;

        fn pack(self) -> net::TcpStream {
            self.into_inner()
        }

        fn unpack(packed: net::TcpStream) -> io::Result<Self> {
            Self::new(packed)
        }
    }
}

#[cfg(not(all(feature = "local", unix)))]
mod of_thread {
    use std::{io, net};

    use async_io::Async;

    pub(crate) type TcpListener = Async<net::TcpListener>;
    pub(crate) type TcpStream = Async<net::TcpStream>;

    /// Runs a thread's executor. Nothing needs to be done for the sockets: async-io's are all in one poller, which any thread looks after.
    pub(crate) async fn run<F: Future>(future: F) -> io::Result<F::Output> {
        Ok(future.await)
    }

    impl super::Socket for TcpStream {
        type Packed = Self;

        fn pack(self) -> Self {
            self
        }

        fn unpack(packed: Self) -> io::Result<Self> {
            Ok(packed)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net;
    use std::thread;
    use std::time::Duration;

    use async_io::block_on;
    use futures_lite::AsyncReadExt;
    use futures_lite::future::poll_once;
    use socket2::SockRef;

    use super::*;

    /// A client, and the socket of its server, which somebody has waited for in vain, and which is on its way now.
    fn leaving() -> (net::TcpStream, Packed) {
        let listener = net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = TcpStream::new(listener.accept().unwrap().0).unwrap();
        server.get_ref().set_nodelay(true).unwrap();
        let waited = block_on(run(poll_once(server.read(&mut [0; 8])))).unwrap();
        assert!(waited.is_none());
        (client, server.pack())
    }

    /// What is read from it on another thread, and how that ends.
    fn arrived(packed: Packed) -> thread::JoinHandle<(Vec<u8>, Result<usize, ErrorKind>)> {
        thread::spawn(|| {
            let reading = async {
                let mut server = TcpStream::unpack(packed).unwrap();
                assert!(server.get_ref().nodelay().unwrap());
                let mut told = Vec::new();
                let ended = server.read_to_end(&mut told).await;
                (told, ended.map_err(|error| error.kind()))
            };
            block_on(run(reading)).unwrap()
        })
    }

    #[test]
    fn a_socket_learns_where_it_arrives_what_has_come_on_the_way_and_what_comes_then() {
        let words = |words: &[u8]| (words.to_vec(), Ok(words.len()));
        let (mut client, packed) = leaving();
        client.write_all(b"on the way").unwrap();
        client.shutdown(net::Shutdown::Write).unwrap();
        assert_eq!(arrived(packed).join().unwrap(), words(b"on the way"));

        let (mut client, packed) = leaving();
        let arrived_now = arrived(packed);
        for part in ["a ", "while ", "later"] {
            thread::sleep(Duration::from_millis(20));
            client.write_all(part.as_bytes()).unwrap();
        }
        drop(client);
        assert_eq!(arrived_now.join().unwrap(), words(b"a while later"));

        let (client, packed) = leaving();
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(arrived(packed).join().unwrap(), (Vec::new(), Err(ErrorKind::ConnectionReset)));
    }
}
