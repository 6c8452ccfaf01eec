//! The server on several threads, over real sockets: players go to the core of their battle and stay there.
#![allow(clippy::arithmetic_side_effects, reason = "a test counts small numbers")]

use std::net::{SocketAddr, TcpStream};

use async_channel::Sender;
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::tests::{Guest, UPGRADE, named, only, request, tick_of};
use crate::ticket::{Ticket, digits};
use crate::wire::{Command, Event, VERSION};

/// A server on threads of its own, with its tick.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) cores: Cores<Packed>,
    /// As a service manager would.
    pub(crate) signal: Sender<()>,
}

/// Runs a test beside a server of so many threads; gives what its cores said at their end.
pub(crate) fn with_server(options: &Options, test: impl AsyncFnOnce(&Server)) -> Vec<Result<(), String>> {
    let limits = Limits::counting_loopback(options.most);
    let (address, threads) = (([127, 0, 0, 1], 0).into(), options.threads.get());
    let listeners = match options.share_port {
        true => Listeners::sharing_port(address, threads),
        false => Listeners::bind(address),
    };
    let listeners = listeners.unwrap();
    let (cores, inboxes) = Cores::new(threads, INBOX, limits);
    let cores = cores.keeping(options.results.as_deref().map(|path| Results::open(path).unwrap()));
    let (signal, signals) = async_channel::bounded(2);
    let server = Server { address: listeners.address(), cores, signal };
    thread::scope(|scope| {
        let running = scope.spawn(|| run(options, &server.cores, inboxes, listeners, Box::pin(signals)));
        // Ends the server also when the test panics.
        struct End<'s>(&'s Server);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                // A second signal would end it at once, and these tests.
                if !self.0.cores.is_ending() {
                    let _ = self.0.signal.try_send(());
                }
            }
        }
        let end = End(&server);
        block_on(test(&server));
        drop(end);
        running.join().unwrap()
    })
}

pub(crate) fn options(line: &str) -> Options {
    Options::parse(line.split_whitespace().map(str::to_owned)).unwrap().unwrap()
}

fn ticket_of(event: &Event<'_>) -> Option<Ticket> {
    match *event {
        Event::Welcome { ticket, .. } => Ticket::in_query(&format!("ticket={}", digits(ticket))),
        _ => None,
    }
}

/// Looks on until it has heard of somebody of this name; gives the ticket, which comes before that, often with it.
async fn meets(guest: &mut Guest, name: &'static str) -> Ticket {
    let mut ticket = None;
    guest
        .hears(|event| {
            ticket = ticket.or(ticket_of(event));
            named(name)(event).and(ticket)
        })
        .await
}

/// A player who has a ship; and the ticket.
pub(crate) async fn playing(server: &Server, name: &'static str) -> (Guest, Ticket) {
    let mut guest = Guest::playing(server.address, name).await;
    let ticket = meets(&mut guest, name).await;
    (guest, ticket)
}

/// Players with nobody but each other: `seats` is 1, so every one has a battle alone, and each core half of them.
async fn one_on_each(server: &Server) -> [(Guest, Ticket); 2] {
    let both = [playing(server, "Ann").await, playing(server, "Bob").await];
    assert_eq!(both.each_ref().map(|(_, ticket)| ticket.core()), [0, 1]);
    both
}

#[test]
fn players_are_spread_over_cores_meet_there_and_come_back_to_where_their_seat_is() {
    let ended = with_server(&options("--threads 2 --seats 2"), async |server| {
        let mut guests = Vec::new();
        for name in ["Ann", "Bob", "Cid", "Dan"] {
            let (mut guest, ticket) = playing(server, name).await;
            // Free seats are told with the tick.
            guest.hears(tick_of).await;
            guests.push((guest, ticket));
        }
        let on = guests.iter().map(|(_, ticket)| ticket.core()).collect::<Vec<_>>();
        assert_eq!(on, [0, 0, 1, 1], "a battle is filled before another opens");
        let (cid, ticket) = guests.remove(2);
        drop(cid);
        let digits = digits(ticket.bytes());
        let mut again = Guest::at(server.address, &format!("/ws?ticket={digits}")).await;
        again.hears(named("Cid")).await;
        // The first battle of the second core.
        let (_, head) = request(server.address, &UPGRADE.replace("/ws", "/ws/3")).await;
        assert!(head.starts_with("HTTP/1.1 503 "), "full: {head}");
        let (_, head) = request(server.address, &UPGRADE.replace("/ws", "/ws/5")).await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        guests.remove(2).0.websocket.close().await.unwrap();
    });
    assert_eq!(ended, [Ok(()), Ok(())]);
}

