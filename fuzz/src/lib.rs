//! What the fuzz targets check, callable from anywhere.
//!
//! Each function takes the bytes of one input and panics if a property does not hold. The first bytes of an input choose (a role,
//! a limit, where to cut); what they mean stands at the function. Past its end an input is zeros, so that every input means
//! something.
//!
//! Everything goes through the public API. The slow model of the protocol, the simulated network and the scripted streams are the
//! ones of the library's own tests.

mod battle;
mod deflating;
mod frames;
mod handshakes;
mod input;
mod reading;
mod ring;
mod sockets;

#[path = "../../tests/ends/mod.rs"]
#[allow(clippy::mem_forget, clippy::await_holding_refcell_ref, reason = "as where it is tested")]
mod ends;
#[path = "../../tests/kit/mod.rs"]
mod kit;
#[path = "../../tests/client/server.rs"]
mod server;
#[path = "../../tests/handshake/wire.rs"]
mod wire;

use unsync_websocket_test_alloc::Counting;

pub use battle::battle_wire;
pub use deflating::{deflate_roundtrip, inflate_stream};
pub use frames::{header_parse, unmask, utf8_stream};
pub use handshakes::{client_handshake, ext_negotiation, server_handshake};
pub use reading::recv_stream;
pub use ring::ring;
pub use sockets::{duplex_workload, hostile_transport};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A target's name, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. The cheap ones first: of those more is run.
pub const TARGETS: [Target; 13] = [
    ("header_parse", header_parse),
    ("unmask", unmask),
    ("utf8_stream", utf8_stream),
    ("ring", ring),
    ("battle_wire", battle_wire),
    ("recv_stream", recv_stream),
    ("inflate_stream", inflate_stream),
    ("deflate_roundtrip", deflate_roundtrip),
    ("ext_negotiation", ext_negotiation),
    ("server_handshake", server_handshake),
    ("client_handshake", client_handshake),
    ("duplex_workload", duplex_workload),
    ("hostile_transport", hostile_transport),
];
