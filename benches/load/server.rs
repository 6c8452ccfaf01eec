//! A server that is measured: a process of its own, on the first core.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const NODE: &str = "ws (Node)";
const BUN: &str = "Bun";

/// Which one, and what it is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    pub server: String,
    pub job: Job,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Job {
    Echo,
    /// An echo that compresses at this level, "default" or a number.
    Deflate(&'static str),
    /// What one says, all are sent.
    Fanout,
}

impl Job {
    /// As the servers know it.
    const fn argument(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Deflate(level) => level,
            Self::Fanout => "fanout",
        }
    }
}

impl Name {
    /// As the tables have it.
    pub fn title(&self) -> String {
        match self.job {
            Job::Echo | Job::Fanout | Job::Deflate("default") => self.server.clone(),
            Job::Deflate(level) => format!("{}, level {level}", self.server),
        }
    }
}

/// A running server. Dropped, it is ended.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    pub fn start(name: &Name) -> Result<Self, String> {
        let mut command = match name.server.as_str() {
            NODE => node("ws/server.mjs"),
            BUN => bun(),
            server => {
                let mut command = built_program("server");
                command.arg(server);
                command
            }
        };
        command.arg(name.job.argument());
        Self::run(&name.server, &command, "0")
    }

    /// Runs a program that prints its port, on these cores (as `taskset` has them).
    pub fn run(name: &str, program: &Command, cores: &str) -> Result<Self, String> {
        let mut child = Command::new("taskset")
            .args(["-c", cores])
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let mut line = String::new();
        let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let port = line.trim().parse().map_err(|_| format!("{name}: no port ({read:?}, {line:?})"));
        // Made first, so that it is ended if it has no port.
        let mut server = Self { child, port: 0 };
        server.port = port?;
        Ok(server)
    }

    /// Seconds of CPU time of all its threads, user and system.
    pub fn cpu(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let nanoseconds = tasks.filter_map(|task| {
            let line = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            line.split(' ').next()?.parse::<u64>().ok()
        });
        nanoseconds.sum::<u64>() as f64 / 1e9
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of its anonymous memory.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux has it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that was built with this one.
pub fn built_program(name: &str) -> Command {
    Command::new(std::env::current_exe().expect("we run").with_file_name(name))
}

/// A program for Node, by its path in this package.
pub fn node(path: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    command
}

fn bun() -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("ws");
    let mut command = Command::new(here.join("node_modules/.bin/bun"));
    command.arg(here.join("bun.mjs"));
    command
}

/// The servers that were built and can do this, and those of JavaScript that are installed.
pub fn built(job: Job) -> Vec<String> {
    let output =
        built_program("server").args(["--list", job.argument()]).output().expect("the servers are built");
    let mut names: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    for (name, path) in [(NODE, "ws/node_modules/ws"), (BUN, "ws/node_modules/.bin/bun")] {
        if Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists() {
            names.push(name.to_owned());
        }
    }
    names
}
