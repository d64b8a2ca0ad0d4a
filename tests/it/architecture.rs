//! The house keeps its shape: who imports whom, which crates stay on which floor, how long a file is.

use std::fs;
use std::path::{Path, PathBuf};

/// Left may use right; nothing else. `telemetry` is a leaf for every floor but `domain`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &[]),
    ("dial", &[]),
    ("telemetry", &["dial"]),
    ("crypto", &["domain"]),
    ("store", &["domain", "telemetry"]),
    ("cache", &["domain"]),
    ("mail", &["domain"]),
    ("app", &["domain", "crypto", "store", "cache", "mail", "telemetry"]),
    ("grpc", &["app", "domain", "telemetry"]),
    ("tasks", &["app", "store", "cache", "mail", "domain", "telemetry"]),
];

/// Crates that stay on one floor, and those that put the floors together.
const KEPT_IN: &[(&str, &[&str])] =
    &[("tonic", &["grpc", "serve", "command", "telemetry"]), ("prost", &["grpc"]), ("sea_orm", &["store"])];

/// A file that one can read in a sitting. A longer one says why in its head: `Longer than 500 lines because …`.
const LINES_MAX: usize = 500;

fn rust_files(under: &str) -> Vec<PathBuf> {
    let mut files = vec![];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(under)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// The floor of a file: the first part of its path below `src`.
fn floor(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = path.strip_prefix(root).unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The code of a file, without comments and without what only tests see.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\n").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every word that follows `before` in the code, up to the next `:` or other punctuation. Groups (`crate::{a, b}`) count
/// each of their members.
fn words_after<'a>(code: &'a str, before: &str) -> Vec<&'a str> {
    let word = |text: &'a str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
    code.match_indices(before)
        .flat_map(|(at, _)| {
            let rest = &code[at + before.len()..];
            match rest.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap().split(',').map(str::trim).map(word).collect(),
                None => vec![word(rest)],
            }
        })
        .collect()
}

#[test]
fn every_floor_imports_only_what_the_table_allows() {
    let mut wrong = vec![];
    for path in rust_files("src") {
        let floor = floor(&path);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == floor) else { continue };
        for word in words_after(&code(&path), "crate::") {
            if word != floor && !allowed.contains(&word) {
                wrong.push(format!("{}: {floor} imports {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_crates_of_a_floor_stay_there() {
    let mut wrong = vec![];
    for path in rust_files("src") {
        let (floor, code) = (floor(&path), code(&path));
        for (name, floors) in KEPT_IN {
            let used = code.contains(&format!("use {name}::"))
                || code.contains(&format!(" {name}::"))
                || code.contains(&format!("use {name};"));
            if used && !floors.contains(&floor.as_str()) {
                wrong.push(format!("{}: {name} on floor {floor}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_can_be_read_in_a_sitting() {
    let folders = ["src", "tests", "benches", "migrations/src"];
    let long = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let explained = text.lines().take(20).any(|line| line.contains("Longer than 500 lines because"));
        text.lines().count() > LINES_MAX && !explained
    };
    let found: Vec<_> = folders.iter().flat_map(|folder| rust_files(folder)).filter(long).collect();
    assert!(found.is_empty(), "longer than {LINES_MAX} lines: {found:?}");
}

#[test]
fn every_module_says_what_it_is() {
    let tests = |path: &Path| path.ends_with("tests.rs");
    let silent = |path: &PathBuf| !tests(path) && !fs::read_to_string(path).unwrap().starts_with("//!");
    let found: Vec<_> = rust_files("src").into_iter().filter(silent).collect();
    assert!(found.is_empty(), "without a word at their head: {found:?}");
}
