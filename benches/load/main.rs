//! What does a whole server cost, over real sockets?
//!
//! ```text
//! load echo|deflate|fanout|idle|claim [--quick] [--only NAME,..] [--rows BYTES/CONNECTIONS/IN_FLIGHT,..]
//! ```
//!
//! Starts the servers that were built, each as a process of its own on the first core, and is itself the load, on the second. It
//! sends prepared frames, checks every byte that comes back, and prints tables in Markdown.

mod chat;
mod claim;
mod client;
mod fanout;
mod histogram;
mod idle;
mod reader;
mod script;
mod server;
mod syscalls;
mod table;

use std::time::Duration;

use client::{Client, Slice};
use histogram::Histogram;
use script::{Returned, Script};
use server::{Job, Name, Server, built};

/// Connections that each server has of its own, throughout. With more, each connects anew for its turn: a process may have 20,000
/// descriptors.
const MOST: usize = 1_000;

/// What is asked for on the command line.
pub struct Options {
    pub quick: bool,
    /// Parts of names of servers; empty: all.
    only: Vec<String>,
    /// Titles of rows; empty: all.
    rows: Vec<String>,
}

impl Options {
    /// The servers that are built and asked for.
    pub fn names(&self, job: Job) -> Vec<Name> {
        let asked = |server: &String| server == "raw" || self.asked(server);
        built(job).into_iter().filter(asked).map(|server| Name { server, job }).collect()
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

impl Row {
    pub fn title(&self) -> String {
        format!("{}/{}/{}", self.size, self.connections, self.in_flight)
    }
}

/// Connections to one server, and what they do with it.
pub trait Load {
    /// Loads the server for so long.
    fn run(&mut self, time: Duration) -> Result<Slice, String>;

    /// What came back so far.
    fn returned(&self) -> Returned;
}

/// What one server did in one row.
#[derive(Default)]
pub struct Cell {
    /// Of each round: seconds of CPU time a message, messages a second.
    pub rounds: Vec<(f64, f64)>,
    pub latency: Histogram,
    /// System calls a message, if they can be counted here.
    pub syscalls: Option<f64>,
    pub returned: Returned,
    pub failure: Option<String>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next();
    let mut options = Options { quick: false, only: Vec::new(), rows: Vec::new() };
    let list =
        |argument: Option<String>| argument.unwrap_or_default().split(',').map(str::to_owned).collect();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--only" => options.only = list(arguments.next()),
            "--rows" => options.rows = list(arguments.next()),
            other => usage(other),
        }
    }
    println!("{}\n", machine());
    match what.as_deref() {
        Some("echo") => echo(&options),
        Some("deflate") => deflate(&options),
        Some("fanout") => fanout::fanout(&options),
        Some("idle") => idle::idle(&options),
        Some("claim") => claim::claim(&options),
        other => usage(other.unwrap_or("nothing")),
    }
    println!("\nload average {} at the end", load_average());
}

fn usage(what: &str) -> ! {
    eprintln!(
        "{what}: usage: load echo|deflate|fanout|idle|claim [--quick] [--only NAME,..] [--rows ROW,..]"
    );
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
            row(10_000, 1, 20),
        ]);
    }
    let names = options.names(Job::Echo);
    let connect = |port, row: &Row| {
        Client::connect(port, row.connections, Script::plain(row.size, row.in_flight), row.in_flight)
    };
    let rows = measured(rows, &names, options, Server::start, connect);
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
    let mut names = options.names(Job::Deflate("default"));
    // Ours at faster levels too.
    let ours: Vec<_> = names.iter().filter(|name| name.server.starts_with("ours")).cloned().collect();
    for level in ["3", "1"] {
        names.extend(ours.iter().cloned().map(|name| Name { job: Job::Deflate(level), ..name }));
    }
    let connect =
        |port, row: &Row| Client::connect(port, row.connections, Script::json(row.size), row.in_flight);
    let rows = measured(rows, &names, options, Server::start, connect);
    table::print(&titles(&names), &rows);
    table::compression(&titles(&names), &rows);
}

fn titles(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::title).collect()
}

/// Measures each row. In each round all servers have their turn, the first of the last round last.
pub fn measured<N, L: Load>(
    mut rows: Vec<Row>,
    names: &[N],
    options: &Options,
    start_server: impl Fn(&N) -> Result<Server, String>,
    connect: impl Fn(u16, &Row) -> Result<L, String>,
) -> Vec<(Row, Vec<Cell>)> {
    let (rounds, turn) = if options.quick { (5, 150) } else { (11, 300) };
    let turn = Duration::from_millis(turn);
    rows.retain(|row| options.rows.is_empty() || options.rows.contains(&row.title()));
    let measure = |row: Row| {
        eprintln!("{}", row.title());
        let warm = |server: &Server| {
            let mut load = connect(server.port, &row)?;
            load.run(turn / 2)?;
            Ok::<_, String>(load)
        };
        let start = |name| {
            let server = start_server(name)?;
            let load = Some(warm(&server)?);
            Ok((server, load))
        };
        let mut cells: Vec<_> = names.iter().map(|_| Cell::default()).collect();
        let mut contenders: Vec<Result<(Server, Option<L>), String>> = Vec::new();
        for name in names {
            let mut contender = start(name);
            if let (Ok((_, load)), true) = (&mut contender, row.connections > MOST) {
                *load = None;
            }
            contenders.push(contender);
        }
        // The round after the last is for system calls: that they are counted makes them slower.
        for round in 0..rounds + usize::from(!options.quick) {
            for place in 0..names.len() {
                let place = (place + round) % names.len();
                let Ok((server, kept)) = &mut contenders[place] else { continue };
                let mut turn_of = || {
                    let mut load = match kept.take() {
                        Some(load) => load,
                        None => warm(server)?,
                    };
                    if round == rounds {
                        cells[place].syscalls = syscalls::a_message(server, || load.run(turn))?;
                    } else {
                        let before = server.cpu();
                        let slice = load.run(turn)?;
                        cells[place].add(slice, server.cpu() - before);
                    }
                    cells[place].returned = load.returned();
                    Ok(load)
                };
                match turn_of() {
                    Ok(load) => *kept = (row.connections <= MOST).then_some(load),
                    Err(failure) => contenders[place] = Err(failure),
                }
            }
        }
        for (cell, contender) in cells.iter_mut().zip(contenders) {
            if let Err(failure) = contender {
                eprintln!("  {failure}");
                cell.failure = Some(failure);
            }
        }
        // What is known already, should the rest be cut short.
        eprintln!("{}", table::ratios(&row, &cells));
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
