//! Memory of connections that do nothing.

use crate::Options;
use crate::client::Client;
use crate::script::Script;
use crate::server::{Job, Name, Server};

/// Anonymous memory of the server, less that before the first connection, divided by the connections.
pub fn idle(options: &Options) {
    let count = if options.quick { 2_000 } else { 10_000 };
    println!("Bytes of anonymous memory for each of {count} idle connections\n");
    println!(
        "| | after the handshake | after an echo of 20 B | after an echo of 16 KiB |\n|---|---|---|---|"
    );
    let (plain, deflate) = (options.names(Job::Echo), options.names(Job::Deflate("default")));
    for name in plain.iter().chain(&deflate) {
        let title = match name.job {
            Job::Deflate(_) => format!("{}, deflate", name.title()),
            _ => name.title(),
        };
        match measure(name, count) {
            Ok([connected, small, large]) => println!("| {title} | {connected} | {small} | {large} |"),
            Err(failure) => {
                println!("| {title} | failed: {} |||", failure.trim().lines().next().unwrap_or_default())
            }
        }
    }
}

fn measure(name: &Name, count: usize) -> Result<[u64; 3], String> {
    let script = |size: usize| match name.job {
        // The smallest of these texts is no smaller than its first name.
        Job::Deflate(_) => Script::json(size.max(64)),
        _ => Script::plain(size, 1),
    };
    let server = Server::start(name)?;
    let before = server.memory();
    let each = |memory: u64| memory.saturating_sub(before) / count as u64;
    let mut client = Client::connect(server.port, count, script(20), 1)?;
    let connected = server.memory();
    client.once()?;
    let small = server.memory();
    client.script = script(16 << 10);
    client.once()?;
    Ok([each(connected), each(small), each(server.memory())])
}
