//! Does anything stay behind? Thousands of idle connections, and beside them hundreds of short ones a second that are killed at
//! random.
//!
//! `cargo run --release --example soak`, a minute and a half; `--minutes 10` for a longer look, and `README.md` for what that
//! showed.
//!
//! This process is the server; it starts a second one for the clients, because a process may be held to 20,000 descriptors.
//! There are two rounds, each of which opens the idle connections, lets the others come and go, and closes all. The first only
//! grows what never shrinks; after the second there must be what there was after the first: the same bytes on the heap (every
//! live object is in them), the same descriptors, no task. Each round has a thread of its own, so that what a thread keeps for its
//! connections is gone with it. That holds for either process, and depends on no clock: a busy
//! machine makes fewer connections, not worse ones.
//!
//! `server.rs` and `client.rs` are the two processes, `payload.rs` what they tell each other, `measure.rs` what they have and how
//! it is judged.
#![allow(clippy::arithmetic_side_effects, reason = "a measurement counts, and far below any limit")]

mod client;
mod measure;
mod options;
mod payload;
mod server;

use std::env;
use std::error::Error;
use std::net::TcpListener;
use std::process::{Child, Command, ExitCode};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use async_io::{Async, Timer, block_on};
use unsync_websocket_test_alloc::Counting;

use client::Crowd;
use measure::{Sample, Slope, Verdict, back_to_the_start};
use options::{HELP, Options};
use server::{House, Phase};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Ports of the server. Each has 28,000 ports of clients, and those of closed connections rest for a while.
const PORTS: usize = 8;
/// How long the first round lasts.
const WARM_UP: Duration = Duration::from_secs(5);
/// Lines of the churn in the table, about.
const LINES: u32 = 20;
/// Until all tasks of the server have ended when all clients have gone; a Close may take 60 s.
const END: Duration = Duration::from_secs(120);
/// Until something happens at all.
const PATIENCE: Duration = Duration::from_secs(600);

type Fault = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprintln!("{complaint}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let is_server = options.servers.is_empty();
    let verdicts = if is_server { serve(&options) } else { visit(&options) };
    match verdicts {
        Ok(verdicts) => {
            println!("{}", if is_server { "\nthe server" } else { "\nthe clients" });
            verdicts.iter().for_each(|verdict| println!("  {verdict}"));
            if verdicts.iter().all(Verdict::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{}: {error}", if is_server { "server" } else { "clients" });
            ExitCode::FAILURE
        }
    }
}

/// Runs a round on a thread of its own. When that has ended, so have the buffers that it kept for its connections.
fn on_a_thread<R: Send>(round: impl FnOnce() -> Result<R, Fault> + Send) -> Result<R, Fault> {
    let ended = thread::scope(|scope| scope.spawn(round).join());
    // What the runtime's helper thread has in hand, it lets go.
    thread::sleep(Duration::from_secs(1));
    ended.unwrap_or_else(|_| Err("a panic".into()))
}

/// The second process.
fn visit(options: &Options) -> Result<Vec<Verdict>, Fault> {
    let round = |lasts| {
        on_a_thread(|| {
            let crowd = Crowd::new(options.clone());
            let executor = Rc::new(LocalExecutor::new());
            // A task of its own: a future given to `run` is polled whenever anything happens.
            block_on(executor.run(executor.spawn(client::round(Rc::clone(&executor), &crowd, lasts))))
        })
    };
    let mut failures = round(WARM_UP.min(options.lasts))?;
    let before = Sample::take();
    failures += round(options.lasts)?;
    let mut verdicts = vec![Verdict::none("connections that failed and should not have", failures)];
    verdicts.extend(back_to_the_start(before, Sample::take()));
    Ok(verdicts)
}

/// The first process.
fn serve(options: &Options) -> Result<Vec<Verdict>, Fault> {
    let Options { lasts, idle, churn, seed, .. } = options;
    println!("{idle} idle, {churn} connects a second for {} s, seed {seed}", lasts.as_secs());
    let listeners: Vec<TcpListener> =
        (0..PORTS).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
    let servers: Vec<_> = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    let mut clients = Clients(Command::new(env::current_exe()?).args(options.for_clients(&servers)).spawn()?);

    let mut round = |lasts| {
        on_a_thread(|| {
            let house = House::default();
            let executor = Rc::new(LocalExecutor::new());
            let table = Table::new(&house, lasts);
            let round = round(Rc::clone(&executor), &house, &listeners, &mut clients, table);
            block_on(executor.run(executor.spawn(round)))
        })
    };
    println!("\na first round, which grows what never shrinks");
    let mut verdicts = round(WARM_UP.min(*lasts))?;
    verdicts.retain(|verdict| !verdict.is_good());
    let before = Sample::take();
    println!("\nthe round that counts");
    verdicts.extend(round(*lasts)?);
    verdicts.extend(back_to_the_start(before, Sample::take()));
    let is_content = clients.0.wait()?.success();
    verdicts.push(Verdict::none("clients that found something wrong", u64::from(!is_content)));
    Ok(verdicts)
}

/// Takes clients in, until all have gone and say so, and the last of their tasks has ended.
async fn round<'h>(
    executor: Rc<LocalExecutor<'h>>,
    house: &'h House,
    listeners: &[TcpListener],
    clients: &mut Clients,
    mut table: Table<'h>,
) -> Result<Vec<Verdict>, Fault> {
    let mut accepting = Vec::new();
    for listener in listeners {
        let listener = Async::new(listener.try_clone()?)?;
        accepting.push(executor.spawn(server::accept(Rc::clone(&executor), house, listener)));
    }
    let deadline = Instant::now() + table.lasts + PATIENCE;
    while house.phase.get() != Some(Phase::Over) {
        table.look();
        if clients.0.try_wait()?.is_some() {
            return Err("the clients have ended".into());
        }
        if Instant::now() > deadline {
            return Err("this takes too long".into());
        }
        Timer::after(Duration::from_millis(50)).await;
    }
    for task in accepting {
        task.cancel().await;
    }
    all_end(house, 1).await?;
    table.look();
    house.is_over.set(true);
    all_end(house, 0).await?;
    Ok(vec![
        Verdict::none("payloads that are not what was sent", house.mismatches.get()),
        Verdict::none("errors that no client is the cause of", house.faults.get()),
        table.slope.verdict(),
    ])
}

