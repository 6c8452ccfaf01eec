//! TCP for local executors: sockets that sit in a poller of their thread's own, edge-triggered, which is itself one of
//! async-io's sources.
//!
//! [`async_io::Async`] serves any executor on any thread; for that, all sockets of a process share one epoll set, each
//! wake-up of each of them re-arms it with a system call, and a read that finds nothing comes before each wait. Here
//! a wake-up of the thread costs that once for all sockets that are ready, and a read that took less than it could have
//! is known to be the last.
//!
//! A socket stays on its thread, and its futures are woken there: wakers lie in `Cell`s.
//!
//! # Examples
//!
//! ```
//! use async_executor::LocalExecutor;
//! use async_io::block_on;
//! use futures_lite::future::zip;
//! use unsync_websocket::local::{self, TcpListener, TcpStream};
//! use unsync_websocket::{Client, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
//! let address = listener.local_addr()?;
//! let executor = LocalExecutor::new();
//! let greeting = executor.spawn(async move {
//!     let (stream, _) = listener.accept().await?;
//!     let mut websocket = Server::new(stream).accept().await?;
//!     websocket.sender.send("hello").await?;
//!     websocket.close().await?;
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! });
//! let listening = async {
//!     let stream = TcpStream::connect(address).await?;
//!     let mut websocket = Client::new(stream, address.to_string(), "/").connect().await?;
//!     let mut greeting = Vec::new();
//!     websocket.receiver.receive_data(&mut greeting).await?;
//!     websocket.close().await?;
//!     Ok::<_, Box<dyn std::error::Error>>(greeting)
//! };
//! // All of it within `run`, which looks after the sockets.
//! let (greeted, greeting) = block_on(local::run(executor.run(zip(greeting, listening))))?;
//! greeted?;
//! assert_eq!(greeting?, b"hello");
//! # Ok(())
//! # }
//! ```

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};
use slab::Slab;

/// Events that one look at the sockets may bring; more wait for the next.
const EVENTS: usize = 256;

/// Looks at the sockets, between which nothing else of async-io (its timers among it) is looked at.
const ROUNDS: u32 = 8;

/// As many events in one look make it likely that the next finds some, too.
const MANY: usize = 4;

/// Buffers of one vectored write that are sure to be looked at.
const VECTORED: usize = 1024;

thread_local! {
    static POLLER: OnceCell<Rc<Poller>> = const { OnceCell::new() };
}

/// The sockets of a thread.
struct Poller {
    mio: RefCell<(mio::Poll, Events)>,
    registry: Registry,
    /// The same once more, for async-io to tell when there is an event.
    outer: Async<Registry>,
    sockets: RefCell<Slab<Rc<Readiness>>>,
    /// How many [`run`]s there are: without one, nobody would be woken.
    runs: Cell<u32>,
}

impl Poller {
    /// This thread's.
    fn of_thread() -> io::Result<Rc<Self>> {
        POLLER.with(|poller| {
            if let Some(poller) = poller.get() {
                return Ok(Rc::clone(poller));
            }
            let new = Rc::new(Self::new()?);
            Ok(Rc::clone(poller.get_or_init(|| new)))
        })
    }

    fn new() -> io::Result<Self> {
        let mio = mio::Poll::new()?;
        let registry = mio.registry().try_clone()?;
        let outer = Async::new_nonblocking(mio.registry().try_clone()?)?;
        let mio = RefCell::new((mio, Events::with_capacity(EVENTS)));
        Ok(Self { mio, registry, outer, sockets: RefCell::default(), runs: Cell::new(0) })
    }

    /// Wakes whoever waits for what has happened; how much that was.
    fn look(&self) -> io::Result<usize> {
        // A waker that runs its task at once, and that again `run`: the outer look goes on later.
        let Ok(mut mio) = self.mio.try_borrow_mut() else { return Ok(0) };
        let (poll, events) = &mut *mio;
        match poll.poll(events, Some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            looked => looked?,
        }
        for event in events.iter() {
            let socket = self.sockets.borrow().get(event.token().0).map(Rc::clone);
            // If it is gone, or another one by now, an event too many does no harm.
            if let Some(socket) = socket {
                socket.heed(event);
            }
        }
        Ok(events.iter().count())
    }
}

/// What is known of a socket.
#[derive(Default)]
struct Readiness {
    reading: Half,
    writing: Half,
}

impl Readiness {
    const fn reading(&self) -> &Half {
        &self.reading
    }

    const fn writing(&self) -> &Half {
        &self.writing
    }

