//! Every public item has an example: a block of code under `# Examples`, or there a pointer to the item whose example uses it.
//!
//! `cargo test --doc` runs the code; this sees to it that there is some, by reading `src/` as text. What is `pub` there can be
//! reached from outside, or the lint `unreachable_pub` complains.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A public item: a type, a function, or a method as `Type::method`.
struct Item {
    /// Where it is, for the message.
    place: String,
    /// What stands under `# Examples`, if that is there.
    examples: Option<String>,
    /// The same of the module that it is in.
    of_module: Option<String>,
}

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

/// The name at the beginning of `text`.
fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The type that a line such as `impl<T: Read> fmt::Debug for Sender<T> {` is about.
fn type_of_impl(line: &str) -> String {
    let mut depth = 0;
    let after = line.strip_prefix("impl").unwrap();
    // Behind the generic parameters, if there are any.
    let end = after.char_indices().find(|(_, c)| {
        depth += match c {
            '<' => 1,
            '>' => -1,
            _ => 0,
        };
        depth == 0
    });
    let rest = if after.starts_with('<') { &after[end.unwrap().0 + 1..] } else { after };
    let subject = rest.split(" for ").last().unwrap().trim();
    name(subject.rsplit_once("::").map_or(subject, |(_, last)| last))
}

/// What a line declares, if that is public, be it within a public trait.
fn declared(line: &str, in_trait: bool) -> Option<(&str, String)> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub ") {
        Some(code) => code,
        None if in_trait && line.starts_with("    fn ") => code,
        None => return None,
    };
    let code = ["const ", "async "].iter().fold(code, |code, word| match code.strip_prefix(word) {
        Some(rest) if rest.starts_with("fn ") || rest.starts_with("async ") => rest,
        _ => code,
    });
    let (kind, rest) = code.split_once(' ')?;
    ["fn", "struct", "enum", "trait", "type"].contains(&kind).then(|| (kind, name(rest)))
}

/// What stands under the heading `# Examples` of a documentation.
fn examples_of(docs: &[&str]) -> Option<String> {
    let start = docs.iter().position(|line| line.trim() == "# Examples")? + 1;
    let mut in_code = false;
    let lines = docs[start..].iter().take_while(|line| {
        in_code ^= line.trim_start().starts_with("```");
        in_code || !line.trim_start().starts_with("# ")
    });
    Some(lines.copied().collect::<Vec<_>>().join("\n"))
}

fn items() -> BTreeMap<String, Item> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut paths, mut items) = (Vec::new(), BTreeMap::new());
    sources(&src, &mut paths);
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        let module: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("//!")).collect();
        let of_module = examples_of(&module);
        let (mut docs, mut subject, mut in_trait) = (Vec::new(), None, false);
        for (number, line) in text.split("#[cfg(test)]\nmod ").next().unwrap().lines().enumerate() {
            if let Some(doc) = line.trim_start().strip_prefix("///") {
                docs.push(doc);
                continue;
            }
            if line.starts_with("impl") {
                subject = Some(type_of_impl(line));
            }
            if line == "}" {
                (subject, in_trait) = (None, false);
            }
            if let Some((kind, name)) = declared(line, in_trait) {
                let path = match &subject {
                    Some(subject) => format!("{subject}::{name}"),
                    None => name.clone(),
                };
                let place = format!("src/{file}:{}: {path}", number + 1);
                // Of two with the same name (a feature's stand-in), each is looked at.
                let path = if items.contains_key(&path) { format!("{path} in {file}") } else { path };
                items
                    .insert(path, Item { place, examples: examples_of(&docs), of_module: of_module.clone() });
                if kind == "trait" {
                    (subject, in_trait) = (Some(name), true);
                }
            }
            // Attributes stand between an item and its documentation.
            if !line.trim_start().starts_with("#[") {
                docs.clear();
            }
        }
    }
    items
}

/// The items that the pointers in `examples` lead to, as `See [`Sender::send`]` does from a method of `subject`.
fn pointers(examples: &str, subject: &str) -> Vec<String> {
    let links = examples.split("[`").skip(1).filter_map(|link| link.split_once("`]"));
    let target = |(shown, after): (&str, &str)| {
        let target = after.strip_prefix('(').and_then(|after| after.split_once(')')).map_or(shown, |it| it.0);
        let target = target.trim_start_matches("crate::").trim_start_matches("super::");
        target.replace("Self::", &format!("{subject}::"))
    };
    links.map(target).collect()
}

#[test]
fn every_public_item_has_an_example_or_points_to_the_one_that_uses_it() {
    let items = items();
    assert!(items.len() > 150, "{} items are not all", items.len());
    let code = |item: &Item| item.examples.clone().filter(|examples| examples.contains("```"));
    let mut lacking = Vec::new();
    for (path, item) in &items {
        let path = path.split(" in ").next().unwrap();
        let Some(examples) = &item.examples else {
            lacking.push(format!("{}: no `# Examples`", item.place));
            continue;
        };
        let (subject, name) = path.rsplit_once("::").unwrap_or((path, path));
        let is_method = path != name;
        if let Some(code) = code(item) {
            // The example of a function calls it.
            if is_method && !code.contains(name) {
                lacking.push(format!("{}: its example does not use it", item.place));
            }
            continue;
        }
        let targets: Vec<_> = pointers(examples, subject).iter().filter_map(|it| items.get(it)).collect();
        let uses = |target: &&Item| code(target).is_some_and(|code| !is_method || code.contains(name));
        // ... or to its module, as `See the [module](self)` does.
        let module = item.of_module.as_deref().filter(|_| examples.contains("](self)"));
        let in_module = module.is_some_and(|examples| examples.contains("```") && examples.contains(name));
        if !in_module && !targets.iter().any(uses) {
            lacking.push(format!("{}: points to no example that uses it", item.place));
        }
    }
    assert!(lacking.is_empty(), "{} of {} items:\n{}", lacking.len(), items.len(), lacking.join("\n"));
}
