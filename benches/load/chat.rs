//! The load of a chat: rooms full of members, the first ten of each speak, and every line has to reach everybody in the room,
//! the speaker too, once and in order.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

use crate::client::{STUCK, Slice, shake_hands};
use crate::histogram::Histogram;

const SPEAKERS: usize = 10;
/// A line: who of the room says it, the number that it has for them, the nanosecond at which it was said, and words.
const LINE: usize = 64;
const WORDS: &[u8; 32] = b"single-threaded code, but faster";
/// Of a frame of the server, which has no mask.
const FRAME: usize = 2 + LINE;
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// All members of all rooms.
pub struct Chat {
    epoll: OwnedFd,
    members: Vec<Member>,
    /// Of a room.
    size: usize,
    speakers: Vec<Speaker>,
    /// Those whose last line has reached everybody.
    done: Vec<usize>,
    /// Deliveries that are still to come, of all lines.
    due: usize,
    zero: Instant,
    buffer: Vec<u8>,
}

struct Member {
    stream: TcpStream,
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// Lines heard of each speaker.
    heard: [u32; SPEAKERS],
}

#[derive(Clone, Default)]
struct Speaker {
    said: u32,
    /// Deliveries of it that are still to come.
    due: usize,
}

impl Chat {
    /// Opens so many rooms with `size` members each.
    pub fn connect(port: u16, rooms: usize, size: usize) -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let mut members = Vec::new();
        for number in 0..rooms * size {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told)?;
            stream.set_nodelay(true).map_err(told)?;
            shake_hands(&mut stream, port, &format!("/room-{}", number / size), false)?;
            stream.set_nonblocking(true).map_err(told)?;
            epoll::add(&epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)
                .map_err(|error| error.to_string())?;
            members.push(Member { stream, partial: Vec::new(), heard: [0; SPEAKERS] });
        }
        let speakers = vec![Speaker::default(); rooms * size.min(SPEAKERS)];
        let (zero, buffer) = (Instant::now(), vec![0; 256 << 10]);
        Ok(Self { epoll, members, size, speakers, done: Vec::new(), due: 0, zero, buffer })
    }

    /// For so long, each speaker says its next line as soon as everybody has heard the one before.
    pub fn saturate(&mut self, time: Duration) -> Result<Slice, String> {
        let (mut slice, start) = (Slice::default(), Instant::now());
        for speaker in 0..self.speakers.len() {
            self.say(speaker, start)?;
        }
        while self.due > 0 {
            self.listen(&mut slice, STUCK)?;
            let now = Instant::now();
            while let Some(speaker) = self.done.pop() {
                if now - start < time {
                    self.say(speaker, now)?;
                }
            }
        }
        slice.seconds = start.elapsed().as_secs_f64();
        Ok(slice)
    }

    /// For so long, lines are said at such a rate that so many deliveries a second are due, whatever comes back.
    pub fn at_rate(&mut self, deliveries: f64, time: Duration) -> Result<Slice, String> {
        let (mut slice, start) = (Slice::default(), Instant::now());
        let interval = Duration::from_secs_f64(self.size as f64 / deliveries);
        let (mut next, mut turn) = (start, 0);
        let speakers = self.size.min(SPEAKERS);
        let rooms = self.speakers.len() / speakers;
        loop {
            while next <= Instant::now() && next - start < time {
                // Each room has its turn.
                let speaker = turn % rooms * speakers + turn / rooms % speakers;
                self.say(speaker, Instant::now())?;
                (next, turn) = (next + interval, turn + 1);
            }
            let wait = match next - start < time {
                true => next.saturating_duration_since(Instant::now()),
                false if self.due == 0 => break,
                false => Duration::from_secs(STUCK.tv_sec as u64),
            };
            let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            self.listen(&mut slice, wait)?;
        }
        self.done.clear();
        slice.seconds = start.elapsed().as_secs_f64();
        Ok(slice)
    }

    /// Ends the chat with one member of its only room who has stopped to read; all others say so many lines. Returns how many of them
    /// that member got, and how it learned that it is out.
    pub fn with_one_deaf(mut self, lines: u64) -> Result<(u64, String), String> {
        let told = |error: std::io::Error| error.to_string();
        let mut deaf = self.members.pop().ok_or("nobody is there")?.stream;
        epoll::delete(&self.epoll, &deaf).map_err(|error| error.to_string())?;
        self.size -= 1;
        while self.balance()?.0 < lines {
            self.saturate(Duration::from_millis(200))?;
        }
        deaf.set_nonblocking(false).map_err(told)?;
        deaf.set_read_timeout(Some(Duration::from_secs(2))).map_err(told)?;
        let mut got = Vec::new();
        let end = deaf.read_to_end(&mut got);
        let (frames, rest) = got.as_chunks::<FRAME>();
        let whole = frames.iter().take_while(|frame| line(frame).is_some()).count();
        let rest = frames[whole..].iter().flatten().chain(rest).copied().collect::<Vec<_>>();
        let how = match (&rest[..], end) {
            ([0x88, _, high, low, ..], _) => format!("Close {}", u16::from_be_bytes([*high, *low])),
            ([], Ok(_)) => "end of stream".to_owned(),
            (_, Ok(_)) => "end of stream within a frame".to_owned(),
            (_, Err(error)) => error.to_string(),
        };
        Ok((whole as u64, how))
    }

    fn say(&mut self, speaker: usize, now: Instant) -> Result<(), String> {
        let speakers = self.size.min(SPEAKERS);
        let (room, place) = (speaker / speakers, speaker % speakers);
        let (said, nanoseconds) = (self.speakers[speaker].said, (now - self.zero).as_nanos());
        let mut frame = vec![0x81, 0x80 | LINE as u8];
        frame.extend_from_slice(&MASK);
        let _ = write!(frame, "{place:08x}{said:08x}{nanoseconds:016x}");
        frame.extend_from_slice(WORDS);
        frame[6..].iter_mut().zip(MASK.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        match self.members[room * self.size + place].stream.write(&frame) {
            Ok(len) if len == frame.len() => {}
            Ok(_) => return Err("the server takes no whole line".into()),
            Err(error) => return Err(format!("a line could not be said: {error}")),
        }
        self.speakers[speaker].said += 1;
        self.speakers[speaker].due += self.size;
        self.due += self.size;
        Ok(())
    }

    /// Waits for something to be heard, and hears it.
    fn listen(&mut self, slice: &mut Slice, wait: Timespec) -> Result<(), String> {
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        let count = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait));
        if count.map_err(|error| error.to_string())? == 0 && wait == STUCK {
            return Err(format!("{} deliveries are missing after 20 s", self.due));
        }
        for event in &events {
            self.hear(event.data.u64() as usize, &mut slice.latency)?;
        }
        slice.messages = slice.latency.total();
        Ok(())
    }

    fn hear(&mut self, number: usize, latency: &mut Histogram) -> Result<(), String> {
        let Self { members, size, speakers, done, due, zero, buffer, .. } = self;
        let member = &mut members[number];
        let kept = member.partial.len();
        buffer[..kept].copy_from_slice(&member.partial);
        let len = match member.stream.read(&mut buffer[kept..]) {
            Ok(0) => return Err("the server closed".into()),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        let now = zero.elapsed().as_nanos() as u64;
        let (frames, rest) = buffer[..kept + len].as_chunks::<FRAME>();
        for frame in frames {
            let (place, number_of_line, began) = line(frame).ok_or("a frame that nobody sent")?;
            let speaker = number / *size * SPEAKERS.min(*size) + place;
            if place >= SPEAKERS.min(*size) || member.heard[place] != number_of_line {
                return Err("a line that is not the next of its speaker".into());
            }
            if speakers[speaker].due == 0 {
                return Err("a line that was not said".into());
            }
            member.heard[place] += 1;
            latency.record(now.saturating_sub(began), 1);
            *due -= 1;
            speakers[speaker].due -= 1;
            if speakers[speaker].due == 0 {
                done.push(speaker);
            }
        }
        member.partial.clear();
        member.partial.extend_from_slice(rest);
        Ok(())
    }

    /// Lines said and lines heard, if everybody in its room has heard each.
    pub fn balance(&self) -> Result<(u64, u64), String> {
        let speakers = self.size.min(SPEAKERS);
        for (number, member) in self.members.iter().enumerate() {
            let room = &self.speakers[number / self.size * speakers..][..speakers];
            if !room.iter().zip(&member.heard).all(|(speaker, heard)| speaker.said == *heard) {
                return Err("somebody has not heard everything".into());
            }
        }
        let said = self.speakers.iter().map(|speaker| u64::from(speaker.said)).sum();
        let heard = self.members.iter().flat_map(|member| member.heard).map(u64::from).sum();
        Ok((said, heard))
    }
}

/// What a frame of the server says, if it is one unfragmented text of ours.
fn line(frame: &[u8; FRAME]) -> Option<(usize, u32, u64)> {
    let (header, line) = frame.split_first_chunk()?;
    let (numbers, words) = line.split_at_checked(LINE - WORDS.len())?;
    if *header != [0x81, LINE as u8] || words != WORDS {
        return None;
    }
    let numbers = std::str::from_utf8(numbers).ok()?;
    let hex = |from, to| u64::from_str_radix(numbers.get(from..to)?, 16).ok();
    Some((hex(0, 8)? as usize, hex(8, 16)? as u32, hex(16, 32)?))
}
