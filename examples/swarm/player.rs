//! One player: joins, flies at random, says words, hears those of others.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::error::Error;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use futures_lite::future::{or, zip};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use unsync_websocket::{Client, Receiver, Sender};

use crate::account::{Account, Phase};
use crate::options::Options;
use crate::wire::{Command, Directions, Event, Events, VERSION};

type Stream = Async<TcpStream>;

/// What the two halves of a player share.
#[derive(Default)]
struct Seat {
    me: Cell<Option<u16>>,
    /// Who plays in this battle.
    members: RefCell<BTreeSet<u16>>,
}

/// The whole life of player `number`. What goes wrong stands in the account.
pub(crate) async fn live(number: usize, account: &Account, options: &Options) {
    if let Err(error) = play(number, account, options).await {
        account.was_dropped(number, &error.to_string());
    }
}

async fn play(number: usize, account: &Account, options: &Options) -> Result<(), Box<dyn Error>> {
    let address = options.address.to_socket_addrs()?.next().ok_or("no such address")?;
    let stream = Async::<TcpStream>::connect(address).await?;
    stream.get_ref().set_nodelay(true)?;
    let websocket = Client::new(stream, &options.address, "/ws").connect().await?;
    let (mut sender, mut receiver) = websocket.split();
    let mut join = Vec::new();
    Command::Join { version: VERSION, name: &format!("swarm {number}") }.encode(&mut join);
    sender.send(&join).await?;

    let seat = Seat::default();
    let over = async {
        while account.phase() != Phase::Over {
            Timer::after(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    let living = async {
        let (heard, spoke) = zip(
            hear(number, account, &mut receiver, &seat),
            speak(number, account, options, &mut sender, &seat),
        )
        .await;
        heard.and(spoke)
    };
    let lived = or(over, living).await;
    // Ours goes out behind all that was said; what the server still tells is of no interest.
    let parted = zip(sender.close(), async { while receiver.receive().await.is_ok() {} }).await.0;
    lived?;
    Ok(parted?)
}

/// Writes down what the battle tells.
async fn hear(
    number: usize,
    account: &Account,
    receiver: &mut Receiver<Stream>,
    seat: &Seat,
) -> Result<(), Box<dyn Error>> {
    let mut told = Vec::new();
    loop {
        told.clear();
        receiver.receive_data(&mut told).await?;
        for event in Events::new(&told) {
            match event? {
                Event::Welcome { you, .. } => seat.me.set(Some(you)),
                Event::Joined { id, .. } => {
                    seat.members.borrow_mut().insert(id);
                    account.sees(number, seat.members.borrow().len());
                    if seat.me.get() == Some(id) {
                        account.has_joined();
                    }
                }
                Event::Left { id } => {
                    seat.members.borrow_mut().remove(&id);
                }
                Event::Said { text, .. } => account.hears(number, text),
                Event::Refused => return Err("the name was refused".into()),
                _ => {}
            }
        }
    }
}

/// Steers now and then, and says words while that is wanted.
async fn speak(
    number: usize,
    account: &Account,
    options: &Options,
    sender: &mut Sender<Stream>,
    seat: &Seat,
) -> Result<(), Box<dyn Error>> {
    let mut random = StdRng::seed_from_u64(number as u64);
    let pause = Duration::from_secs(1) / options.rate;
    // Not all at once.
    let mut next = Instant::now() + pause.mul_f64(random.random());
    let (mut sequence, mut words) = (0, Vec::new());
    loop {
        Timer::at(next).await;
        next = (next + pause).max(Instant::now());
        words.clear();
        if seat.me.get().is_some() && random.random_ratio(1, 4) {
            Command::Move(Directions::along(random.random_range(-1.0..1.0), random.random_range(-1.0..1.0)))
                .encode(&mut words);
        }
        if account.phase() == Phase::Speaking {
            Command::Say(&account.word(number, sequence, options.payload)).encode(&mut words);
            // Before it can be heard.
            account.has_said(number);
            sequence += 1;
        }
        if !words.is_empty() {
            sender.send(&words).await?;
        }
    }
}
