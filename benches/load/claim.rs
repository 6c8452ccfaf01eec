//! The essay's claim, measured: one chat, written three ways, by local executors, by a work-stealing runtime, and for Node.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::chat::Chat;
use crate::client::Client;
use crate::histogram::Histogram;
use crate::script::Script;
use crate::server::{Server, built_program, node};
use crate::table::{self, quantile};
use crate::{Options, Row, measured};

/// Members in all, and the sizes of the rooms that they are in.
const MEMBERS: usize = 1000;
const SIZES: [usize; 3] = [10, 100, 1000];
/// Deliveries a second at which latency is measured: what each of them can do on one core.
const RATE: f64 = 50_000.0;

/// Said while somebody does not read: more than the kernel keeps for them.
const LINES: u64 = 120_000;
/// Until the last of the members has come in: the handshake is answered before.
const SETTLE: Duration = Duration::from_millis(100);

/// One of the ways to write it, on one core or on all.
struct Way {
    title: String,
    /// Files, for the count of lines.
    source: &'static [&'static str],
    program: Command,
    cores: Cores,
}

#[derive(Clone, Copy, PartialEq)]
enum Cores {
    One,
    All,
}

/// What one way did with rooms of one size.
#[derive(Default)]
struct Outcome {
    /// Of each round: seconds of CPU time a delivery, deliveries a second, both as fast as it goes.
    saturated: Vec<(f64, f64)>,
    /// Of each round: seconds of CPU time a delivery at the fixed rate.
    at_rate: Vec<f64>,
    latency: Histogram,
    memory: u64,
    said: u64,
    heard: u64,
    failure: Option<String>,
}

pub fn claim(options: &Options) {
    let (quick, mut ways) = (options.quick, ways());
    ways.retain(|way| way.title == "ours" || options.asked(&way.title));
    let outcomes: Vec<_> = SIZES.into_iter().map(|size| rounds(&ways, size, quick)).collect();
    print(&ways, &outcomes);
    let (said, heard) = outcomes.iter().flatten().fold((0, 0), |sum, it| (sum.0 + it.said, sum.1 + it.heard));
    println!("\n{said} lines were said and {heard} heard: by everybody in the room, once, in order.");
    if !quick {
        slow(&ways);
    }
    halves(options);
}

fn ways() -> Vec<Way> {
    let all = cores();
    let way = |title: &str, source, program: Command, cores| {
        let mut program = program;
        if cores == Cores::All {
            program.args(["--threads", &all.to_string()]);
        }
        Way { title: title.to_owned(), source, program, cores }
    };
    let mut ways = Vec::new();
    for cores in [Cores::One, Cores::All] {
        let ours = &["claim/ours/chat.rs", "claim/ours/on_async_io.rs"];
        ways.push(way("ours", ours, built_program("claim-ours"), cores));
        let ours = &["claim/ours/chat.rs", "claim/ours/on_tokio.rs"];
        ways.push(way("ours (tokio)", ours, built_program("claim-ours-tokio"), cores));
        ways.push(way("axum", &["claim/ordinary.rs"], built_program("claim-ordinary"), cores));
        let mut one_by_one = built_program("claim-ordinary");
        one_by_one.arg("--one-by-one");
        ways.push(way("axum, one by one", &["claim/ordinary.rs"], one_by_one, cores));
        if cores == Cores::One {
            ways.push(way("tungstenite, Rc", &["claim/local.rs"], built_program("claim-local"), cores));
        }
        ways.push(way("ws (Node)", &["claim/chat.mjs"], node("claim/chat.mjs"), cores));
    }
    // What was not built or installed does not take part.
    ways.retain(|way| match way.title.as_str() {
        "ws (Node)" => here("claim/node_modules/ws").exists(),
        _ => Path::new(way.program.get_program()).exists(),
    });
    ways
}

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn cores() -> usize {
    // Not `available_parallelism`: this process is confined to one of them.
    let count = fs::read_to_string("/proc/cpuinfo").unwrap_or_default().matches("processor\t:").count();
    NonZero::new(count).map_or(1, NonZero::get)
}

