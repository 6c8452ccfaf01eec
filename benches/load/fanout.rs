//! A room: one of its members speaks, and all are sent what it says.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

use crate::client::{STUCK, Slice, shake_hands};
use crate::reader::Reader;
use crate::script::{Returned, Script};
use crate::server::{Job, Server};
use crate::{Load, Options, Row, measured, table, titles};

const MEMBERS: usize = 1000;
/// Until the last of the members has come in: the handshake is answered before.
const SETTLE: Duration = Duration::from_millis(100);

pub fn fanout(options: &Options) {
    let row = |in_flight, size| Row { connections: MEMBERS, in_flight, size };
    let rows = vec![row(1, 20), row(16, 20), row(1, 1 << 10), row(16, 1 << 10)];
    let names = options.names(Job::Fanout);
    let rows = measured(rows, &names, options, Server::start, Room::connect);
    println!(
        "One of {MEMBERS} members speaks; a message is counted at each of those that it reaches, the speaker too.\n"
    );
    table::print(&titles(&names), &rows);
}

struct Room {
    epoll: OwnedFd,
    members: Vec<Member>,
    script: Script,
    /// Messages that the first member says at a time.
    in_flight: usize,
    /// The number of the first of them.
    batch: usize,
    buffer: Vec<u8>,
}

struct Member {
    stream: TcpStream,
    reader: Reader,
    /// How many of the batch have reached it.
    heard: usize,
}

impl Room {
    fn connect(port: u16, row: &Row) -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let mut members = Vec::new();
        for number in 0..row.connections {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told)?;
            stream.set_nodelay(true).map_err(told)?;
            shake_hands(&mut stream, port, "/", false)?;
            stream.set_nonblocking(true).map_err(told)?;
            epoll::add(&epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)
                .map_err(|error| error.to_string())?;
            members.push(Member { stream, reader: Reader::default(), heard: 0 });
        }
        thread::sleep(SETTLE);
        let script = Script::plain(row.size, row.in_flight);
        Ok(Self { epoll, members, script, in_flight: row.in_flight, batch: 0, buffer: vec![0; 256 << 10] })
    }

    /// Says a batch, and waits until everybody has heard it.
    fn say(&mut self, slice: &mut Slice, events: &mut Vec<Event>) -> Result<(), String> {
        let Self { epoll, members, script, in_flight, batch, buffer } = self;
        let began = Instant::now();
        members[0].stream.write_all(script.frames(*batch, *in_flight)).map_err(|error| error.to_string())?;
        let mut due = members.len() * *in_flight;
        while due > 0 {
            events.clear();
            let count = epoll::wait(&*epoll, spare_capacity(events), Some(&STUCK));
            if count.map_err(|error| error.to_string())? == 0 {
                return Err(format!("{due} deliveries are missing after 20 s"));
            }
            for event in &*events {
                let member = &mut members[event.data.u64() as usize];
                let len = match member.stream.read(buffer) {
                    Ok(0) => return Err("the server closed".into()),
                    Ok(len) => len,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error.to_string()),
                };
                let first = script.after(*batch, member.heard);
                let heard = member.reader.receive(&buffer[..len], first, script)?;
                slice.latency.record(began.elapsed().as_nanos() as u64, heard as u64);
                member.heard += heard;
                if member.heard > *in_flight {
                    return Err("more came than was said".into());
                }
                due -= heard;
            }
        }
        slice.messages += (members.len() * *in_flight) as u64;
        *batch = script.after(*batch, *in_flight);
        members.iter_mut().for_each(|member| member.heard = 0);
        Ok(())
    }
}

impl Load for Room {
    fn run(&mut self, time: Duration) -> Result<Slice, String> {
        let (mut slice, start) = (Slice::default(), Instant::now());
        let mut events = Vec::with_capacity(1024);
        while start.elapsed() < time {
            self.say(&mut slice, &mut events)?;
        }
        slice.seconds = start.elapsed().as_secs_f64();
        Ok(slice)
    }

    fn returned(&self) -> Returned {
        self.script.returned
    }
}
