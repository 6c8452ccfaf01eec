//! The clients, in a process of their own: the idle ones, and those that come and go, not all of them politely.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use futures_lite::future::{or, zip};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use socket2::SockRef;
use unsync_websocket::{Client, Config, Incoming, Message};

use crate::measure::Count;
use crate::options::Options;
use crate::payload::Payload;
use crate::server::{Phase, Socket, idle_config, patient};

/// Handshakes of idle connections at once.
const OPENING: usize = 128;
/// Until a server must have hung up on one that is silent: it takes 10 s, in the handshake or after it.
const HANG_UP: Duration = Duration::from_secs(120);
/// Complaints that are told in full.
const TOLD: u64 = 10;

type Complaint = Box<dyn Error + Send + Sync>;

/// What the clients share.
pub(crate) struct Crowd {
    options: Options,
    idle: Count,
    churn: Count,
    /// Idle connections that have been opened.
    opened: Cell<usize>,
    next: Cell<u64>,
    failures: Cell<u64>,
    goodbye: Bell,
}

impl Crowd {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            idle: Count::default(),
            churn: Count::default(),
            opened: Cell::new(0),
            next: Cell::new(0),
            failures: Cell::new(0),
            goodbye: Bell::default(),
        }
    }

    /// The servers in turn: each address has its own 28,000 ports on our side.
    fn number(&self) -> (u64, SocketAddr) {
        let number = self.next.get();
        self.next.set(number + 1);
        let servers = &self.options.servers;
        let at = usize::try_from(number).unwrap_or(0) % servers.len().max(1);
        (number, servers.get(at).copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))))
    }

    fn complain(&self, who: &dyn fmt::Display, complaint: &dyn fmt::Display) {
        self.failures.update(|count| count + 1);
        if self.failures.get() <= TOLD {
            eprintln!("client: {who}: {complaint}");
        }
    }
}

/// A round: the idle ones come, then the churn, then all go. Tells how many connections failed that should not have.
pub(crate) async fn round<'c>(
    executor: Rc<LocalExecutor<'c>>,
    crowd: &'c Crowd,
    lasts: Duration,
) -> Result<u64, Complaint> {
    let (_, address) = crowd.number();
    let mut control = connect(address, "/control", patient()).await?;
    control.sender.send(Phase::Opening.word()).await?;
    open(&executor, crowd).await;
    control.sender.send(Phase::Churn.word()).await?;
    churn(&executor, crowd, lasts).await;
    control.sender.send(Phase::Ebb.word()).await?;
    until(|| crowd.churn.now() == 0).await;
    control.sender.send(Phase::Closing.word()).await?;
    crowd.goodbye.ring();
    until(|| crowd.idle.now() == 0).await;
    control.sender.send(Phase::Over.word()).await?;
    // The server closes this one when all of its own tasks have ended.
    while control.receiver.receive().await.is_ok() {}
    control.close().await?;
    Ok(crowd.failures.get())
}

async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        Timer::after(Duration::from_millis(10)).await;
    }
}

async fn connect(address: SocketAddr, target: &str, config: Config) -> Result<Socket, Complaint> {
    let stream = Async::<TcpStream>::connect(address).await?;
    stream.get_ref().set_nodelay(true)?;
    Ok(Client::new(stream, address.to_string(), target).config(config).connect().await?)
}

/// Opens all idle connections.
async fn open<'c>(executor: &Rc<LocalExecutor<'c>>, crowd: &'c Crowd) {
    for begun in 0..crowd.options.idle {
        until(|| begun - crowd.opened.get() < OPENING).await;
        let here = crowd.idle.enter();
        let living = async move {
            if let Err(complaint) = idle(crowd).await {
                crowd.complain(&"idle", &complaint);
            }
            drop(here);
        };
        executor.spawn(living).detach();
    }
    until(|| crowd.opened.get() == crowd.options.idle).await;
}