#[test]
fn bots_fly_on_every_core() {
    with_server(&options("--threads 2 --bots 2 --seats 4"), async |server| {
        for core in [0, 1] {
            // The first battles, which were opened for them.
            let mut guest = Guest::at(server.address, &format!("/ws/{}", core + 2)).await;
            assert_eq!(meets(&mut guest, "Vega (bot)").await.core(), core);
            guest.hears(|event| matches!(event, Event::Score { score: 1.., .. }).then_some(())).await;
        }
    });
}

#[test]
fn frames_glued_to_the_request_survive_the_move() {
    with_server(&options("--threads 2 --seats 1"), async |server| {
        let address = server.address;
        for name in ["Ann", "Bob"] {
            let mut payload = Vec::new();
            Command::Join { version: VERSION, name }.encode(&mut payload);
            let mut glued = format!("{UPGRADE}\r\nHost: {address}\r\n\r\n").into_bytes();
            // One message in two fragments, masked with zeros; the second comes when the player has moved.
            let (first, second) = payload.split_at(2);
            glued.extend([0x02, 0x80 | 2, 0, 0, 0, 0]);
            glued.extend(first);
            let mut stream = Async::<TcpStream>::connect(address).await.unwrap();
            stream.write_all(&glued).await.unwrap();
            let mut told = Vec::new();
            while !told.windows(4).any(|it| it == b"\r\n\r\n") {
                let mut bytes = [0; 256];
                let len = stream.read(&mut bytes).await.unwrap();
                told.extend(&bytes[..len]);
            }
            assert!(told.starts_with(b"HTTP/1.1 101 "));
            let mut rest = vec![0x80, 0x80 | u8::try_from(second.len()).unwrap(), 0, 0, 0, 0];
            rest.extend(second);
            stream.write_all(&rest).await.unwrap();
            while !told.windows(name.len()).any(|it| it == name.as_bytes()) {
                let mut bytes = [0; 256];
                let len = stream.read(&mut bytes).await.unwrap();
                assert_ne!(len, 0, "the server has closed");
                told.extend(&bytes[..len]);
            }
        }
    });
}

#[test]
fn a_thousand_hand_offs_at_once_lose_none() {
    const PLAYERS: usize = 1000;
    const AT_ONCE: usize = 250;
    let ended = with_server(&options("--threads 2 --seats 8"), async |server| {
        let begun = Instant::now();
        let executor = LocalExecutor::new();
        let mut on = [0; 2];
        // As many at once as a process may have sockets for, with some to spare for the tests beside this one.
        for _ in 0..PLAYERS / AT_ONCE {
            let players: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    executor.spawn(async {
                        let (mut guest, ticket) = playing(server, "Ann").await;
                        guest.hears(tick_of).await;
                        guest.websocket.close().await.unwrap();
                        ticket.core()
                    })
                })
                .collect();
            executor
                .run(async {
                    for player in players {
                        on[player.await] += 1;
                    }
                })
                .await;
        }
        println!("{PLAYERS} players in {:?}, {on:?} on the cores", begun.elapsed());
        assert_eq!(on.iter().sum::<usize>(), PLAYERS);
        assert!(on.iter().all(|&here| here >= PLAYERS / 4), "{on:?}");
    });
    assert_eq!(ended, [Ok(()), Ok(())]);
}

