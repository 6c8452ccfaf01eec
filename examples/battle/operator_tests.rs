//! What an operator asks for: numbers, limits, and an end that is told to everybody.
#![allow(clippy::arithmetic_side_effects, reason = "a test counts small numbers")]

use std::net::{SocketAddr, TcpStream};

use async_io::Async;

use super::*;
use crate::spread_tests::{options, playing, with_server};
use crate::tests::{UPGRADE, get, request, tick_of};
use crate::wire::Command;

/// The value of a metric, labels included in its name.
async fn metric(address: SocketAddr, name: &str) -> f64 {
    let (head, text) = get(address, "/metrics").await;
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("battle_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

pub(crate) async fn becomes(address: SocketAddr, name: &str, value: f64) {
    let begun = Instant::now();
    while (metric(address, name).await - value).abs() > 1e-9 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{name} does not become {value}");
        Timer::after(Duration::from_millis(20)).await;
    }
}

#[test]
fn metrics_count_players_messages_and_bytes_on_their_core() {
    for threads in [1, 2] {
        with_server(&options(&format!("--threads {threads} --seats 1")), async |server| {
            let address = server.address;
            let ((mut ann, _), (bob, bobs)) = (playing(server, "Ann").await, playing(server, "Bob").await);
            ann.hears(tick_of).await;
            let of = |name: &str| format!("{name}{{core=\"{}\"}}", bobs.core());
            let here = if threads == 1 { 2.0 } else { 1.0 };
            for name in ["connections", "players", "battles", "messages_received_total"] {
                becomes(address, &of(name), here).await;
            }
            assert_eq!(bobs.core(), threads - 1);
            assert!(metric(address, &of("messages_sent_total")).await >= here);
            assert!(metric(address, &of("sent_bytes_total")).await > 50.0 * here);
            becomes(address, &of("received_bytes_total"), 6.0 * here).await;
            let handed = metric(address, &of("hand_offs_total")).await;
            let seconds = metric(address, &of("hand_off_seconds_total")).await;
            assert_eq!((handed, seconds > 0.0), if threads == 1 { (0.0, false) } else { (1.0, true) });
            // This question is one of the open sockets.
            becomes(address, "sockets", 3.0).await;
            drop(bob);
            becomes(address, &of("connections"), here - 1.0).await;
        });
    }
}

#[test]
fn one_connection_too_many_is_told_503_and_pages_are_still_shown() {
    with_server(&options("--max-connections 2 --threads 2"), async |server| {
        let address = server.address;
        let players = [playing(server, "Ann").await, playing(server, "Bob").await];
        let (_, head) = request(address, UPGRADE).await;
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: 1\r\n"), "{head}");
        assert!(get(address, "/health").await.0.starts_with("HTTP/1.1 200 "));
        drop(players);
        becomes(address, "sockets", 1.0).await;
        playing(server, "Cid").await;
    });
}

#[test]
fn what_people_won_is_kept_and_shown_and_what_bots_won_is_not() {
    let path = env::temp_dir().join(format!("battle-won-{}.redb", process::id()));
    let line = format!("--seats 2 --bots 1 --score 1 --result 1 --results {}", path.display());
    with_server(&options(&line), async |server| {
        let address = server.address;
        assert_eq!(get(address, "/best").await.1, "");
        let (mut ann, _) = playing(server, "Ann").await;
        let begun = Instant::now();
        // She turns about and shoots; sooner or later she hits the bot, which ends the round.
        for turn in (0..u16::MAX).step_by(997).cycle() {
            let mut payload = Vec::new();
            Command::Aim(turn).encode(&mut payload);
            Command::Trigger { pulled: turn % 2 == 0 }.encode(&mut payload);
            ann.says(&payload).await;
            ann.hears(tick_of).await;
            let best = get(address, "/best").await.1;
            assert!(!best.contains("bot"), "{best}");
            if best.ends_with(" Ann\n") {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(100), "she hits nothing");
        }
    });
    let _ = std::fs::remove_file(&path);
}

#[test]
fn one_connection_too_many_from_an_address_is_told_429() {
    with_server(&options("--max-per-ip 2 --threads 2"), async |server| {
        let address = server.address;
        let players = [playing(server, "Ann").await, playing(server, "Bob").await];
        let (_, head) = request(address, UPGRADE).await;
        assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
        drop(players);
        becomes(address, "sockets", 1.0).await;
        playing(server, "Cid").await;
    });
}

#[test]
fn while_it_drains_the_server_says_so_refuses_newcomers_and_ends_in_time() {
    for threads in [1, 2] {
        let (mut begun, mut mute) = (None, None);
        let ended = with_server(&options(&format!("--threads {threads} --seats 1")), async |server| {
            let address = server.address;
            assert_eq!(get(address, "/health").await.1, "ok\n");
            let (mut ann, _) = playing(server, "Ann").await;
            // It does not answer the Close, so the server waits until its deadline.
            mute = Some(playing(server, "Mute").await);
            begun = Some(Instant::now());
            server.signal.send(()).await.unwrap();
            assert_eq!(ann.is_closed().await, (1001, String::from("the server is shutting down")));
            let (head, body) = get(address, "/health").await;
            assert!(head.starts_with("HTTP/1.1 503 ") && body == "draining\n", "{head}{body}");
            let (_, head) = request(address, UPGRADE).await;
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
            assert!(metric(address, "draining").await > 0.5);
        });
        drop(mute);
        assert_eq!(ended, vec![Ok(()); threads]);
        let lasted = begun.unwrap().elapsed();
        assert!((CLOSE_TIMEOUT..PATIENCE + Duration::from_secs(5)).contains(&lasted), "{lasted:?}");
    }
}

#[test]
fn one_who_says_nothing_does_not_keep_the_server_from_ending() {
    let mut begun = None;
    with_server(&options(""), async |server| {
        let _silent = Async::<TcpStream>::connect(server.address).await.unwrap();
        becomes(server.address, "sockets", 2.0).await;
        begun = Some(Instant::now());
        server.signal.send(()).await.unwrap();
        server.cores.all_gone().await;
    });
    let lasted = begun.unwrap().elapsed();
    assert!(lasted < PATIENCE + Duration::from_secs(5), "{lasted:?}");
}
