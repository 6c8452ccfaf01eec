//! The arrows between the modules, and what may stand where. DESIGN.md draws them; this keeps them true.
//!
//! `handshake → connection → protocol`; `ring` stands alone; `runtime` may use everything and nothing uses it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src/`, and the modules of this crate that each may name.
const ARROWS: [(&str, &[&str]); 5] = [
    ("protocol", &["protocol"]),
    ("ring", &["ring"]),
    ("connection", &["connection", "protocol"]),
    ("handshake", &["handshake", "connection", "protocol"]),
    ("runtime", &["runtime", "handshake", "connection", "protocol", "ring"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// What stands before the unit tests: a module at the end, or none.
fn without_unit_tests(text: &str) -> &str {
    let is_module = |after: &str| {
        let code = after.lines().skip(1).find(|line| !line.starts_with("#["));
        code.is_some_and(|line| line.starts_with("mod "))
    };
    let begin = text.match_indices("\n#[cfg(test)]\n").find(|(at, _)| is_module(&text[at + 1..]));
    begin.map_or(text, |(at, _)| &text[..at])
}

/// Path below `src`, and the code: without comments and unit tests.
fn code() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&src, &mut paths);
    assert!(paths.len() > 20, "all of src is looked at");
    let strip = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let lines = without_unit_tests(&text).lines().map(|line| line.split("//").next().unwrap());
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        (name, lines.collect::<Vec<_>>().join("\n"))
    };
    paths.iter().map(strip).collect()
}

#[test]
fn a_line_for_tests_hides_nothing_that_follows_it() {
    let text = "a\n#[cfg(test)]\nuse b;\nc\n#[cfg(test)]\n#[expect(d)]\nmod tests {\n}\n";
    assert_eq!(without_unit_tests(text), "a\n#[cfg(test)]\nuse b;\nc");
    let all = code();
    let (_, connection) = all.iter().find(|(file, _)| file == "connection/mod.rs").unwrap();
    assert!(connection.contains("fn close_now"), "the last function is looked at");
}

#[test]
fn modules_use_only_what_lies_below_them() {
    for (file, code) in code() {
        let module = file.split(['/', '.']).next().unwrap();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            assert_eq!(file, "lib.rs", "every module has its arrows here");
            continue;
        };
        for used in code.split("crate::").skip(1) {
            let target: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(allowed.contains(&target.as_str()), "src/{file} must not use crate::{target}");
        }
    }
}

#[test]
fn only_the_waker_hub_has_a_lock_or_an_atomic() {
    for (file, code) in code() {
        for word in ["Mutex", "RwLock", "Atomic", "Arc<", "Arc::", "std::sync", "unsafe "] {
            // rustls wants its configuration in an `Arc`, be there one thread or many.
            let is_rustls_s = file == "runtime/rustls.rs" && ["Arc<", "std::sync"].contains(&word);
            assert!(
                file == "connection/hub.rs" || is_rustls_s || !code.contains(word),
                "src/{file} has {word}"
            );
        }
    }
}

#[test]
fn the_protocol_neither_awaits_nor_polls() {
    for (file, code) in code().iter().filter(|(file, _)| file.starts_with("protocol/")) {
        for word in [".await", "Context<", "Poll<", "async ", "Instant"] {
            assert!(!code.contains(word), "src/{file} has {word}");
        }
    }
}

#[test]
fn only_shared_borrows_the_cells_of_a_connection() {
    for (file, code) in code() {
        let may = [
            "connection/shared.rs",
            // The thread's, not a connection's.
            "connection/rest.rs",
            "connection/scratch.rs",
            "connection/keys.rs",
            "ring.rs",
            "runtime/local.rs",
        ];
        let borrows = code.contains(".borrow()") || code.contains(".borrow_mut()");
        assert!(may.contains(&file.as_str()) || !borrows, "src/{file} borrows a cell");
    }
}

/// A version as three numbers; what stands behind them is left out.
fn version(text: &str) -> [u64; 3] {
    let mut numbers = text.trim().split(['.', '-', '+']).map(|number| number.parse().unwrap());
    [(); 3].map(|()| numbers.next().unwrap())
}

/// The bans of `deny.toml`: a crate, from which version on, and the first that is good again.
fn bans() -> Vec<(String, [u64; 3], [u64; 3])> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap();
    let list = text.split("\ndeny = [").nth(1).and_then(|list| list.split("\n]").next()).unwrap();
    let lines = list.lines().filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split('"').next());
    let ban = |line: &str| {
        let (name, range) = line.split_once(':').unwrap();
        let (from, to) = range.split_once(", ").unwrap_or((">=0.0.0", range));
        (name.to_owned(), version(from.strip_prefix(">=").unwrap()), version(to.strip_prefix('<').unwrap()))
    };
    lines.map(ban).collect()
}

/// Each crate of a lock file, and its version.
fn locked(file: &str) -> Vec<(String, [u64; 3])> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let field = |package: &str, name: &str| {
        let value = package
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'));
        value.unwrap().to_owned()
    };
    let packages = text.split("[[package]]").skip(1);
    packages.map(|package| (field(package, "name"), version(&field(package, "version")))).collect()
}

/// RUSTSEC-2026-0221 (event-listener), -0007 (bytes), -0097 (rand), RUSTSEC-2024-0401 (zlib-rs), RUSTSEC-2025-0047 (slab): versions with
/// known faults are not among the dependencies, as `deny.toml` has it.
#[test]
fn rustsec_2026_0221_0007_and_0097_no_version_with_a_known_fault_is_locked() {
    let (bans, mut looked_at) = (bans(), 0);
    assert!(bans.len() >= 7, "all bans are read: {bans:?}");
    for file in [
        "Cargo.lock",
        "fuzz/Cargo.lock",
        "benches/Cargo.lock",
        "tests/peers/Cargo.lock",
        "tests/tls/Cargo.lock",
    ] {
        for (name, version) in locked(file) {
            for (_, from, good) in bans.iter().filter(|(banned, ..)| *banned == name) {
                looked_at += 1;
                let bad = *from <= version && version < *good;
                assert!(!bad, "{file} has {name} {version:?}; it has to be {good:?} or later");
            }
        }
    }
    assert!(looked_at >= 8, "the crates in question are found: {looked_at}");
}