impl Cores {
    /// Where the server runs, as `taskset` has it. All are all, if there are two: then the load is on the last one, too.
    fn list(self) -> String {
        match self {
            Self::One => "0".to_owned(),
            Self::All => format!("0-{}", cores() - 1),
        }
    }

    /// Confines the load to the last core, or to none.
    fn confine_load(self) -> Result<(), String> {
        let mut set = CpuSet::new();
        let first = if self == Self::One { cores() - 1 } else { 0 };
        (first..cores()).for_each(|core| set.set(core));
        sched_setaffinity(None, &set).map_err(|error| error.to_string())
    }
}

/// In each round all ways have their turn, the first of the last round last.
fn rounds(ways: &[Way], size: usize, quick: bool) -> Vec<Outcome> {
    let (rounds, turn) = if quick { (5, 50) } else { (9, 400) };
    let turn = Duration::from_millis(turn);
    eprintln!("rooms of {size}");
    let start = |way: &Way| {
        way.cores.confine_load()?;
        let server = Server::run(&way.title, &way.program, &way.cores.list())?;
        let mut chat = Chat::connect(server.port, MEMBERS / size, size)?;
        thread::sleep(SETTLE);
        chat.saturate(turn)?;
        Ok((server, chat))
    };
    let mut outcomes: Vec<_> = ways.iter().map(|_| Outcome::default()).collect();
    let mut contenders: Vec<Result<_, String>> = ways.iter().map(start).collect();
    for round in 0..rounds {
        for place in 0..ways.len() {
            let place = (place + round) % ways.len();
            let Ok((server, chat)) = &mut contenders[place] else { continue };
            if let Err(failure) = outcomes[place].round(&ways[place], server, chat, turn) {
                contenders[place] = Err(failure);
            }
        }
    }
    for (outcome, contender) in outcomes.iter_mut().zip(contenders) {
        let ended = contender.and_then(|(server, chat)| {
            (outcome.said, outcome.heard) = chat.balance()?;
            outcome.memory = server.memory();
            Ok(())
        });
        if let Err(failure) = ended {
            eprintln!("  {failure}");
            outcome.failure = Some(failure);
        }
    }
    outcomes
}

impl Outcome {
    fn round(&mut self, way: &Way, server: &Server, chat: &mut Chat, turn: Duration) -> Result<(), String> {
        way.cores.confine_load()?;
        let before = server.cpu();
        let slice = chat.saturate(turn)?;
        let deliveries = slice.messages as f64;
        self.saturated.push(((server.cpu() - before) / deliveries, deliveries / slice.seconds));
        let before = server.cpu();
        let slice = chat.at_rate(RATE, turn * 2)?;
        self.at_rate.push((server.cpu() - before) / slice.messages as f64);
        self.latency.add(&slice.latency);
        Ok(())
    }
}

