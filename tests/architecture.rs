//! The arrows between the modules, and what may stand where. DESIGN.md draws them; this keeps them true.
//!
//! `handshake → connection → protocol`; `ring` stands alone; `runtime` may use everything and nothing uses it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

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

/// Path below `src`, and the code: without comments and unit tests.
fn code() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&src, &mut paths);
    assert!(paths.len() > 20, "all of src is looked at");
    let strip = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().map(|line| line.split("//").next().unwrap());
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        (name, lines.collect::<Vec<_>>().join("\n"))
    };
    paths.iter().map(strip).collect()
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
            assert!(file == "connection/hub.rs" || !code.contains(word), "src/{file} has {word}");
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
        let may = ["connection/shared.rs", "connection/scratch.rs", "connection/keys.rs", "ring.rs"];
        let borrows = code.contains(".borrow()") || code.contains(".borrow_mut()");
        assert!(may.contains(&file.as_str()) || !borrows, "src/{file} borrows a cell");
    }
}
