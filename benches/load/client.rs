//! The load: connections that send prepared frames and check what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

use crate::Load;
use crate::histogram::Histogram;
use crate::reader::Reader;
use crate::script::{Returned, Script};

/// The sample key and its answer of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Longer than any message takes.
pub const STUCK: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// Connections to one server.
pub struct Client {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    pub script: Script,
    in_flight: usize,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    reader: Reader,
    /// The number of the first message of the batch that is under way; how many of it came back, how many bytes of it went out.
    batch: usize,
    returned: usize,
    written: usize,
    began: Instant,
    /// Whether the socket was full, so that we are told when it no longer is.
    full: bool,
}

/// What a slice of time showed.
#[derive(Clone, Default)]
pub struct Slice {
    pub messages: u64,
    pub seconds: f64,
    pub latency: Histogram,
}

impl Client {
    /// Opens connections, each with its opening handshake.
    pub fn connect(port: u16, count: usize, script: Script, in_flight: usize) -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let mut connections = Vec::new();
        for number in 0..count {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told)?;
            stream.set_nodelay(true).map_err(told)?;
            shake_hands(&mut stream, port, "/", script.is_compressed())?;
            stream.set_nonblocking(true).map_err(told)?;
            epoll::add(&epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)
                .map_err(|error| error.to_string())?;
            let (reader, batch) = (Reader::default(), script.after(0, number * in_flight));
            let began = Instant::now();
            connections.push(Connection {
                stream,
                reader,
                batch,
                returned: 0,
                written: 0,
                began,
                full: false,
            });
        }
        Ok(Self { epoll, connections, script, in_flight, buffer: vec![0; 256 << 10] })
    }

    /// Sends one batch on each connection, on a hundred at a time.
    pub fn once(&mut self) -> Result<(), String> {
        let count = self.connections.len();
        for from in (0..count).step_by(100) {
            self.drive(from..count.min(from + 100), None)?;
        }
        Ok(())
    }

    fn drive(&mut self, connections: Range<usize>, until: Option<Instant>) -> Result<Slice, String> {
        let (mut slice, start) = (Slice::default(), Instant::now());
        let mut under_way = connections.len();
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        for number in connections {
            let connection = &mut self.connections[number];
            connection.batch = self.script.after(connection.batch, 0);
            connection.began = Instant::now();
            connection.write(number, &self.epoll, &self.script, self.in_flight)?;
        }
        while under_way > 0 {
            events.clear();
            let count = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&STUCK));
            if count.map_err(|error| error.to_string())? == 0 {
                return Err("nothing came back for 20 s".into());
            }
            for event in &events {
                let (number, flags) = (event.data.u64() as usize, event.flags);
                let connection = &mut self.connections[number];
                if flags.contains(EventFlags::OUT) {
                    connection.write(number, &self.epoll, &self.script, self.in_flight)?;
                }
                if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    continue;
                }
                let len = match connection.stream.read(&mut self.buffer) {
                    Ok(0) => return Err("the server closed".into()),
                    Ok(len) => len,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error.to_string()),
                };
                let first = self.script.after(connection.batch, connection.returned);
                let completed = connection.reader.receive(&self.buffer[..len], first, &mut self.script)?;
                if completed == 0 {
                    continue;
                }
                let now = Instant::now();
                slice.latency.record((now - connection.began).as_nanos() as u64, completed as u64);
                slice.messages += completed as u64;
                connection.returned += completed;
                if connection.returned < self.in_flight {
                    continue;
                }
                if connection.returned > self.in_flight {
                    return Err("more came back than was sent".into());
                }
                connection.batch = self.script.after(connection.batch, self.in_flight);
                (connection.returned, connection.written) = (0, 0);
                if until.is_some_and(|until| now < until) {
                    connection.began = now;
                    connection.write(number, &self.epoll, &self.script, self.in_flight)?;
                } else {
                    under_way -= 1;
                }
            }
        }
        slice.seconds = start.elapsed().as_secs_f64();
        Ok(slice)
    }
}

impl Load for Client {
    /// Sends batches on all connections, each as soon as the one before it came back whole.
    fn run(&mut self, time: Duration) -> Result<Slice, String> {
        self.drive(0..self.connections.len(), Some(Instant::now() + time))
    }

    fn returned(&self) -> Returned {
        self.script.returned
    }
}

impl Connection {
    /// Writes what is left of the batch.
    fn write(
        &mut self,
        number: usize,
        epoll: &OwnedFd,
        script: &Script,
        in_flight: usize,
    ) -> Result<(), String> {
        let frames = script.frames(self.batch, in_flight);
        while self.written < frames.len() {
            match self.stream.write(&frames[self.written..]) {
                Ok(len) => self.written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        let full = self.written < frames.len();
        if full != self.full {
            self.full = full;
            let flags = if full { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.stream, EventData::new_u64(number as u64), flags)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// The client's opening handshake. The answer is checked, to its last byte.
pub fn shake_hands(stream: &mut TcpStream, port: u16, path: &str, deflate: bool) -> Result<(), String> {
    let told = |error: std::io::Error| format!("handshake: {error}");
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(told)?;
    let offer = match deflate {
        true => {
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
        }
        false => "",
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offer}\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(told)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).map_err(told)? {
            0 => return Err("handshake: the server closed".into()),
            len => answer.extend_from_slice(&buffer[..len]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    if !answer.starts_with("HTTP/1.1 101") || !answer.contains(ACCEPT) {
        return Err(format!("handshake: {answer}"));
    }
    let extensions = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-extensions").then_some(value)
    });
    match extensions {
        Some(value) if deflate && value.contains("server_no_context_takeover") => Ok(()),
        None if !deflate => Ok(()),
        extensions => Err(format!("handshake: extensions {extensions:?}")),
    }
}