fn print(ways: &[Way], outcomes: &[Vec<Outcome>]) {
    println!(
        "CPU time of the server a delivered message, as a multiple of `ours` on one core in the same round: median (quartiles)\n"
    );
    let title = |way: &Way| match way.cores {
        Cores::One => format!("{}, 1 core", way.title),
        Cores::All => format!("{}, {} cores", way.title, cores()),
    };
    println!("| | {} |", SIZES.map(|size| format!("rooms of {size}")).join(" | "));
    println!("|---|{}", "---|".repeat(SIZES.len()));
    for (place, way) in ways.iter().enumerate() {
        print!("| {} |", title(way));
        for outcomes in outcomes {
            let (outcome, first) = (&outcomes[place], &outcomes[0]);
            let pairs = outcome.saturated.iter().zip(&first.saturated);
            let ratios: Vec<_> = pairs.map(|(round, first)| round.0 / first.0).collect();
            let at = |share| quantile(ratios.clone(), share);
            match &outcome.failure {
                Some(_) => print!(" failed |"),
                None if place == 0 => {
                    print!(" {:.2} us |", median(&outcome.saturated, |round| round.0) * 1e6)
                }
                None => print!(" {:.2} ({:.2}-{:.2}) |", at(0.5), at(0.25), at(0.75)),
            }
        }
        println!();
    }
    println!("\nThe same, in full; memory is anonymous, of the process with its {MEMBERS} clients\n");
    println!(
        "| rooms of | way | lines of code | saturated: CPU us a delivery | deliveries a second | at {RATE} a second: CPU us a delivery | p50 us | p99 us | memory MiB |"
    );
    println!("|---|{}", "---|".repeat(8));
    for (size, outcomes) in SIZES.iter().zip(outcomes) {
        for (way, outcome) in ways.iter().zip(outcomes) {
            print!("| {size} | {} | {} |", title(way), lines_of_code(way.source));
            if let Some(failure) = &outcome.failure {
                println!(" failed: {failure} ||||||");
                continue;
            }
            println!(
                " {:.2} | {:.0} | {:.2} | {:.0} | {:.0} | {:.1} |",
                median(&outcome.saturated, |round| round.0) * 1e6,
                median(&outcome.saturated, |round| round.1),
                median(&outcome.at_rate, |round| *round) * 1e6,
                outcome.latency.quantile(0.5),
                outcome.latency.quantile(0.99),
                outcome.memory as f64 / f64::from(1 << 20)
            );
        }
    }
}

fn median<R>(rounds: &[R], of: impl Fn(&R) -> f64) -> f64 {
    quantile(rounds.iter().map(of).collect(), 0.5)
}

/// Lines that are neither blank nor a comment.
fn lines_of_code(paths: &[&str]) -> usize {
    let text: String = paths.iter().map(|path| fs::read_to_string(here(path)).unwrap_or_default()).collect();
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// Every way has a bound and an answer for who does not read. Whether it keeps to them.
fn slow(ways: &[Way]) {
    println!(
        "\nOne of eleven in a room stops reading while {LINES} lines are said; the others hear all of them\n"
    );
    println!("| | lines it got | then | memory MiB |");
    println!("|---|---|---|---|");
    for way in ways.iter().filter(|way| way.cores == Cores::One) {
        let outcome = way.cores.confine_load().and_then(|()| {
            let server = Server::run(&way.title, &way.program, &way.cores.list())?;
            let chat = Chat::connect(server.port, 1, 11)?;
            thread::sleep(SETTLE);
            let (got, how) = chat.with_one_deaf(LINES)?;
            Ok(format!("{got} | {how} | {:.1}", server.memory() as f64 / f64::from(1 << 20)))
        });
        println!(
            "| {} | {} |",
            way.title,
            outcome.unwrap_or_else(|failure| format!("failed: {failure} | |"))
        );
    }
}

/// The essay's other claim: several threads on one socket give no more than one.
fn halves(options: &Options) {
    let list = built_program("claim-halves").arg("--list").output();
    let names = list.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let names: Vec<_> = names.lines().map(str::to_owned).collect();
    if names.is_empty() || Cores::All.confine_load().is_err() {
        return;
    }
    let row = |connections, in_flight, size| Row { connections, in_flight, size };
    let mut rows = vec![row(1, 1, 20), row(100, 16, 20)];
    if !options.quick {
        rows.extend([row(1, 16, 20), row(100, 1, 20), row(100, 1, 16 << 10)]);
    }
    let start = |name: &String| {
        let mut program = built_program("claim-halves");
        program.arg(name);
        Server::run(name, &program, &Cores::All.list())
    };
    let connect = |port, row: &Row| {
        Client::connect(port, row.connections, Script::plain(row.size, row.in_flight), row.in_flight)
    };
    let rows = measured(rows, &names, options, start, connect);
    println!("\n### An echo, its halves on one thread and on two\n");
    table::print(&names, &rows);
}
