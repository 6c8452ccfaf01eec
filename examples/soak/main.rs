//! Does anything stay behind? Thousands of idle connections, and beside them hundreds of short ones a second that are killed at
//! random.
//!
//! `cargo run --release --example soak`, a minute and a half; `--minutes 10` for a longer look, and `README.md` for what that
//! showed.
//!
//! This process is the server; it starts a second one for the clients, because a process may be held to 20,000 descriptors.
//! There are two rounds, each of which opens the idle connections, lets the others come and go, and closes all. The first only
//! grows what never shrinks; after the second there must be what there was after the first: the same bytes on the heap (every
//! live object is in them), the same descriptors, no task. That holds for either process, and depends on no clock: a busy
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
/// Lines of the table, about.
const LINES: u32 = 20;
/// Until all tasks of the server have ended when all clients have gone; a Close may take 60 s.
const END: Duration = Duration::from_secs(120);
/// Until something happens at all.
const PATIENCE: Duration = Duration::from_secs(600);

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
    let verdicts = if is_server { serve(&options) } else { visit(options) };
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

/// The second process.
fn visit(options: Options) -> Result<Vec<Verdict>, Box<dyn Error>> {
    let crowd = Crowd::new(options);
    let executor = Rc::new(LocalExecutor::new());
    // A task of its own: a future given to `run` is polled whenever anything happens.
    block_on(executor.run(executor.spawn(client::run(Rc::clone(&executor), &crowd))))
}

/// The first process.
fn serve(options: &Options) -> Result<Vec<Verdict>, Box<dyn Error>> {
    let house = House::default();
    let executor = Rc::new(LocalExecutor::new());
    block_on(executor.run(executor.spawn(keep_house(Rc::clone(&executor), &house, options))))
}

async fn keep_house<'h>(
    executor: Rc<LocalExecutor<'h>>,
    house: &'h House,
    options: &Options,
) -> Result<Vec<Verdict>, Box<dyn Error>> {
    let mut servers = Vec::new();
    for _ in 0..PORTS {
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
        servers.push(listener.get_ref().local_addr()?);
        executor.spawn(server::accept(Rc::clone(&executor), house, listener)).detach();
    }
    let Options { lasts, idle, churn, seed, .. } = options;
    println!("{idle} idle, {churn} connects a second for {} s, seed {seed}", lasts.as_secs());
    let mut clients = Clients(Command::new(env::current_exe()?).args(options.for_clients(&servers)).spawn()?);

    // Two rounds, and more is wrong.
    let deadline = Instant::now() + lasts.saturating_mul(2) + PATIENCE;
    until_they_rest(house, &mut clients, deadline, |_| ()).await?;
    println!("a first round, which grows what never shrinks");
    house.may_go_on.set(true);
    until_they_rest(house, &mut clients, deadline, |_| ()).await?;
    let before = until_all_have_ended(house).await?;

    let mut table = Table::new(house, *lasts);
    house.may_go_on.set(true);
    until_they_rest(house, &mut clients, deadline, |phase| table.look(phase)).await?;
    let after = until_all_have_ended(house).await?;
    table.line(Phase::Rest, after);
    let slope = table.slope.verdict();
    house.may_go_on.set(true);
    let is_content = loop {
        if let Some(status) = clients.0.try_wait()? {
            break status.success();
        }
        Timer::after(Duration::from_millis(20)).await;
    };

    let mut verdicts = vec![
        Verdict::none("payloads that are not what was sent", house.mismatches.get()),
        Verdict::none("errors that no client is the cause of", house.faults.get()),
        Verdict::none("tasks of connections after the round", u64::from(house.tasks.now() > 1)),
    ];
    verdicts.extend(back_to_the_start(before, after));
    verdicts.push(slope);
    verdicts.push(Verdict::none("clients that found something wrong", u64::from(!is_content)));
    Ok(verdicts)
}

/// Waits until all clients have gone and say so. `look` is called again and again meanwhile.
async fn until_they_rest(
    house: &House,
    clients: &mut Clients,
    deadline: Instant,
    mut look: impl FnMut(Phase),
) -> Result<(), Box<dyn Error>> {
    loop {
        match house.phase.get() {
            Some(Phase::Rest) if !house.may_go_on.get() => return Ok(()),
            Some(phase) => look(phase),
            None if clients.0.try_wait()?.is_some() => return Err("the clients have ended".into()),
            None => {}
        }
        if Instant::now() > deadline {
            return Err("this takes too long".into());
        }
        Timer::after(Duration::from_millis(50)).await;
    }
}

/// When every client has gone, their tasks end too, but for the one that listens to how far the clients are.
async fn until_all_have_ended(house: &House) -> Result<Sample, Box<dyn Error>> {
    let deadline = Instant::now() + END;
    while house.tasks.now() > 1 {
        if Instant::now() > deadline {
            return Err(format!("{} tasks do not end", house.tasks.now() - 1).into());
        }
        Timer::after(Duration::from_millis(50)).await;
    }
    // What the helper thread of the runtime has in hand, it lets go.
    Timer::after(Duration::from_secs(1)).await;
    Ok(Sample::take())
}

/// What happens, in lines.
struct Table<'h> {
    house: &'h House,
    begin: Instant,
    every: Duration,
    next: Instant,
    phase: Option<Phase>,
    slope: Slope,
    /// What had happened before.
    first: [u64; 6],
}

impl<'h> Table<'h> {
    fn new(house: &'h House, lasts: Duration) -> Self {
        let now = Instant::now();
        println!(
            "\n{:>6} {:>8} {:>7} {:>6} {:>9} {:>10} {:>8} {:>8} {:>8} {:>7} {:>9} {:>9} {:>6}",
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
        let first = Self::counts(house);
        Self {
            house,
            begin: now,
            every: lasts / LINES,
            next: now,
            phase: None,
            slope: Slope::default(),
            first,
        }
    }

    fn counts(house: &House) -> [u64; 6] {
        let House { messages, bytes, closed, cut, silent, .. } = house;
        [house.churn.ever(), messages.get(), bytes.get(), closed.get(), cut.get(), silent.get()]
    }

    /// A line at the beginning of each phase, and some of the churn; the first tenth of which is not part of the slope.
    fn look(&mut self, phase: Phase) {
        let now = Instant::now();
        let is_new = self.phase.replace(phase) != Some(phase);
        if !is_new && (phase != Phase::Churn || now < self.next) {
            return;
        }
        let sample = Sample::take();
        if is_new {
            self.next = now + self.every * 2;
        } else {
            self.next = now + self.every;
            self.slope.add(now - self.begin, sample);
        }
        self.line(phase, sample);
    }

    fn line(&self, phase: Phase, sample: Sample) {
        let mut counts = Self::counts(self.house);
        for (count, first) in counts.iter_mut().zip(self.first) {
            *count -= first;
        }
        let [connects, messages, bytes, closed, cut, silent] = counts;
        let or_none = |value: Option<i64>| value.map_or(String::from("-"), |value| value.to_string());
        println!(
            "{:>6.1} {:>8} {:>7} {:>6} {connects:>9} {messages:>10} {:>8} {closed:>8} {cut:>8} {silent:>7} {:>9} {:>9} {:>6}",
            self.begin.elapsed().as_secs_f64(),
            phase.word(),
            self.house.idle.now(),
            self.house.churn.now(),
            bytes >> 20,
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
