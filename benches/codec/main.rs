//! What do receiving and sending a message cost in memory, next to a bare limit and to other libraries?
//!
//! ```text
//! codec [--quick] [--only NAME,..] [--rows TEXT,..]
//! ```
//!
//! No sockets: a stream that hands out prepared frames and keeps what is written. Every payload byte that is received is compared with
//! what was sent while the clock runs, as an application would read it, the same way for all; what is written is checked afterwards.
//! In each round all have their turn: read the ratios.

mod limit;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod wire;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use unsync_websocket::Role;
use wire::{Case, check_written};

const SIZES: [usize; 5] = [16, 128, 1 << 10, 16 << 10, 1 << 20];

/// Moves so many messages, and says how long that took.
pub type Run = Box<dyn FnMut(usize) -> Duration>;

/// A name, and how it receives and sends.
type Contender = (&'static str, fn(Case) -> Run, Option<fn(Case) -> Run>);

const CONTENDERS: &[Contender] = &[
    ("limit", limit::receive, Some(limit::send)),
    ("ours", ours::receive, Some(ours::send)),
    ("ours, receive_data", ours::receive_data, None),
    #[cfg(feature = "peers")]
    ("fastwebsockets", peers::fastwebsockets::receive, Some(peers::fastwebsockets::send)),
    #[cfg(feature = "peers")]
    ("soketto", peers::soketto::receive, Some(peers::soketto::send)),
    #[cfg(feature = "peers")]
    ("sockudo-ws", peers::sockudo::receive, Some(peers::sockudo::send)),
    #[cfg(feature = "peers")]
    ("tokio-websockets", peers::tokio_websockets::receive, Some(peers::tokio_websockets::send)),
    #[cfg(feature = "peers")]
    ("tungstenite", peers::tungstenite::receive, Some(peers::tungstenite::send)),
    #[cfg(feature = "peers")]
    ("wtx", peers::wtx::receive, Some(peers::wtx::send)),
    #[cfg(feature = "peers")]
    ("yawc", peers::yawc::receive, Some(peers::yawc::send)),
];

/// Has messages received, each of which `receive` checks.
pub fn receiving(case: Case, mut receive: impl FnMut(&Case) + 'static) -> Run {
    Box::new(move |count| {
        let start = Instant::now();
        for _ in 0..count {
            receive(&case);
        }
        start.elapsed()
    })
}

/// Has messages sent that are made beforehand and checked afterwards, a batch at a time.
pub fn sending<M: 'static>(
    case: Case,
    make: impl Fn(&Case) -> M + 'static,
    mut send: impl FnMut(&Case, &mut M) + 'static,
) -> Run {
    Box::new(move |count| {
        let mut time = Duration::ZERO;
        for sent in (0..count).step_by(case.batch()) {
            let mut batch: Vec<M> = (sent..count).take(case.batch()).map(|_| make(&case)).collect();
            let start = Instant::now();
            for message in &mut batch {
                send(&case, message);
            }
            time += start.elapsed();
            check_written(&case, batch.len());
        }
        time
    })
}

/// Runs a future that only ever yields to be polled again.
pub fn spin<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}

/// Nanoseconds a message, of each contender in each round.
fn measure(contenders: &mut [Run], rounds: usize, turn: Duration) -> Vec<Vec<f64>> {
    // As often as fits into a turn; the warm-up tells.
    let count = |run: &mut Run| {
        let mut count = 1;
        loop {
            let time = run(count);
            if time > turn / 4 {
                break (count as f64 * turn.div_duration_f64(time)).ceil() as usize;
            }
            count *= 2;
        }
    };
    let counts: Vec<_> = contenders.iter_mut().map(count).collect();
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..rounds {
        for place in 0..contenders.len() {
            let place = (place + round) % contenders.len();
            let time = contenders[place](counts[place]);
            times[place].push(time.as_nanos() as f64 / counts[place] as f64);
        }
    }
    times
}

fn main() {
    let (mut quick, mut only, mut rows) = (false, String::new(), String::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--only" => only = arguments.next().unwrap_or_default(),
            "--rows" => rows = arguments.next().unwrap_or_default(),
            other => {
                eprintln!("{other}: usage: codec [--quick] [--only NAME,..] [--rows TEXT,..]");
                std::process::exit(2);
            }
        }
    }
    let asked = |parts: &str, title: &str| parts.split(',').any(|part| title.contains(part));
    // Some set timers, which wants a runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let (rounds, turn) = if quick { (9, Duration::from_micros(500)) } else { (15, Duration::from_millis(4)) };
    println!("{rounds} rounds; multiples of the limit in the same round: median (quartiles)");
    for direction in ["receive", "send"] {
        for (role, title) in [(Role::Server, "server"), (Role::Client, "client")] {
            for (text, kind) in [(false, "binary"), (true, "text")] {
                let asked_for = |size: &usize| asked(&rows, &format!("{direction} {title} {kind} {size}"));
                let sizes: Vec<_> = SIZES.into_iter().filter(asked_for).collect();
                if sizes.is_empty() {
                    continue;
                }
                let contenders: Vec<_> = CONTENDERS
                    .iter()
                    .filter(|(name, ..)| *name == "limit" || name.starts_with("ours") || asked(&only, name))
                    .filter_map(|(name, receive, send)| match direction {
                        "receive" => Some((*name, *receive)),
                        _ => send.map(|send| (*name, send)),
                    })
                    .collect();
                let table = sizes.into_iter().map(|size| {
                    let case = Case::new(role, text, size);
                    let mut runs: Vec<_> = contenders.iter().map(|(_, run)| run(case.clone())).collect();
                    (size, measure(&mut runs, rounds, turn))
                });
                let names: Vec<_> = contenders.iter().map(|(name, _)| *name).collect();
                println!("\n{direction}, {title}, {kind}\n");
                print(&names, table);
            }
        }
    }
}

fn print(names: &[&str], rows: impl Iterator<Item = (usize, Vec<Vec<f64>>)>) {
    let first_peer = names.iter().position(|name| *name != "limit" && !name.starts_with("ours"));
    let best = if first_peer.is_some() { " ours / the best peer |" } else { "" };
    println!("| bytes | {} |{best}", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len() + usize::from(first_peer.is_some())));
    for (size, times) in rows {
        print!("| {size} | {:.1} ns |", quantile(times[0].clone(), 0.5));
        times[1..].iter().for_each(|contender| print!(" {} |", ratio(contender, &times[0])));
        if let Some(first) = first_peer {
            let median = |place: &usize| quantile(times[*place].clone(), 0.5);
            let best = (first..names.len()).min_by(|a, b| median(a).total_cmp(&median(b))).expect("a peer");
            print!(" {} of {} |", ratio(&times[1], &times[best]), names[best]);
        }
        println!();
    }
}

/// The median and the quartiles of the ratios round by round.
fn ratio(times: &[f64], to: &[f64]) -> String {
    let ratios: Vec<_> = times.iter().zip(to).map(|(time, to)| time / to).collect();
    let at = |share| quantile(ratios.clone(), share);
    format!("{:.2} ({:.2}-{:.2})", at(0.5), at(0.25), at(0.75))
}

/// What this share of them does not exceed.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}
