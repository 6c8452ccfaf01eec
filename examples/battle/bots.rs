//! Bots: pilots that fly by themselves, so that one person sees a battle at once.
//!
//! Each is a client like any other, of this library, over a socket of its own to the server it belongs to. It comes with the
//! ticket of a seat that a battle keeps for it, as somebody does who was cut off. `brain.rs` says what it does.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_io::Timer;
use futures_lite::{AsyncRead, AsyncWrite};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use unsync_websocket::{Client, WebSocket};

use crate::brain::Brain;
use crate::desk::Spawner;
use crate::manager::BattleManager;
use crate::sockets::TcpStream;
use crate::ticket::{Ticket, digits};
use crate::wire::{Event, Events};

const NAMES: [&str; 16] = [
    "Vega", "Rigel", "Mira", "Altair", "Deneb", "Sirius", "Castor", "Pollux", "Spica", "Antares", "Capella",
    "Electra", "Izar", "Atlas", "Polaris", "Hadar",
];

/// Between two looks at where bots are wanted.
const MUSTER: Duration = Duration::from_millis(500);

/// Sees to it that every battle has its bots, of which each is a task.
pub(crate) async fn muster<'m>(spawner: Spawner<'m>, manager: &'m BattleManager, address: SocketAddr) {
    loop {
        while let Some(ticket) = manager.hire() {
            let flying = async move {
                if let Err(error) = fly(address, ticket).await {
                    log::warn!(error:%; "a bot");
                }
            };
            spawner.spawn(flying);
        }
        Timer::after(MUSTER).await;
    }
}

/// What bots are called, in the order of their hiring: such as "Vega (bot)", and "Vega 2 (bot)" when the names are used up.
pub(crate) fn names() -> impl Iterator<Item = String> {
    (1..).flat_map(|lap| {
        NAMES.map(|name| match lap {
            1 => format!("{name} (bot)"),
            _ => format!("{name} {lap} (bot)"),
        })
    })
}

/// Flies on the seat of this ticket, until the server at `address` ends it: one connection, from the request to its end.
pub(crate) async fn fly(address: SocketAddr, ticket: Ticket) -> Result<(), Box<dyn Error>> {
    let stream = TcpStream::connect(reachable(address)).await?;
    stream.get_ref().set_nodelay(true)?;
    let digits = digits(ticket.bytes());
    let client = Client::new(stream, address.to_string(), format!("/ws?ticket={digits}"));
    let mut websocket = client.connect().await?;
    let brain = Brain::new(StdRng::try_from_rng(&mut SysRng)?);
    let ended = play(&mut websocket, ticket, brain).await;
    // Whatever ended it: the server gets its Close.
    websocket.close().await?;
    ended
}

/// Does what the brain says, until the server closes.
pub(crate) async fn play<T: AsyncRead + AsyncWrite + Unpin>(
    websocket: &mut WebSocket<T>,
    ticket: Ticket,
    mut brain: Brain,
) -> Result<(), Box<dyn Error>> {
    let (mut told, mut asked) = (Vec::new(), Vec::new());
    loop {
        told.clear();
        if let Err(error) = websocket.receiver.receive_data(&mut told).await {
            return if error.is_clean_close() { Ok(()) } else { Err(error.into()) };
        }
        for event in Events::new(&told) {
            let event = event?;
            if matches!(event, Event::Welcome { ticket: given, .. } if given != ticket.bytes()) {
                return Err("the seat was given up before the bot came".into());
            }
            brain.hear(&event, &mut asked);
        }
        if !asked.is_empty() {
            websocket.sender.send(&asked).await?;
            asked.clear();
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
        let names: std::collections::BTreeSet<String> = names().take(64).collect();
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
