//! T19: whoever receives answers Pings for ever, and keepalive tells the living from the dead.
//!
//! A consumer that only receives must get its Pongs out although nobody sends anything (sockudo-ws, tungstenite 0.21 queued them until
//! the user wrote), and `receive` must go on waiting when all that came was a Ping (django-websocket-redis). A silent peer is
//! found out after the interval and the timeout, to the millisecond of the virtual clock; any byte is a sign of life, and so is a
//! Pong that comes late or that nobody asked for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::await_holding_refcell_ref,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use std::time::Duration;

use ends::{FROM, pair, socket};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use kit::net::{Config as Net, SimNet, SimStream};
use kit::runs::{Run, Shared, each_seed_and_model, shared};
use kit::sim::Sim;
use kit::slow::{self, Event, Limits, PING, PONG, TEXT};
use kit::wire;
use unsync_websocket::{Config, Error, Incoming, WebSocket};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A connection at end `end`, and the stream of its peer, who speaks by hand.
fn facing_a_hand(
    sim: &Sim,
    run: &Run,
    end: usize,
    capacity: usize,
    config: Config,
) -> (SimNet, WebSocket<SimStream>, SimStream) {
    let (net, server, client) = SimNet::new(sim, Net::new(run.model).capacity(capacity));
    let (ours, theirs) = if end == 0 { (server, client) } else { (client, server) };
    (net, socket(sim, ours, config), theirs)
}

async fn say(peer: &mut SimStream, bytes: &[u8]) {
    peer.write_all(bytes).await.unwrap();
    peer.flush().await.unwrap();
}

/// What a receiver says until it ends: messages, Pongs, and why.
async fn all_of<T: ends::Stream>(websocket: &mut WebSocket<T>, receive_data: bool) -> (Vec<String>, Error) {
    let mut seen = Vec::new();
    loop {
        if receive_data {
            let mut data = Vec::new();
            match websocket.receiver.receive_data(&mut data).await {
                Ok(_) => seen.push(String::from_utf8(data).unwrap()),
                Err(error) => return (seen, error),
            }
            continue;
        }
        match websocket.receiver.receive().await {
            Ok(Incoming::Message(message)) => {
                seen.push(String::from_utf8(message.as_bytes().to_vec()).unwrap())
            }
            Ok(other) => seen.push(format!("{other:?}")),
            Err(error) => return (seen, error),
        }
    }
}

/// Spawns such a receiver, that closes at the end of it.
fn spawn_receiver<T: ends::Stream>(
    sim: &Sim,
    mut websocket: WebSocket<T>,
    receive_data: bool,
) -> Shared<Option<(Vec<String>, Error, Duration)>> {
    let (end, clock) = (shared(None), sim.clone());
    let end_too = end.clone();
    sim.spawn("receives", async move {
        let (seen, error) = all_of(&mut websocket, receive_data).await;
        *end_too.borrow_mut() = Some((seen, error, clock.elapsed()));
        let _ = websocket.close().await;
    });
    end
}

#[test]
fn who_only_receives_answers_each_ping_before_the_next_for_ever() {
    each_seed_and_model("who_only_receives_answers_each_ping_before_the_next_for_ever", 100, |run| {
        const PINGS: u32 = 300;
        let sim = Sim::new(run);
        sim.most_steps(2_000_000);
        let choices = sim.choices().clone();
        let end = choices.choose(2);
        let (us, them) = (FROM[end], FROM[1 - end]);
        // A socket that takes not even one Pong at once, and one that takes many.
        let capacity = choices.of(&[5, 40, 1000]);
        let (net, websocket, mut peer) = facing_a_hand(&sim, run, end, capacity, Config::new());
        let receive_data = choices.one_in(2);
        let (sender, mut receiver) = websocket.split();
        let mut sender = Some(sender);
        if choices.one_in(2) {
            sender = None;
        }
        sim.spawn("only receives", async move {
            let error = loop {
                let mut data = Vec::new();
                let received = match receive_data {
                    true => receiver.receive_data(&mut data).await.map(drop),
                    false => receiver.receive().await.map(drop),
                };
                // Nothing but Pings came, and then the Close.
                match received {
                    Ok(()) => assert!(!receive_data && receiver.close_frame().is_some()),
                    Err(error) => break error,
                }
            };
            assert!(error.is_clean_close(), "{error:?}");
            receiver.close().await.unwrap();
            drop(sender);
        });
        sim.spawn("asks", async move {
            let mut heard = Vec::new();
            let mut buf = [0; 200];
            for number in 0..PINGS {
                let payload = number.to_be_bytes();
                say(&mut peer, &slow::frame(them, true, PING, &payload)).await;
                let pong = loop {
                    let seen = slow::read(us, Limits::NONE, &heard);
                    if let [Event::Pong(payload)] = &seen.events[..] {
                        break payload.clone();
                    }
                    let count = peer.read(&mut buf).await.unwrap();
                    assert!(count > 0, "the connection ended after {number} pings");
                    heard.extend(&buf[..count]);
                };
                assert_eq!(pong, payload);
                heard.clear();
            }
            say(&mut peer, &slow::close(them, 1000, "")).await;
            peer.close().await.unwrap();
            drop(peer.read_to_end(&mut heard).await);
        });
        sim.run_in_no_time();
        let seen = wire::check_closed(us, &net.recorded(end));
        let pongs = seen.events.iter().filter(|event| matches!(event, Event::Pong(_))).count();
        assert_eq!(pongs, PINGS as usize);
    });
}

