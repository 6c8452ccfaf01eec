//! `examples/client` as its user has it: typing, `--ping`, Ctrl-C, and what the exit code says. The server is `echo_server`, which
//! tells on its standard error of every connection that did not close in order.
#![cfg(all(unix, feature = "async-io"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by failing"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that was started, and the lines that it prints.
struct Program {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

/// Builds an example, as far as that is needed, and tells where it is.
fn example(name: &str) -> PathBuf {
    // One at a time: cargo would print that it waits.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let build = ["build", "--quiet", "--profile", "test", "--example", name];
    assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success(), "cargo builds {name}");
    // From `target/debug/deps/terminal-..`.
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name)
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if line.is_ok_and(|line| sender.send(line).is_err()) {
                break;
            }
        }
    });
    receiver
}

impl Program {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(example(name));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, out: lines_of(out), err: lines_of(err) }
    }

    fn types(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// As Ctrl-C, or `kill -KILL`, does.
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// The exit code; `None` if a signal ended it.
    fn ends(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a line that contains `text`, and returns it.
fn line_with(lines: &Receiver<String>, text: &str) -> String {
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) if line.contains(text) => return line,
            Ok(_) => {}
            Err(error) => panic!("no line with {text:?}: {error}"),
        }
    }
}

/// `echo_server`, and its URL.
fn echo_server() -> (Program, String) {
    let server = Program::start("echo_server", &["127.0.0.1:0"]);
    let line = line_with(&server.out, "listening on ");
    let url = line.strip_prefix("listening on ").unwrap().to_owned();
    (server, url)
}

/// Whether the server had nothing to tell: all connections, of which none is left, closed in order.
fn is_content(server: &Program) -> bool {
    server.err.recv_timeout(Duration::from_millis(300)) == Err(RecvTimeoutError::Timeout)
}

#[test]
fn what_is_typed_comes_back_and_ctrl_c_closes_in_order() {
    let (server, url) = echo_server();
    let mut client = Program::start("client", &[&url]);
    client.types("hello\nw\u{f6}rld\n");
    assert_eq!(line_with(&client.out, ""), "hello");
    assert_eq!(line_with(&client.out, ""), "w\u{f6}rld");
    client.signal("-INT");
    assert_eq!(client.ends(), Some(0));
    assert_eq!(line_with(&client.err, "closed"), "closed");
    assert!(is_content(&server));
}

#[test]
fn ctrl_c_closes_in_order_while_a_line_is_half_typed() {
    let (server, url) = echo_server();
    let mut client = Program::start("client", &[&url]);
    line_with(&client.err, "connected");
    client.types("not fini");
    thread::sleep(Duration::from_millis(100));
    client.signal("-INT");
    assert_eq!(client.ends(), Some(0));
    assert!(client.out.try_recv().is_err(), "nothing was sent");
    assert!(is_content(&server));
}

#[test]
fn the_end_of_the_input_closes_in_order() {
    let (server, url) = echo_server();
    let mut client = Program::start("client", &[&url]);
    client.types("the last line has no end");
    drop(client.child.stdin.take());
    assert_eq!(line_with(&client.out, ""), "the last line has no end");
    assert_eq!(client.ends(), Some(0));
    assert!(is_content(&server));
}

#[test]
fn a_ping_each_second_tells_how_long_its_pong_took() {
    let (server, url) = echo_server();
    let mut client = Program::start("client", &["--ping", &url]);
    let begun = Instant::now();
    for _ in 0..2 {
        let line = line_with(&client.err, "pong after ");
        let took = line.strip_prefix("pong after ").and_then(|took| took.strip_suffix(" ms"));
        let took: f64 = took.and_then(|took| took.parse().ok()).expect(&line);
        assert!(took > 0.0 && took < 10_000.0, "{line}");
    }
    assert!(begun.elapsed() > Duration::from_millis(900), "one a second");
    // Lines go out meanwhile, too.
    client.types("between\n");
    assert_eq!(line_with(&client.out, ""), "between");
    client.signal("-INT");
    assert_eq!(client.ends(), Some(0));
    assert!(is_content(&server));
}

#[test]
fn a_client_or_a_server_that_is_killed_breaks_the_connection_off() {
    let (mut server, url) = echo_server();
    let mut victim = Program::start("client", &[&url]);
    line_with(&victim.err, "connected");
    victim.signal("-KILL");
    assert_eq!(victim.ends(), None);
    line_with(&server.err, "127.0.0.1");

    let mut witness = Program::start("client", &[&url]);
    line_with(&witness.err, "connected");
    server.signal("-KILL");
    assert_eq!(server.ends(), None);
    assert_eq!(witness.ends(), Some(5));
}