#[cfg(unix)]
#[test]
fn with_a_listener_for_each_thread_players_stay_where_they_came_in_and_come_back_to_their_seat() {
    let ended = with_server(&options("--threads 2 --share-port"), async |server| {
        let mut on = [0; 2];
        for _ in 0..40 {
            let (mut guest, ticket) = playing(server, "Ann").await;
            on[ticket.core()] += 1;
            guest.websocket.close().await.unwrap();
            // Wherever the system puts this connection, it goes to the core of the seat.
            let mut again =
                Guest::at(server.address, &format!("/ws?ticket={}", digits(ticket.bytes()))).await;
            assert_eq!(again.hears(ticket_of).await, ticket);
            again.websocket.close().await.unwrap();
        }
        assert!(on.iter().all(|&here| here > 0), "{on:?}: the system spreads them");
    });
    assert_eq!(ended, [Ok(()), Ok(())]);
}

#[test]
fn at_a_full_door_the_answer_is_503_and_then_the_end() {
    // A core that takes nobody in.
    let (cores, _inboxes) = Cores::<Packed>::new(1, 2, Limits::default());
    let listeners = Listeners::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listeners.address();
    let desk = Desk { cores: &cores, config: config(false), manager: None };
    let executor = Rc::new(LocalExecutor::new());
    let _accepting = executor.spawn(accept(Spawner::new(&executor), &desk, only(listeners), Weak::new()));
    let testing = executor.run(async {
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let mut stream = Async::<TcpStream>::connect(address).await.unwrap();
            stream.write_all(format!("{UPGRADE}\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
            waiting.push(stream);
            while cores.waiting(0) < waiting.len() {
                Timer::after(Duration::from_millis(1)).await;
            }
        }
        let (mut stream, head) = request(address, UPGRADE).await;
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: 1\r\n"), "{head}");
        let mut body = String::new();
        stream.read_to_string(&mut body).await.unwrap();
        assert_eq!(body, "no room just now");
    });
    block_on(sockets::run(testing)).unwrap();
}

#[test]
fn a_panic_ends_one_thread_with_its_players_and_the_others_play_on() {
    let ended = with_server(&options("--threads 2 --seats 1"), async |server| {
        let [(mut ann, anns), (mut bob, _)] = one_on_each(server).await;
        server.cores.throw_bomb(0);
        // Her socket is closed; nobody is there any more to say so.
        let error = loop {
            let mut payload = Vec::new();
            if let Err(error) = ann.websocket.receiver.receive_data(&mut payload).await {
                break error;
            }
        };
        assert!(error.close_frame().is_none(), "{error}");
        let tick = bob.hears(tick_of).await;
        while bob.hears(tick_of).await < tick + 10 {}
        // The battle is gone, and the seat; there are others.
        let digits = digits(anns.bytes());
        let mut again = Guest::at(server.address, &format!("/ws?ticket={digits}")).await;
        assert_eq!(again.hears(ticket_of).await.core(), 1);
        let (_, head) = request(server.address, &UPGRADE.replace("/ws", "/ws/2")).await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        server.signal.send(()).await.unwrap();
        assert_eq!(bob.is_closed().await.0, 1001);
        assert_eq!(again.is_closed().await.0, 1001);
    });
    assert_eq!(ended, [Err(String::from("a test wants this")), Ok(())]);
}

#[cfg(unix)]
#[test]
fn a_thread_that_is_gone_is_sent_nobody_by_the_system_either() {
    let ended = with_server(&options("--threads 2 --share-port"), async |server| {
        server.cores.throw_bomb(0);
        while server.cores.place(&Wish { battle: Some(2), ..Wish::default() }).is_some() {
            Timer::after(Duration::from_millis(1)).await;
        }
        // It is going: so is its listener.
        Timer::after(Duration::from_millis(100)).await;
        let coming = async {
            for _ in 0..20 {
                let (mut guest, ticket) = playing(server, "Ann").await;
                assert_eq!(ticket.core(), 1);
                guest.websocket.close().await.unwrap();
            }
        };
        let waiting = async {
            Timer::after(Duration::from_secs(10)).await;
            panic!("somebody waits for a thread that is gone");
        };
        or(coming, waiting).await;
    });
    assert_eq!(ended, [Err(String::from("a test wants this")), Ok(())]);
}

#[test]
fn when_every_core_is_gone_the_server_ends_by_itself() {
    let ended = with_server(&options("--threads 2"), async |server| {
        server.cores.throw_bomb(0);
        server.cores.throw_bomb(1);
        server.cores.all_gone().await;
    });
    assert!(ended.iter().all(Result::is_err), "{ended:?}");
}