    fn heed(&self, event: &Event) {
        let (read_over, write_over) = (event.is_read_closed(), event.is_write_closed());
        if event.is_readable() || read_over || event.is_error() {
            self.reading.heed(read_over || event.is_error());
        }
        if event.is_writable() || write_over || event.is_error() {
            self.writing.heed(write_over || event.is_error());
        }
    }
}

/// One direction of a socket.
struct Half {
    /// The system may have something to do. It is asked, as long as nothing else is known.
    is_ready: Cell<bool>,
    /// The other end has gone or failed: there will be no more events.
    is_over: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Default for Half {
    fn default() -> Self {
        Self { is_ready: Cell::new(true), is_over: Cell::new(false), waker: Cell::new(None) }
    }
}

impl Half {
    fn heed(&self, is_over: bool) {
        self.is_ready.set(true);
        self.is_over.set(self.is_over.get() || is_over);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wait(&self, cx: &Context<'_>) {
        let waker = self.waker.take().filter(|waker| waker.will_wake(cx.waker()));
        self.waker.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
    }
}

/// A socket's place in its thread's poller, to be dropped before the socket.
struct Place {
    poller: Rc<Poller>,
    readiness: Rc<Readiness>,
    token: Token,
    fd: RawFd,
}

impl Place {
    /// For a socket that does not block.
    fn new(socket: &impl AsRawFd, interest: Interest) -> io::Result<Self> {
        let (poller, readiness, fd) = (Poller::of_thread()?, Rc::<Readiness>::default(), socket.as_raw_fd());
        let token = Token(poller.sockets.borrow_mut().insert(Rc::clone(&readiness)));
        let place = Self { poller, readiness, token, fd };
        place.poller.registry.register(&mut SourceFd(&fd), token, interest)?;
        Ok(place)
    }

