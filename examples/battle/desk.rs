//! The desk: where connections are taken in. Each is a page, or a client of a battle, here or on another core.

use std::io;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use async_io::Timer;
use socket2::SockRef;
use unsync_websocket::{BufWriter, Config, HandshakeError, Parts, Server, ServerRequest};

use crate::battle;
use crate::change::{Ask, Mover, arrive};
use crate::cores::{Cores, Inbox, Visit};
use crate::limits::{Entry, Verdict};
use crate::manager::BattleManager;
use crate::pages;
use crate::sockets::{Socket, TcpListener, TcpStream};
use crate::wish::Wish;

/// Bytes of states that the kernel keeps for a client: seconds of a battle.
const SEND_BUFFER: usize = 32 << 10;

/// What a thread needs to take connections in.
pub(crate) struct Desk<'a, S: Socket> {
    pub(crate) cores: &'a Cores<S::Packed>,
    /// What every connection is like.
    pub(crate) config: Config,
    /// Where this thread has battles of its own.
    pub(crate) manager: Option<&'a BattleManager>,
}

impl<S: Socket> Desk<'_, S> {
    /// One connection: a page, or a client of a battle, which plays here or goes to where its battle is.
    pub(crate) async fn serve(&self, server: Server<S>, from: Option<IpAddr>) {
        let entry = self.cores.limits.enter(from);
        let conn = entry.conn;
        if entry.verdict == Verdict::Beyond {
            return;
        }
        if let Err(error) = self.answer(server, entry).await {
            log::warn!(conn, error:%; "no handshake");
        }
    }

    async fn answer(&self, server: Server<S>, entry: Entry) -> Result<(), HandshakeError> {
        let conn = entry.conn;
        let request = server.config(self.config.clone()).same_origin().receive_request().await?;
        let Some(wish) = Wish::of(&request).filter(|_| request.is_upgrade()) else {
            return pages::answer(request, self.cores).await;
        };
        match entry.verdict {
            _ if self.cores.is_ending() => {
                return refuse(request, conn, 503, "the server is shutting down").await;
            }
            Verdict::Welcome => {}
            Verdict::TooManyFromThere => {
                return refuse(request, conn, 429, "too many connections from your address").await;
            }
            Verdict::Full | Verdict::Beyond => return refuse(request, conn, 503, "the server is full").await,
        }
        // A thread with a listener of its own keeps whoever does not belong elsewhere.
        let place = match self.manager.filter(|_| wish == Wish::default()) {
            Some(manager) => Some(manager.core().index),
            None => self.cores.place(&wish),
        };
        match (place, self.manager) {
            (Some(index), Some(manager)) if manager.core().index == index => {
                self.welcome(request, wish, entry, manager).await
            }
            (Some(index), _) => match self.cores.hand_over(index, pack(request), entry) {
                Ok(()) => Ok(()),
                Err(parts) => refuse(unpack::<S>(parts)?, conn, 503, "no room just now").await,
            },
            (None, _) => refuse(request, conn, 503, "this part of the server has failed").await,
        }
    }

    /// A player whom another thread has sent here.
    async fn take_in(&self, parts: Parts<S::Packed>, entry: Entry, manager: &BattleManager) {
        let conn = entry.conn;
        let answering = async {
            let request = unpack::<S>(parts)?;
            match Wish::of(&request) {
                Some(wish) => self.welcome(request.config(self.config.clone()), wish, entry, manager).await,
                None => refuse(request, conn, 500, "sent to the wrong place").await,
            }
        };
        if let Err(error) = answering.await {
            log::warn!(conn, core = manager.core().index, error:%; "no handshake");
        }
    }

    /// A player who comes from another battle, to a seat that is kept here.
    async fn take_over(&self, mover: Mover<S::Packed>, manager: &BattleManager) {
        let Mover { parts, ticket, entry, .. } = mover;
        manager.counts().changed();
        let _counted = self.cores.count_client(manager.core());
        match arrive::<S>(parts) {
            Ok(websocket) => battle(websocket, ticket.into(), entry, manager, self.cores).await,
            Err(error) => log::error!(conn = entry.conn, core = manager.core().index, error:%; "is lost"),
        }
    }

    async fn welcome(
        &self,
        request: ServerRequest<S>,
        wish: Wish,
        entry: Entry,
        manager: &BattleManager,
    ) -> Result<(), HandshakeError> {
        if self.cores.is_ending() {
            return refuse(request, entry.conn, 503, "the server is shutting down").await;
        }
        if let Some((status, why)) = manager.refusal(wish) {
            return refuse(request, entry.conn, status, why).await;
        }
        let _counted = self.cores.count_client(manager.core());
        let websocket = request.accept().await?;
        battle(websocket, wish, entry, manager, self.cores).await;
        Ok(())
    }
}

