//! What the manual quotes is what it was taken from: code of `benches/`, and the figures of `benches/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Chapters of the manual.
fn chapters() -> Vec<(String, String)> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("manual")).unwrap();
    let names = entries.map(|entry| format!("manual/{}", entry.unwrap().file_name().to_string_lossy()));
    names.map(|name| (name.clone(), read(&name))).collect()
}

#[test]
fn quoted_code_is_the_code_of_the_benches() {
    let mut pieces = 0;
    for (chapter, text) in chapters() {
        for quoted in text.split("<!-- from ").skip(1) {
            let (path, rest) = quoted.split_once(" -->\n```").unwrap();
            let (_, rest) = rest.split_once('\n').unwrap();
            let (code, _) = rest.split_once("```").unwrap();
            let source = read(path);
            // Left out is what stands for it.
            for piece in code.split("// ..\n") {
                assert!(source.contains(piece), "{chapter}: this is not in {path}:\n{piece}");
                pieces += 1;
            }
        }
    }
    assert!(pieces >= 7, "{pieces} pieces of code are quoted");
}

#[test]
fn quoted_figures_are_those_of_the_benches() {
    let published = read("benches/README.md");
    let mut rows = 0;
    for (chapter, text) in chapters() {
        for quoted in text.split("<!-- figures of benches/README.md -->\n").skip(1) {
            for row in quoted.lines().take_while(|line| line.starts_with('|')) {
                assert!(
                    published.contains(&format!("\n{row}\n")),
                    "{chapter}: not in benches/README.md: {row}"
                );
                rows += 1;
            }
        }
    }
    assert!(rows >= 10, "{rows} rows are quoted");
}