    /// Does `work` on one half of the socket, now or as soon as it need not wait.
    fn poll<R>(
        &self,
        cx: &Context<'_>,
        half: fn(&Readiness) -> &Half,
        mut work: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let half = half(&self.readiness);
        while half.is_ready.get() {
            match work() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => half.is_ready.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
        if self.poller.runs.get() == 0 {
            return Poll::Ready(Err(io::Error::other(
                "a local socket is waited for outside of `local::run`",
            )));
        }
        half.wait(cx);
        Poll::Pending
    }

    /// As [`poll`](Self::poll), for work that moves bytes: what moved fewer than `most` would have to wait next time.
    fn poll_bytes(
        &self,
        cx: &Context<'_>,
        half: fn(&Readiness) -> &Half,
        most: usize,
        work: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let moved = ready!(self.poll(cx, half, work))?;
        let half = half(&self.readiness);
        if (1..most).contains(&moved) && !half.is_over.get() {
            half.is_ready.set(false);
        }
        Poll::Ready(Ok(moved))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Neither can fail for a socket that is registered, and it does no harm for one that never was.
        _ = self.poller.registry.deregister(&mut SourceFd(&self.fd));
        _ = self.poller.sockets.borrow_mut().try_remove(self.token.0);
    }
}

/// Runs `future`, and looks after the sockets of this thread while it does: they work only within.
///
/// Give it what runs the executor, and give it to [`async_io::block_on`], which drives timers and everything else of
/// async-io: `block_on(local::run(executor.run(main)))`. One is enough for a thread; more do no harm.
///
/// # Errors
///
/// When the system has no poller for this thread (too many files open, say) or does not tell of the sockets any more.
///
/// # Cancel safety
///
/// Dropping it drops `future`. The sockets stay as they are, and go on in the next `run` of the thread.
///
/// # Examples
///
/// See the [module](self).
pub async fn run<F: Future>(future: F) -> io::Result<F::Output> {
    let poller = Poller::of_thread()?;
    let _run = Run::of(&poller);
    let mut future = pin!(future);
    poll_fn(|cx| {
        let mut events = 0;
        for _ in 0..ROUNDS {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            // Where there was much, there is more by now; else async-io tells when there is.
            if events < MANY && poller.outer.poll_readable(cx)?.is_pending() {
                return Poll::Pending;
            }
            events = poller.look()?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Counts a [`run`] for as long as it lives.
struct Run<'a>(&'a Cell<u32>);

impl<'a> Run<'a> {
    fn of(poller: &'a Poller) -> Self {
        poller.runs.update(|count| count.saturating_add(1));
        Self(&poller.runs)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.update(|count| count.saturating_sub(1));
    }
}

/// A TCP connection of this thread.
///
/// It reads and writes within [`run`] only: outside, what would have to wait is an error. [`AsyncWrite::poll_close`] sends FIN.
///
/// # Cancel safety
///
/// A read or write that was `Pending` has taken or given nothing.
///
/// # Examples
///
/// See the [module](self).
pub struct TcpStream {
    place: Place,
    socket: net::TcpStream,
}

impl TcpStream {
    /// Takes in a connection that is already there, of whatever thread it was before.
    ///
    /// # Errors
    ///
    /// When the system does not let it be set to nonblocking mode, or watched.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::local;
    ///
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let socket = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// let stream = local::TcpStream::new(socket)?;
    /// stream.get_ref().set_nodelay(true)?;
    /// // ... and gives it back, still in nonblocking mode.
    /// let socket: std::net::TcpStream = stream.into_inner();
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new(socket: net::TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::of_nonblocking(socket)
    }

    fn of_nonblocking(socket: net::TcpStream) -> io::Result<Self> {
        Ok(Self { place: Place::new(&socket, Interest::READABLE | Interest::WRITABLE)?, socket })
    }

    /// Connects to `address`.
    ///
    /// # Errors
    ///
    /// Those of the system. There is no deadline but the system's.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the attempt up.
    ///
    /// # Examples
    ///
    /// See the [module](self).
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = Self::of_nonblocking(mio::net::TcpStream::connect(address)?.into())?;
        poll_fn(|cx| {
            stream.place.poll(cx, Readiness::writing, || match stream.socket.take_error()? {
                Some(error) => Err(error),
                None => stream.socket.peer_addr().map(drop).map_err(|error| match error.kind() {
                    // That there has not been an answer yet.
                    io::ErrorKind::NotConnected => io::ErrorKind::WouldBlock.into(),
                    _ => error,
                }),
            })
        })
        .await?;
        Ok(stream)
    }

    /// The socket, for its options and addresses. Whoever reads from it or writes to it may keep this stream waiting for good.
    ///
    /// # Examples
    ///
    /// See [`new`](Self::new).
    pub const fn get_ref(&self) -> &net::TcpStream {
        &self.socket
    }

    /// The socket, which any thread may have then. It is in nonblocking mode.
    ///
    /// # Examples
    ///
    /// See [`new`](Self::new).
    pub fn into_inner(self) -> net::TcpStream {
        let Self { place, socket } = self;
        drop(place);
        socket
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = buf.len();
        self.place.poll_bytes(cx, Readiness::reading, most, || (&self.socket).read(buf))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.place.poll_bytes(cx, Readiness::writing, buf.len(), || (&self.socket).write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // However many there are, the system takes no more than so many at once; then there may be room left.
        let most = bufs.iter().map(|buf| buf.len()).take(VECTORED).fold(0, usize::saturating_add);
        self.place.poll_bytes(cx, Readiness::writing, most, || (&self.socket).write_vectored(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(Shutdown::Write))
    }
}

/// Takes TCP connections in, for this thread.
///
/// # Examples
///
/// See the [module](self).
pub struct TcpListener {
    place: Place,
    socket: mio::net::TcpListener,
}

impl TcpListener {
    /// Listens at `address`, with the port that the system chooses if that is 0.
    ///
    /// # Errors
    ///
    /// Those of the system, such as that the port is taken.
    ///
    /// # Examples
    ///
    /// See the [module](self).
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::new(net::TcpListener::bind(address)?)
    }

    /// Takes in a listener that is already there.
    ///
    /// # Errors
    ///
    /// When the system does not let it be set to nonblocking mode, or watched.
    ///
    /// # Examples
    ///
    /// ```
    /// let listener = unsync_websocket::local::TcpListener::new(std::net::TcpListener::bind("127.0.0.1:0")?)?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new(socket: net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = mio::net::TcpListener::from_std(socket);
        Ok(Self { place: Place::new(&socket, Interest::READABLE)?, socket })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// None that is known.
    ///
    /// # Examples
    ///
    /// See [`new`](Self::new).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection, and where it comes from.
    ///
    /// # Errors
    ///
    /// Those of the system, such as that there are too many files open: the connection waits then, and the next call tries
    /// again at once. So wait a little before it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses no connection. Of two that wait at the same time, only the last is woken.
    ///
    /// # Examples
    ///
    /// See the [module](self).
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = poll_fn(|cx| self.place.poll(cx, Readiness::reading, || self.socket.accept()));
        let (socket, address) = accepted.await?;
        Ok((TcpStream::of_nonblocking(socket.into())?, address))
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}