/// One that answers pings, until all say goodbye: half of them with a Close, a quarter with a FIN, a quarter with a RST.
async fn idle(crowd: &Crowd) -> Result<(), Complaint> {
    let (number, address) = crowd.number();
    let websocket = connect(address, "/idle", idle_config()).await;
    crowd.opened.update(|count| count + 1);
    let mut websocket = websocket?;
    let listening = async { Some(websocket.receiver.receive().await.map(|_| ())) };
    let goodbye = async {
        crowd.goodbye.wait(number).await;
        None
    };
    match or(listening, goodbye).await {
        Some(Ok(())) => return Err("it was told something".into()),
        Some(Err(error)) => return Err(error.into()),
        None => {}
    }
    match number % 4 {
        0 | 1 => websocket.close().await?,
        2 => drop(websocket),
        _ => reset(websocket)?,
    }
    Ok(())
}

/// Short connections, so many a second, but no more at once than there are descriptors for.
async fn churn<'c>(executor: &Rc<LocalExecutor<'c>>, crowd: &'c Crowd, lasts: Duration) {
    let begin = Instant::now();
    let mut begun = 0;
    while begin.elapsed() < lasts {
        let due = begin.elapsed().as_millis() * u128::from(crowd.options.churn) / 1000;
        // What a slow machine did not begin in time is not made up for.
        let behind = usize::try_from(due.saturating_sub(begun)).unwrap_or(usize::MAX);
        begun = due;
        for _ in 0..behind.min(crowd.options.at_once.saturating_sub(crowd.churn.now())) {
            let here = crowd.churn.enter();
            let living = async move {
                let (number, address) = crowd.number();
                let mut rng = StdRng::seed_from_u64(crowd.options.seed ^ number);
                let end = End::random(&mut rng);
                if let Err(complaint) = live(address, end, &mut rng).await {
                    crowd.complain(&format_args!("connection {number}, {end:?}"), &complaint);
                }
                drop(here);
            };
            executor.spawn(living).detach();
        }
        Timer::after(Duration::from_millis(10)).await;
    }
}

/// How a short connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With a closing handshake.
    Close,
    /// In the midst of talking, with a RST.
    Reset,
    /// The same with a FIN.
    Fin,
    /// The same, and nothing at all any more.
    Silence,
    /// After a part of a frame, in one of these ways.
    InAFrame(Cut),
    /// After a part of the request.
    InTheRequest(Cut),
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Reset,
    Fin,
    Silence,
}

impl End {
    fn random(rng: &mut StdRng) -> Self {
        let cut = match rng.random_range(0..16) {
            0 => Cut::Silence,
            1..=8 => Cut::Reset,
            _ => Cut::Fin,
        };
        match rng.random_range(0..100) {
            0..50 => Self::Close,
            50..65 => Self::Reset,
            65..80 => Self::Fin,
            80..82 => Self::Silence,
            82..95 => Self::InAFrame(cut),
            _ => Self::InTheRequest(cut),
        }
    }
}

/// One short connection.
async fn live(address: SocketAddr, end: End, rng: &mut StdRng) -> Result<(), Complaint> {
    if let End::InTheRequest(cut) = end {
        let mut stream = Async::<TcpStream>::connect(address).await?;
        let request =
            b"GET /churn HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        stream.write_all(part(request, rng)).await?;
        return sever(stream, cut).await;
    }
    let mut websocket = connect(address, "/churn", config(rng)).await?;
    let payloads: Vec<Payload> = (0..rng.random_range(1..=4)).map(|_| Payload::random(rng)).collect();
    match end {
        End::Close => {
            talk(&mut websocket, &payloads).await?;
            websocket.close().await?;
        }
        End::InAFrame(cut) => {
            talk(&mut websocket, &payloads).await?;
            let mut stream = websocket.into_inner().ok_or("the stream is gone")?;
            stream.write_all(part(&frame(rng), rng)).await?;
            sever(stream, cut).await?;
        }
        End::Reset | End::Fin | End::Silence => {
            let time = Duration::from_micros(rng.random_range(0..20_000));
            let bored = async {
                Timer::after(time).await;
                Ok(())
            };
            or(talk(&mut websocket, &payloads), bored).await?;
            let stream = websocket.into_inner().ok_or("the stream is gone")?;
            let cut = match end {
                End::Reset => Cut::Reset,
                End::Fin => Cut::Fin,
                _ => Cut::Silence,
            };
            sever(stream, cut).await?;
        }
        End::InTheRequest(_) => {}
    }
    Ok(())
}

