//! Replays every corpus, and some thousand inputs like those in it, with no fuzzer at hand.

use std::fs;
use std::path::Path;

use unsync_websocket_fuzz as fuzz;
use unsync_websocket_fuzz::TARGETS;

/// The inputs of a target, by name, so that every run goes the same way.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(folder).expect("the corpus is in the repository");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

/// Prints the input if the check panics, as it would be put into a file.
struct Name<'a>(&'a [u8]);

impl Drop for Name<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the input: printf '{}'",
                self.0.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>()
            );
        }
    }
}

fn check(target: fn(&[u8]), input: &[u8]) {
    let _name = Name(input);
    target(input);
}

/// The corpus, and `mutants` inputs that are made of it by small changes.
fn replay(name: &str, target: fn(&[u8]), mutants: usize) {
    let seeds = corpus(name);
    assert!(seeds.len() >= 5, "{name} has its seeds");
    for seed in &seeds {
        check(target, seed);
    }
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for nth in 0..mutants {
        let mut bytes = seeds[nth % seeds.len()].clone();
        for _ in 0..=random(4) {
            match random(4) {
                0 if !bytes.is_empty() => {
                    let at = random(bytes.len());
                    bytes[at] ^= 1 << random(8);
                }
                1 => bytes.insert(random(bytes.len() + 1), random(256) as u8),
                2 => {
                    let other = &seeds[random(seeds.len())];
                    let (at, from) = (random(bytes.len() + 1), random(other.len() + 1));
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
                _ => bytes.truncate(random(bytes.len() + 1)),
            }
        }
        check(target, &bytes);
    }
}

/// A test a target, so that they run beside each other: its name, and how many mutants.
macro_rules! replays {
    ($($name:ident: $mutants:literal,)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name), fuzz::$name, $mutants);
        })*

        #[test]
        fn every_target_is_replayed_and_has_a_binary() {
            let names = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), names);
            let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
            let manifest = manifest.expect("readable");
            for name in names {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            }
        }
    };
}

replays! {
    header_parse: 20_000,
    unmask: 5_000,
    utf8_stream: 5_000,
    ring: 5_000,
    battle_wire: 5_000,
    recv_stream: 4_000,
    inflate_stream: 2_000,
    deflate_roundtrip: 300,
    ext_negotiation: 2_000,
    server_handshake: 2_000,
    client_handshake: 2_000,
    duplex_workload: 500,
    hostile_transport: 500,
}