#[test]
fn who_never_polls_the_receiver_answers_nothing() {
    // As the manual says: always receive.
    each_seed_and_model("who_never_polls_the_receiver_answers_nothing", 20, |run| {
        let sim = Sim::new(run);
        let config = Config::new().keepalive(ms(50), ms(50));
        let (net, mut websocket, _peer) = facing_a_hand(&sim, run, 0, 1000, config);
        net.inject(1, &slow::frame(slow::From::Client, true, PING, b"?"));
        let clock = sim.clone();
        sim.spawn("only sends", async move {
            for _ in 0..10 {
                websocket.sender.send("tick").await.unwrap();
                clock.sleep(ms(100)).await;
            }
            websocket.sender.flush().await.unwrap();
        });
        sim.run();
        let seen = wire::check(slow::From::Server, &net.recorded(0));
        assert_eq!(seen.events, vec![Event::Text("tick".to_owned()); 10]);
    });
}

#[test]
fn a_silent_peer_is_found_out_after_the_interval_and_the_timeout() {
    each_seed_and_model("a_silent_peer_is_found_out_after_the_interval_and_the_timeout", 100, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let end = choices.choose(2);
        let config = Config::new().keepalive(ms(50), ms(50));
        let (net, mut websocket, mut peer) = facing_a_hand(&sim, run, end, choices.of(&[5, 1000]), config);
        let (reads, sends) = (choices.one_in(2), choices.one_in(2));
        sim.spawn_idle("silent", async move {
            if reads {
                let _ = peer.read_to_end(&mut Vec::new()).await;
            }
            std::future::pending().await
        });
        if sends && !reads {
            // The Ping does not even get out: the socket is full of this. The peer is no more alive for that.
            futures_lite::future::block_on(websocket.sender.feed(&vec![b'x'; 5000])).unwrap();
        }
        let end_of_it = spawn_receiver(&sim, websocket, choices.one_in(2));
        let outcome = sim.run_unjudged();
        assert!(outcome.parked.iter().all(|name| *name == "silent"), "{:?}", outcome.parked);
        let (seen, error, time) = end_of_it.take().unwrap();
        assert!(seen.is_empty() && matches!(error, Error::KeepaliveTimeout), "{seen:?} {error:?}");
        assert_eq!(time, ms(100));
        let wrote = wire::check_broken(FROM[end], &net.recorded(end));
        let pings = wrote.events.iter().filter(|event| matches!(event, Event::Ping(_))).count();
        assert!(pings <= 1 && (pings == 1 || !reads), "{pings} pings");
        assert!(net.is_dropped(end));
    });
}

#[test]
fn two_ends_that_keep_each_other_alive_live_for_ever_and_are_told_of_no_pong() {
    each_seed_and_model("two_ends_that_keep_each_other_alive_live_for_ever", 20, |run| {
        let sim = Sim::new(run);
        sim.most_steps(2_000_000);
        let choices = sim.choices().clone();
        let capacity = choices.of(&[5, 1000]);
        // One asks twice as often as the other; or only one asks.
        let asks = Config::new().keepalive(ms(50), ms(50));
        let other = if choices.one_in(2) { Config::new().keepalive(ms(100), ms(50)) } else { Config::new() };
        let asker = choices.choose(2);
        let mut configs = [other.clone(), other];
        configs[asker] = asks;
        let (net, [server, client]) = pair(&sim, Net::new(run.model).capacity(capacity), configs);
        let server_end = spawn_receiver(&sim, server, choices.one_in(2));
        let clock = sim.clone();
        let (mut sender, mut receiver) = client.split();
        let client_end = shared(None);
        let client_end_too = client_end.clone();
        sim.spawn("client receives", async move {
            while let Ok(incoming) = receiver.receive().await {
                assert!(matches!(incoming, Incoming::Close(_)), "{incoming:?}");
            }
            receiver.close().await.unwrap();
            *client_end_too.borrow_mut() = Some(receiver.latency());
        });
        sim.spawn("client closes after a minute", async move {
            clock.sleep(Duration::from_secs(60)).await;
            sender.close().await.unwrap();
        });
        sim.run();
        let (mut seen, error, time) = server_end.take().unwrap();
        seen.retain(|told| !told.starts_with("Close"));
        assert!(seen.is_empty() && error.is_clean_close(), "{seen:?} {error:?}");
        assert_eq!(time, Duration::from_secs(60));
        let latency = client_end.take().unwrap();
        assert!(
            asker == 0 || latency == Some(Duration::ZERO),
            "{latency:?}: the simulated wire takes no time"
        );
        let wrote = wire::check_closed(FROM[asker], &net.recorded(asker));
        let pings = wrote.events.iter().filter(|event| matches!(event, Event::Ping(_))).count();
        // Each 50 ms, and its Pong is the sign of life that puts off the other's Ping.
        assert!((1190..=1200).contains(&pings), "{pings} pings in a minute");
    });
}