/// When the clients have gone, the server's tasks end, but for so many.
async fn all_end(house: &House, left: usize) -> Result<(), Fault> {
    let deadline = Instant::now() + END;
    while house.tasks.now() > left {
        if Instant::now() > deadline {
            return Err(format!("{} tasks do not end", house.tasks.now() - left).into());
        }
        Timer::after(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// What happens, in lines.
struct Table<'h> {
    house: &'h House,
    lasts: Duration,
    begin: Instant,
    /// When this phase began, and when the next line is due.
    first: Instant,
    next: Instant,
    phase: Option<Phase>,
    slope: Slope,
}

impl<'h> Table<'h> {
    fn new(house: &'h House, lasts: Duration) -> Self {
        let now = Instant::now();
        println!(
            "{:>6} {:>8} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>9} {:>9} {:>6}",
            "s",
            "phase",
            "idle",
            "churn",
            "connects",
            "messages",
            "MiB",
            "closed",
            "cut",
            "silent",
            "heap KiB",
            "RSS KiB",
            "files"
        );
        Self { house, lasts, begin: now, first: now, next: now, phase: None, slope: Slope::default() }
    }

    /// A line at the beginning of each phase, and some of the churn; the first third of that is not part of the slope.
    fn look(&mut self) {
        let (now, phase) = (Instant::now(), self.house.phase.get());
        let is_new = self.phase != phase;
        self.phase = phase;
        if !is_new && (phase != Some(Phase::Churn) || now < self.next) {
            return;
        }
        let sample = Sample::take();
        if is_new {
            self.first = now;
        }
        if now > self.first + self.lasts / 3 {
            self.slope.add(now - self.begin, sample);
        }
        self.next = now + self.lasts / LINES;
        self.line(sample);
    }

    fn line(&self, sample: Sample) {
        let House { idle, churn, messages, bytes, closed, cut, silent, .. } = self.house;
        let or_none = |value: Option<i64>| value.map_or(String::from("-"), |value| value.to_string());
        println!(
            "{:>6.1} {:>8} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>9} {:>9} {:>6}",
            self.begin.elapsed().as_secs_f64(),
            self.phase.map_or("", Phase::word),
            idle.now(),
            churn.now(),
            churn.ever(),
            messages.get(),
            bytes.get() >> 20,
            closed.get(),
            cut.get(),
            silent.get(),
            sample.heap >> 10,
            or_none(sample.resident),
            or_none(sample.descriptors),
        );
    }
}

/// The clients' process. It does not outlive this one.
struct Clients(Child);

impl Drop for Clients {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