/// Whole frames or many small ones, and where it can be had, one in four compressed.
fn config(rng: &mut StdRng) -> Config {
    let config = patient().fragment(if rng.random_ratio(1, 4) { 1 << 10 } else { 64 << 10 });
    #[cfg(feature = "deflate")]
    if rng.random_ratio(1, 4) {
        return config.deflate(unsync_websocket::Deflate::new());
    }
    config
}

/// Sends all these, and gets them back.
async fn talk(websocket: &mut Socket, payloads: &[Payload]) -> Result<(), Complaint> {
    let (sender, receiver) = (&mut websocket.sender, &mut websocket.receiver);
    let sending = async {
        for payload in payloads {
            match payload {
                Payload::Text(text) => sender.send(text).await?,
                Payload::Binary(bytes) => sender.send(bytes).await?,
            }
        }
        Ok(())
    };
    let receiving = async {
        for payload in payloads {
            let same = match (receiver.receive().await?, payload) {
                (Incoming::Message(Message::Text(back)), Payload::Text(_)) => {
                    back.as_bytes() == payload.bytes()
                }
                (Incoming::Message(Message::Binary(back)), Payload::Binary(_)) => back == payload.bytes(),
                _ => false,
            };
            if !same {
                return Err("what came back is not what was sent".into());
            }
        }
        Ok(())
    };
    let (sent, received): (Result<(), Complaint>, Result<(), Complaint>) = zip(sending, receiving).await;
    // If both failed, why nothing came tells more.
    received.and(sent)
}

/// A masked binary frame of some length.
fn frame(rng: &mut StdRng) -> Vec<u8> {
    let len: u16 = rng.random_range(126..=u16::MAX);
    let mut frame = vec![0x82, 0xfe];
    frame.extend(len.to_be_bytes());
    let header = frame.len();
    frame.resize(header + 4 + usize::from(len), 0);
    if let Some(rest) = frame.get_mut(header..) {
        rng.fill_bytes(rest);
    }
    frame
}

/// A part of it: at least a byte, and not all.
fn part<'b>(bytes: &'b [u8], rng: &mut StdRng) -> &'b [u8] {
    bytes.get(..rng.random_range(1..bytes.len())).unwrap_or(bytes)
}

async fn sever(mut stream: Async<TcpStream>, cut: Cut) -> Result<(), Complaint> {
    match cut {
        Cut::Reset => SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO))?,
        Cut::Fin => {
            // It may be reset already.
            let _ = stream.get_ref().shutdown(Shutdown::Write);
            hang_up(&mut stream).await?;
        }
        Cut::Silence => hang_up(&mut stream).await?,
    }
    Ok(())
}

fn reset(websocket: Socket) -> Result<(), Complaint> {
    let stream = websocket.into_inner().ok_or("the stream is gone")?;
    Ok(SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO))?)
}

/// Takes what comes, and waits until the server has hung up.
async fn hang_up(stream: &mut Async<TcpStream>) -> Result<(), Complaint> {
    let reading = async {
        let mut buffer = vec![0; 16 << 10];
        // A reset is as good as an end.
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        Ok(())
    };
    let waiting = async {
        Timer::after(HANG_UP).await;
        Err("the server has not hung up".into())
    };
    or(reading, waiting).await
}

/// Rung once for all who wait, and for those who come later.
#[derive(Default)]
struct Bell {
    rings: Cell<bool>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

impl Bell {
    fn ring(&self) {
        self.rings.set(true);
        for waker in self.waiting.take().into_values() {
            waker.wake();
        }
    }

    async fn wait(&self, number: u64) {
        poll_fn(|cx| {
            if self.rings.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().insert(number, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
