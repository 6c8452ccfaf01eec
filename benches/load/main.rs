//! What does a whole server cost, over real sockets?
//!
//! ```text
//! load echo|deflate|idle|claim [--quick] [--only NAME,..]
//! ```
//!
//! Starts the servers that were built, each as a process of its own on the first core, and is itself the load, on the second. It
//! sends prepared frames, checks every byte that comes back, and prints tables in Markdown.

mod chat;
mod claim;
mod client;
mod histogram;
mod idle;
mod reader;
mod script;
mod server;
mod table;

use std::time::Duration;

use client::{Client, Slice};
use histogram::Histogram;
use script::{Returned, Script};
use server::{Name, Server, built};

/// What is asked for on the command line.
pub struct Options {
    pub quick: bool,
    /// Parts of names of servers; empty: all.
    only: Vec<String>,
}

impl Options {
    /// The servers that are built and asked for, at the level of compression that each has by default, if any.
    pub fn names(&self, deflate: Option<&'static str>) -> Vec<Name> {
        let asked = |server: &String| server == "raw" || self.asked(server);
        let names = built(deflate.is_some()).into_iter().filter(asked);
        names.map(|server| Name { server, deflate }).collect()
    }

    pub fn asked(&self, title: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| title.contains(part))
    }
}

/// One row of a table: so many connections, messages in flight on each, bytes in each.
pub struct Row {
    pub connections: usize,
    pub in_flight: usize,
    pub size: usize,
}

/// What one server did in one row.
#[derive(Default)]
pub struct Cell {
    /// Of each round: seconds of CPU time a message, messages a second.
    pub rounds: Vec<(f64, f64)>,
    pub latency: Histogram,
    pub returned: Returned,
    pub failure: Option<String>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next();
    let mut options = Options { quick: false, only: Vec::new() };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--only" => {
                options.only = arguments.next().unwrap_or_default().split(',').map(str::to_owned).collect()
            }
            other => usage(other),
        }
    }
    println!("{}\n", machine());
    match what.as_deref() {
        Some("echo") => echo(&options),
        Some("deflate") => deflate(&options),
        Some("idle") => idle::idle(&options),
        Some("claim") => claim::claim(&options),
        other => usage(other.unwrap_or("nothing")),
    }
    println!("\nload average {} at the end", load_average());
}

fn usage(what: &str) -> ! {
    eprintln!("{what}: usage: load echo|deflate|idle|claim [--quick] [--only NAME,..]");
    std::process::exit(2);
}

fn echo(options: &Options) {
    let row = |connections, in_flight, size| Row { connections, in_flight, size };
    let mut rows = vec![
        row(1, 1, 20),
        row(100, 1, 20),
        row(100, 16, 20),
        row(1000, 1, 20),
        row(100, 16, 1 << 10),
        row(100, 1, 16 << 10),
        row(100, 1, 1 << 20),
    ];
    if !options.quick {
        rows.extend([
            row(1, 16, 20),
            row(1000, 16, 20),
            row(1, 1, 1 << 10),
            row(100, 1, 1 << 10),
            row(1000, 1, 1 << 10),
            row(100, 16, 16 << 10),
            row(1, 1, 1 << 20),
        ]);
    }
    let names = options.names(None);
    let rows =
        measured(rows, &names, options.quick, Server::start, |row| Script::plain(row.size, row.in_flight));
    table::print(&titles(&names), &rows);
}

fn deflate(options: &Options) {
    let mut rows = vec![
        Row { connections: 100, in_flight: 1, size: 1 << 10 },
        Row { connections: 100, in_flight: 1, size: 16 << 10 },
    ];
    if !options.quick {
        rows.push(Row { connections: 100, in_flight: 16, size: 1 << 10 });
    }
    let mut names = options.names(Some("default"));
    // Ours at the fastest level too.
    let fastest: Vec<_> = names.iter().filter(|name| name.server.starts_with("ours")).cloned().collect();
    names.extend(fastest.into_iter().map(|name| Name { deflate: Some("1"), ..name }));
    let rows = measured(rows, &names, options.quick, Server::start, |row| Script::json(row.size));
    table::print(&titles(&names), &rows);
    table::compression(&titles(&names), &rows);
}

fn titles(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::title).collect()
}

/// Measures each row. In each round all servers have their turn, the first of the last round last.
pub fn measured<N>(
    rows: Vec<Row>,
    names: &[N],
    quick: bool,
    start_server: impl Fn(&N) -> Result<Server, String>,
    script: impl Fn(&Row) -> Script,
) -> Vec<(Row, Vec<Cell>)> {
    let (rounds, turn) = if quick { (5, 150) } else { (11, 300) };
    let turn = Duration::from_millis(turn);
    let measure = |row: Row| {
        eprintln!("{} connections, {} in flight, {} B", row.connections, row.in_flight, row.size);
        let start = |name| {
            let server = start_server(name)?;
            let mut client = Client::connect(server.port, row.connections, script(&row), row.in_flight)?;
            client.run(turn / 2)?;
            Ok((server, client))
        };
        let mut cells: Vec<_> = names.iter().map(|_| Cell::default()).collect();
        let mut contenders: Vec<Result<_, String>> = names.iter().map(start).collect();
        for round in 0..rounds {
            for place in 0..names.len() {
                let place = (place + round) % names.len();
                let Ok((server, client)) = &mut contenders[place] else { continue };
                let before = server.cpu();
                match client.run(turn) {
                    Ok(slice) => cells[place].add(slice, server.cpu() - before),
                    Err(failure) => contenders[place] = Err(failure),
                }
            }
        }
        for (cell, contender) in cells.iter_mut().zip(contenders) {
            match contender {
                Ok((_, client)) => cell.returned = client.script.returned,
                Err(failure) => {
                    eprintln!("  {failure}");
                    cell.failure = Some(failure);
                }
            }
        }
        (row, cells)
    };
    rows.into_iter().map(measure).collect()
}

impl Cell {
    fn add(&mut self, slice: Slice, cpu: f64) {
        self.rounds.push((cpu / slice.messages as f64, slice.messages as f64 / slice.seconds));
        self.latency.add(&slice.latency);
    }
}

/// What it ran on, and what else ran there.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models: Vec<_> = cpus.lines().filter_map(|line| line.strip_prefix("model name\t: ")).collect();
    let (kernel, load) = (read("/proc/sys/kernel/osrelease"), load_average());
    format!(
        "{} x {}, Linux {}, load average {load}",
        models.len(),
        models.first().unwrap_or(&"?"),
        kernel.trim()
    )
}

fn load_average() -> String {
    let line = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    line.split(' ').next().unwrap_or_default().to_owned()
}
