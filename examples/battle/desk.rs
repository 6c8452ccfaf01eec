//! The desk: where connections are taken in. Each is a page, or a client of a battle, here or on another core.

use std::net::{IpAddr, TcpListener, TcpStream};
use std::rc::{Rc, Weak};
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use futures_lite::{AsyncRead, AsyncWrite};
use socket2::SockRef;
use unsync_websocket::{BufWriter, Config, HandshakeError, Server, ServerRequest};

use crate::battle;
use crate::cores::{Cores, Inbox, Visit};
use crate::limits::Verdict;
use crate::manager::BattleManager;
use crate::pages;
use crate::wish::Wish;

/// Bytes of states that the kernel keeps for a client: seconds of a battle.
const SEND_BUFFER: usize = 32 << 10;

/// What a thread needs to take connections in.
pub(crate) struct Desk<'a, T> {
    pub(crate) cores: &'a Cores<T>,
    /// What every connection is like.
    pub(crate) config: Config,
    /// Where this thread has battles of its own.
    pub(crate) manager: Option<&'a BattleManager>,
}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Desk<'_, T> {
    /// One connection: a page, or a client of a battle, which plays here or goes to where its battle is.
    pub(crate) async fn serve(&self, server: Server<T>, from: Option<IpAddr>) -> Result<(), HandshakeError> {
        let entry = self.cores.limits.enter(from);
        if entry.verdict == Verdict::Beyond {
            return Ok(());
        }
        let request = server.config(self.config.clone()).same_origin().receive_request().await?;
        let Some(wish) = Wish::of(&request).filter(|_| request.is_upgrade()) else {
            return pages::answer(request, self.cores).await;
        };
        match entry.verdict {
            _ if self.cores.is_ending() => return refuse(request, 503, "the server is shutting down").await,
            Verdict::Welcome => {}
            Verdict::TooManyFromThere => {
                return refuse(request, 429, "too many connections from your address").await;
            }
            Verdict::Full | Verdict::Beyond => return refuse(request, 503, "the server is full").await,
        }
        // A thread with a listener of its own keeps whoever does not belong elsewhere.
        let place = match self.manager.filter(|_| wish == Wish::default()) {
            Some(manager) => Some(manager.core().index),
            None => self.cores.place(&wish),
        };
        match (place, self.manager) {
            (Some(index), Some(manager)) if manager.core().index == index => {
                self.welcome(request, wish, manager).await
            }
            (Some(index), _) => match self.cores.hand_over(index, request.into_parts(), entry) {
                Ok(()) => Ok(()),
                Err(parts) => refuse(ServerRequest::from_parts(parts), 503, "no room just now").await,
            },
            (None, _) => refuse(request, 503, "this part of the server has failed").await,
        }
    }

    /// A player whom another thread has sent here.
    async fn take_in(&self, request: ServerRequest<T>) -> Result<(), HandshakeError> {
        match (Wish::of(&request), self.manager) {
            (Some(wish), Some(manager)) => {
                self.welcome(request.config(self.config.clone()), wish, manager).await
            }
            _ => refuse(request, 500, "sent to the wrong place").await,
        }
    }

    fn handed_over(&self, took: Duration) {
        if let Some(manager) = self.manager {
            manager.counts().handed_over(took);
        }
    }

    async fn welcome(
        &self,
        request: ServerRequest<T>,
        wish: Wish,
        manager: &BattleManager,
    ) -> Result<(), HandshakeError> {
        if self.cores.is_ending() {
            return refuse(request, 503, "the server is shutting down").await;
        }
        if let Some((status, why)) = manager.refusal(wish) {
            return refuse(request, status, why).await;
        }
        let _counted = self.cores.count_client(manager.core());
        battle(request, manager).await
    }
}

/// Answers a player who cannot be let in. Whoever was refused for want of room may come back soon.
async fn refuse<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    request: ServerRequest<T>,
    status: u16,
    why: &str,
) -> Result<(), HandshakeError> {
    log::info!("{:?} is refused with {status}: {why}", request.path());
    let response = request.reject(status).body(why);
    if status == 503 { response.header("Retry-After", "1").await } else { response.await }
}

/// Takes clients in, each in a task of its own, which holds `present` if that is still there.
pub(crate) async fn accept<'m>(
    spawner: Spawner<'m>,
    desk: &'m Desk<'m, Async<TcpStream>>,
    listener: &Async<TcpListener>,
    present: Weak<BufWriter>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let present = present.upgrade();
                spawner.spawn(async move {
                    if let Err(error) = desk.serve(Server::new(tune(stream)), Some(from.ip())).await {
                        log::warn!("{error}");
                    }
                    drop(present);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: some will be free again.
                log::error!("accept: {error}");
                Timer::after(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Takes those in who were accepted elsewhere and belong here, as [`accept`] does.
pub(crate) async fn receive<'m>(
    spawner: Spawner<'m>,
    desk: &'m Desk<'m, Async<TcpStream>>,
    inbox: Inbox,
    present: Weak<BufWriter>,
) {
    while let Ok(visit) = inbox.recv().await {
        match visit {
            Visit::Player(parts, entry, sent) => {
                desk.handed_over(sent.elapsed());
                let present = present.upgrade();
                spawner.spawn(async move {
                    if let Err(error) = desk.take_in(ServerRequest::from_parts(parts)).await {
                        log::warn!("{error}");
                    }
                    drop(entry);
                    drop(present);
                });
            }
            #[cfg(test)]
            Visit::Bomb => panic!("a test wants this"),
        }
    }
}

/// A socket for what is stale soon: nothing waits to be sent along with more, and little waits at all. (The kernel would take
/// megabytes of states that nobody will ever look at, and a client that does not read would look well for minutes.)
fn tune(stream: Async<TcpStream>) -> Async<TcpStream> {
    let socket = SockRef::from(stream.get_ref());
    if let Err(error) = socket.set_tcp_nodelay(true).and_then(|()| socket.set_send_buffer_size(SEND_BUFFER)) {
        log::warn!("a socket cannot be tuned: {error}");
    }
    stream
}

/// How a task starts others. It does not keep the executor, for the executor keeps the task: so when a panic ends the thread,
/// everything on it ends, and every socket is closed.
#[derive(Clone)]
pub(crate) struct Spawner<'m>(Weak<LocalExecutor<'m>>);

impl<'m> Spawner<'m> {
    pub(crate) fn new(executor: &Rc<LocalExecutor<'m>>) -> Self {
        Self(Rc::downgrade(executor))
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'm) {
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(task).detach();
        }
    }
}
