//! Thousands of players from one process and one thread, and an account of every word they say.
//!
//! `cargo run --release --example swarm -- --address 127.0.0.1:8080 --players 2000`, while `battle` runs there.
//!
//! Each player joins a battle and flies at random; and each says something so many times a second, which the battle tells to all
//! its members. All players are in this process, so it knows who was where when something was said, who has heard it, and how
//! long that took. In the end, what was delivered must be what was sent, times the members: a word that is missing, or comes out
//! of turn, or twice, is lost; a player that the server parted with was too slow. Either makes the exit status 1.
//!
//! `options.rs` is the command line, `player.rs` one player, `account.rs` who heard what, `plot.rs` the picture.
//!
//! The battle is to have no other players, and no bots: nobody here would hear for them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement counts, and far below any limit"
)]

mod account;
mod options;
mod player;
mod plot;
#[path = "../battle/wire/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the battle uses all of it")]
mod wire;

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use async_io::{Timer, block_on};

use account::Account;
use options::{HELP, Options};

/// Handshakes at once.
const OPENING: usize = 64;
/// Until everything that was said must have been heard, when nobody speaks any more.
const PATIENCE: Duration = Duration::from_secs(20);

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
    // A socket for each player.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    if u64::try_from(options.players).is_ok_and(|players| players + 50 > limit) {
        eprintln!("{} players need as many descriptors, and there are {limit}", options.players);
        return ExitCode::from(2);
    }
    let account = Account::new(options.players);
    let executor = Rc::new(LocalExecutor::new());
    match block_on(executor.run(swarm(&executor, &account, &options))) {
        Ok(()) if account.is_complete() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nswarm: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All come, all speak for a while, all that was said is heard, all go.
async fn swarm<'a>(
    executor: &Rc<LocalExecutor<'a>>,
    account: &'a Account,
    options: &'a Options,
) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..options.players {
        // No faster than is asked for, nor than the server keeps up with.
        let due = began + options.ramp_up.mul_f64(number as f64 / options.players as f64);
        while Instant::now() < due || account.coming(number) >= OPENING {
            Timer::after(Duration::from_millis(1)).await;
        }
        tasks.push(executor.spawn(player::live(number, account, options)));
        if number % 64 == 0 {
            progress("joining", number, options.players, account);
        }
    }
    wait("joining", Instant::now() + PATIENCE, account, || account.coming(options.players) == 0).await;
    if account.coming(options.players) > 0 {
        return Err(format!("{} players did not get in", account.coming(options.players)).into());
    }
    clear();
    println!(
        "{} players in {} battles after {:.1} s",
        options.players,
        account.battles(),
        began.elapsed().as_secs_f64()
    );

    // The last to join are known to all by then.
    Timer::after(Duration::from_millis(500)).await;
    account.speak();
    let speaking = Instant::now();
    wait("speaking", speaking + options.lasts, account, || false).await;
    account.be_silent();
    let spoke = speaking.elapsed();
    wait("listening", Instant::now() + PATIENCE, account, || account.is_complete()).await;
    account.go();
    for task in tasks {
        task.await;
    }
    clear();
    print!("{}", account.report(spoke));
    if let Some(path) = &options.plot {
        fs::write(path, plot::svg(&account.seconds()))?;
        println!("the latency over time is in {}", path.display());
    }
    Ok(())
}

/// Shows how it goes until the time is over, or what is waited for is there.
async fn wait(what: &str, until: Instant, account: &Account, is_there: impl Fn() -> bool) {
    let begun = Instant::now();
    let all = until.saturating_duration_since(begun).as_millis();
    while Instant::now() < until && !is_there() {
        let done = begun.elapsed().as_millis().min(all);
        progress(what, usize::try_from(done).unwrap_or(0), usize::try_from(all).unwrap_or(1), account);
        Timer::after(Duration::from_millis(50)).await;
    }
}

/// Takes the progress away.
fn clear() {
    if io::stderr().is_terminal() {
        eprint!("\r{:78}\r", "");
    }
}

/// One line, written again and again, where somebody looks at it.
fn progress(what: &str, done: usize, all: usize, account: &Account) {
    if !io::stderr().is_terminal() {
        return;
    }
    let filled = (done * 30).checked_div(all).unwrap_or(30).min(30);
    let (sent, heard) = account.counts();
    eprint!("\r{what:9} [{:30}] sent {sent}, delivered {heard}   ", "#".repeat(filled));
}