#[test]
fn a_byte_now_and_then_is_a_sign_of_life() {
    each_seed_and_model("a_byte_now_and_then_is_a_sign_of_life", 50, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let end = choices.choose(2);
        let (us, them) = (FROM[end], FROM[1 - end]);
        let config = Config::new().keepalive(ms(50), ms(50));
        let (net, websocket, peer) = facing_a_hand(&sim, run, end, 1000, config);
        let ended = spawn_receiver(&sim, websocket, choices.one_in(2));
        let bytes = slow::frame(them, true, TEXT, &[b'x'; 200]);
        let count = bytes.len() as u64;
        let (clock, net_too) = (sim.clone(), net.clone());
        sim.spawn("dribbles", async move {
            for byte in bytes {
                clock.sleep(ms(49)).await;
                net_too.inject(1 - end, &[byte]);
            }
            clock.sleep(ms(200)).await;
            drop(peer);
        });
        sim.run();
        let (seen, error, time) = ended.take().unwrap();
        assert_eq!(seen, ["x".repeat(200)]);
        assert!(matches!(error, Error::KeepaliveTimeout), "{error:?}");
        // It was not asked before it fell silent.
        assert_eq!(time, ms(49 * count + 100));
        let wrote = wire::check_broken(us, &net.recorded(end));
        assert_eq!(wrote.events.iter().filter(|event| matches!(event, Event::Ping(_))).count(), 1);
    });
}

#[test]
fn late_pongs_and_those_nobody_asked_for_are_signs_of_life_and_only_foreign_ones_are_told_of() {
    each_seed_and_model("late_pongs_and_those_nobody_asked_for", 50, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let end = choices.choose(2);
        let (us, them) = (FROM[end], FROM[1 - end]);
        let config = Config::new().keepalive(ms(50), ms(50));
        let (net, websocket, mut peer) = facing_a_hand(&sim, run, end, 1000, config);
        let receive_data = choices.one_in(2);
        let ended = spawn_receiver(&sim, websocket, receive_data);
        // Answers each Ping 40 ms late, or with the payload of the one before, and talks of its own in between.
        let foreign = choices.one_in(2);
        let mut told = 0;
        let clock = sim.clone();
        let counted = shared(0);
        let counted_too = counted.clone();
        sim.spawn("late", async move {
            let mut heard = Vec::new();
            let mut buf = [0; 100];
            let mut before = Vec::new();
            for _ in 0..40 {
                let payload = loop {
                    let seen = slow::read(us, Limits::NONE, &heard);
                    if let [Event::Ping(payload)] = &seen.events[..] {
                        break payload.clone();
                    }
                    let count = peer.read(&mut buf).await.unwrap();
                    assert!(count > 0, "the connection ended");
                    heard.extend(&buf[..count]);
                };
                heard.clear();
                clock.sleep(ms(40)).await;
                if foreign {
                    say(&mut peer, &slow::frame(them, true, PONG, b"I am here")).await;
                    told += 1;
                } else {
                    say(&mut peer, &slow::frame(them, true, PONG, &before)).await;
                    told += usize::from(before.is_empty());
                }
                before = payload;
            }
            say(&mut peer, &slow::close(them, 1000, "")).await;
            *counted_too.borrow_mut() = told;
            drop(peer.read_to_end(&mut heard).await);
        });
        sim.run();
        let (seen, error, _) = ended.take().unwrap();
        assert!(error.is_clean_close(), "{error:?}");
        let pongs = seen.iter().filter(|told| told.starts_with("Pong")).count();
        assert_eq!(pongs, if receive_data { 0 } else { *counted.borrow() });
        wire::check_closed(us, &net.recorded(end));
    });
}
