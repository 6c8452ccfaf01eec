//! The same on tokio's runtimes for one thread, each with a reactor of its own: `claim-ours-tokio [--threads N]` prints its port.
//!
//! The socket is moved as std's, for a reactor does not let go of what it has registered.

mod chat;

use std::error::Error;
use std::rc::Rc;
use std::thread;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use unsync_websocket::{Parts, Server, ServerRequest, TokioStream};

use chat::{Rooms, chat, thread_of};

const ARRIVALS: usize = 1024;

type Stream = TokioStream<TcpStream>;
/// What moves.
type Moving = Parts<std::net::TcpStream>;
type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Reads the request, and moves the client to the thread of the room it asks for.
async fn usher(stream: TcpStream, doors: &[mpsc::Sender<Moving>]) -> Result<()> {
    stream.set_nodelay(true)?;
    let request = Server::on_tokio(stream).receive_request().await?;
    let door = &doors[thread_of(request.path(), doors.len())];
    let Ok(place) = door.try_reserve() else { return Ok(request.reject(503).await?) };
    let Parts { stream, request, read_ahead } = request.into_parts();
    place.send(Parts { stream: stream.into_inner().into_std()?, request, read_ahead });
    Ok(())
}

/// The client, on its thread.
async fn receive(Parts { stream, request, read_ahead }: Moving, id: u64, rooms: &Rooms) -> Result<()> {
    let stream = TokioStream::new(TcpStream::from_std(stream)?);
    chat(ServerRequest::on_tokio(Parts { stream, request, read_ahead }), id, rooms).await
}

/// One thread: takes clients in for all, and keeps those of its own rooms.
fn run(
    listener: std::net::TcpListener,
    doors: Rc<[mpsc::Sender<Moving>]>,
    mut arrivals: mpsc::Receiver<Moving>,
) {
    let log = |ended: Result<()>| ended.unwrap_or_else(|error| eprintln!("{error}"));
    let accepting = async move {
        let listener = TcpListener::from_std(listener).expect("it is a socket");
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let doors = Rc::clone(&doors);
                    spawn_local(async move { log(usher(stream, &doors).await) });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: some will be free again.
                    eprintln!("accept: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    };
    let receiving = async move {
        let (rooms, mut id) = (Rc::new(Rooms::default()), 0);
        while let Some(parts) = arrivals.recv().await {
            id += 1;
            let rooms = Rc::clone(&rooms);
            spawn_local(async move { log(receive(parts, id, &rooms).await) });
        }
    };
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(async {
        spawn_local(accepting);
        // A task like the others: what `block_on` is given is polled more often.
        spawn_local(receiving).await.expect("nothing panics");
    });
}

fn main() -> Result<()> {
    let threads = match std::env::args().skip_while(|argument| argument != "--threads").nth(1) {
        Some(number) => number.parse()?,
        None => 1,
    };
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?.port());
    let listeners = (0..threads).map(|_| listener.try_clone()).collect::<Result<Vec<_>, _>>()?;
    let (doors, arrivals): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel(ARRIVALS)).unzip();
    thread::scope(|scope| {
        for (listener, arrivals) in listeners.into_iter().zip(arrivals) {
            let doors = &doors;
            scope.spawn(move || run(listener, doors.as_slice().into(), arrivals));
        }
    });
    Ok(())
}