/// Answers a player who cannot be let in. Whoever was refused for want of room may come back soon.
async fn refuse<S: Socket>(
    request: ServerRequest<S>,
    conn: u64,
    status: u16,
    why: &str,
) -> Result<(), HandshakeError> {
    log::info!(conn, path = request.path(), status, reason = why; "is refused");
    let response = request.reject(status).body(why);
    if status == 503 { response.header("Retry-After", "1").await } else { response.await }
}

/// A request on its way to another thread.
fn pack<S: Socket>(request: ServerRequest<S>) -> Parts<S::Packed> {
    let Parts { stream, request, read_ahead } = request.into_parts();
    Parts { stream: stream.pack(), request, read_ahead }
}

/// The request that these parts were, on this thread.
fn unpack<S: Socket>(parts: Parts<S::Packed>) -> io::Result<ServerRequest<S>> {
    let Parts { stream, request, read_ahead } = parts;
    Ok(ServerRequest::from_parts(Parts { stream: S::unpack(stream)?, request, read_ahead }))
}

/// Takes clients in, each in a task of its own, which holds `present` if that is still there.
pub(crate) async fn accept<'m>(
    spawner: Spawner<'m>,
    desk: &'m Desk<'m, TcpStream>,
    listener: TcpListener,
    present: Weak<BufWriter>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let present = present.upgrade();
                spawner.spawn(async move {
                    desk.serve(Server::new(tune(stream)), Some(from.ip())).await;
                    drop(present);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: some will be free again.
                log::error!(error:%; "accept");
                Timer::after(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Takes those in who were accepted elsewhere and belong here, and those who come from another battle, each in a task of its
/// own as [`accept`] does; and keeps seats for those who want to come.
pub(crate) async fn receive<'m>(
    spawner: Spawner<'m>,
    desk: &'m Desk<'m, TcpStream>,
    manager: &'m BattleManager,
    inbox: Inbox,
    present: Weak<BufWriter>,
) {
    while let Ok(visit) = inbox.recv().await {
        let present = present.upgrade();
        match visit {
            Visit::Player(parts, entry, sent) => {
                handed_over(entry.conn, sent, manager);
                spawner.spawn(async move {
                    desk.take_in(parts, entry, manager).await;
                    drop(present);
                });
            }
            Visit::Ask(Ask { change, answer }) => {
                // There is room for one. Who has gone meanwhile does not come, and the seat falls free.
                let _ = answer.try_send(manager.reserve(change));
            }
            Visit::Mover(mover) => {
                handed_over(mover.entry.conn, mover.left, manager);
                spawner.spawn(async move {
                    desk.take_over(*mover, manager).await;
                    drop(present);
                });
            }
            #[cfg(test)]
            Visit::Bomb => panic!("a test wants this"),
        }
    }
}

/// A connection has come by the door.
fn handed_over(conn: u64, sent: Instant, manager: &BattleManager) {
    let took = sent.elapsed();
    manager.counts().handed_over(took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    log::info!(conn, core = manager.core().index, micros; "is handed over");
}

/// A socket for what is stale soon: nothing waits to be sent along with more, and little waits at all. (The kernel would take
/// megabytes of states that nobody will ever look at, and a client that does not read would look well for minutes.)
fn tune(stream: TcpStream) -> TcpStream {
    let socket = SockRef::from(stream.get_ref());
    if let Err(error) = socket.set_tcp_nodelay(true).and_then(|()| socket.set_send_buffer_size(SEND_BUFFER)) {
        log::warn!(error:%; "a socket cannot be tuned");
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
