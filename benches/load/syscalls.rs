//! How many system calls a server makes. The kernel counts them, where `perf` is there and may ask.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::Slice;
use crate::server::Server;

/// Until `perf` counts; it does not say when.
const ATTACH: Duration = Duration::from_millis(150);

/// Counts them while `run` runs; before and after, the server waits.
pub fn a_message(
    server: &Server,
    run: impl FnOnce() -> Result<Slice, String>,
) -> Result<Option<f64>, String> {
    // Without the rights of an administrator there is no such event.
    if fs::read_dir("/sys/kernel/tracing/events/raw_syscalls").is_err() {
        return Ok(None);
    }
    let id = server.id().to_string();
    let perf = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &id])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut perf) = perf else { return Ok(None) };
    thread::sleep(ATTACH);
    let slice = run();
    if let Some(id) = Pid::from_raw(perf.id() as i32) {
        kill_process(id, Signal::INT).map_err(|error| error.to_string())?;
    }
    let mut counted = String::new();
    let read = perf.stderr.take().map(|mut stderr| stderr.read_to_string(&mut counted));
    perf.wait().map_err(|error| format!("{error} {read:?}"))?;
    let count = counted.split(',').next().and_then(|count| count.trim().parse::<f64>().ok());
    let slice = slice?;
    Ok(count.map(|count| count / slice.messages as f64))
}
