//! The limit: a buffer that is read into, parsed and unmasked in place; a header before a payload. No fragments, no control frames, no
//! errors, no state.

use std::io::{IoSlice, Read, Write};

use unsync_websocket::Role;

use crate::wire::{Case, Wire, xor};
use crate::{Run, receiving, sending};

pub fn receive(case: Case) -> Run {
    let frames = case.frames();
    let (masked, mut buffer, mut at) = (case.role == Role::Server, vec![0; frames.len()], frames.len());
    let mut wire = Wire::new(frames);
    receiving(case, move |case| {
        if at == buffer.len() {
            let mut filled = 0;
            while filled < buffer.len() {
                filled += wire.read(&mut buffer[filled..]).expect("memory");
            }
            at = 0;
        }
        let (header, len) = match buffer[at..] {
            [_, 0x7E | 0xFE, a, b, ..] => (4, usize::from(a) << 8 | usize::from(b)),
            [_, 0x7F | 0xFF, a, b, c, d, e, f, g, h, ..] => {
                (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize)
            }
            [_, short, ..] => (2, usize::from(short & 0x7F)),
            _ => panic!("a header"),
        };
        at += header;
        let mut payload = &mut buffer[at..];
        if masked {
            at += 4;
            let (key, rest) = payload.split_first_chunk_mut::<4>().expect("a key");
            payload = rest;
            xor(*key, &mut payload[..len]);
        }
        at += len;
        let payload = &payload[..len];
        assert!(!case.text || simdutf8::basic::from_utf8(payload).is_ok());
        case.check(payload);
    })
}

/// A client masks the caller's buffer.
pub fn send(case: Case) -> Run {
    let (masked, mut wire, mut key) = (case.role == Role::Client, Wire::new(Vec::new()), 0_u32);
    let mut header = case.header(masked);
    let len = header.len();
    sending(case, Case::bytes, move |_, payload| {
        if masked {
            // Any key will do here.
            key = key.wrapping_add(0x9E37_79B9);
            header.truncate(len);
            header.extend_from_slice(&key.to_ne_bytes());
            xor(key.to_ne_bytes(), payload);
        }
        let written = wire.write_vectored(&[IoSlice::new(&header), IoSlice::new(payload)]);
        assert!(written.is_ok_and(|len| len > payload.len()));
    })
}
