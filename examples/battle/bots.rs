//! Bots: pilots that fly by themselves, so that one person sees a battle at once.
//!
//! Each is a client like any other, of this library, over a socket of its own to the server it belongs to. `brain.rs`
//! says what it does; this file connects it, again and again, until the server ends.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use async_io::{Async, Timer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use unsync_websocket::{Client, CloseCode, Config, WebSocket};

use crate::brain::Brain;
use crate::wire::{self, Command, Event, Events};

const NAMES: [&str; 16] = [
    "Vega", "Rigel", "Mira", "Altair", "Deneb", "Sirius", "Castor", "Pollux", "Spica", "Antares", "Capella",
    "Electra", "Izar", "Atlas", "Polaris", "Hadar",
];

/// Seconds before a bot that was parted with comes back: about so many, or all would come at once.
const PAUSE: f32 = 2.0;

/// The end of a bot's flight that is no fault.
enum Landing {
    /// The server ends, so the bot does.
    ServerEnds,
    /// Something else ended the connection, and the bot may try again.
    Parted,
}

/// Flies as bot number `index`, until the server at `address` ends.
pub(crate) async fn fly(address: SocketAddr, index: u16) {
    let name = name(index);
    let mut rng = StdRng::seed_from_u64(index.into());
    loop {
        match flight(address, &name, &mut rng).await {
            Ok(Landing::ServerEnds) => return,
            Ok(Landing::Parted) => log::info!("{name} was parted with"),
            Err(error) => log::warn!("{name}: {error}"),
        }
        Timer::after(Duration::from_secs_f32(PAUSE * rng.random_range(0.5..1.5))).await;
    }
}

/// Such as "Vega (bot)", and "Vega 2 (bot)" when the names are used up.
fn name(index: u16) -> String {
    let mut all = (1..).flat_map(|lap| NAMES.map(|name| (lap, name)));
    match all.nth(index.into()) {
        Some((lap @ 2.., name)) => format!("{name} {lap} (bot)"),
        Some((_, name)) => format!("{name} (bot)"),
        None => String::from("(bot)"),
    }
}

/// One connection, from the request to its end.
async fn flight(address: SocketAddr, name: &str, rng: &mut StdRng) -> Result<Landing, Box<dyn Error>> {
    let stream = Async::<TcpStream>::connect(reachable(address)).await?;
    stream.get_ref().set_nodelay(true)?;
    let client = Client::new(stream, address.to_string(), "/ws").config(Config::new());
    let mut websocket = client.connect().await?;
    let brain = Brain::new(StdRng::from_rng(rng));
    let ended = play(&mut websocket, name, brain).await;
    // Whatever ended it: the server gets its Close.
    websocket.close().await?;
    ended
}

async fn play(
    websocket: &mut WebSocket<Async<TcpStream>>,
    name: &str,
    mut brain: Brain,
) -> Result<Landing, Box<dyn Error>> {
    let (mut told, mut asked) = (Vec::new(), Vec::new());
    Command::Join { version: wire::VERSION, name }.encode(&mut asked);
    loop {
        if !asked.is_empty() {
            websocket.sender.send(&asked).await?;
            asked.clear();
        }
        told.clear();
        if let Err(error) = websocket.receiver.receive_data(&mut told).await {
            return match error.close_frame() {
                Some(frame) if frame.code() == CloseCode::GOING_AWAY => Ok(Landing::ServerEnds),
                Some(_) => Ok(Landing::Parted),
                None => Err(error.into()),
            };
        }
        for event in Events::new(&told) {
            let event = event?;
            brain.hear(&event, &mut asked);
            if event == Event::Refused {
                return Err("the name is refused".into());
            }
        }
    }
}

/// Where to find a server that listens on `address`, which may be "any".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bots_name_is_one_that_the_server_takes_and_no_two_are_the_same() {
        let names: std::collections::BTreeSet<String> = (0..64).map(name).collect();
        assert_eq!(names.len(), 64);
        for name in names {
            assert_eq!(crate::name::clean(&name).as_ref(), Some(&name));
        }
    }

    #[test]
    fn a_server_on_any_address_is_found_on_loopback() {
        for (listens, found) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(listens.parse().unwrap()), found.parse().unwrap());
        }
    }
}
