//! Tables that people review, and the tests compare with.

use std::fs;
use std::path::Path;

/// Set, to anything, to have the tables written instead of compared.
const UPDATE: &str = "UPDATE_GOLDEN";

/// Compares a table with the reviewed one. The failure names the lines that differ.
#[track_caller]
pub(super) fn assert_reviewed(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says that a table is to be written anew")]
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, found).unwrap();
        return;
    }
    let reviewed = fs::read_to_string(&path).unwrap_or_default();
    let differ: Vec<_> = differences(&reviewed, found);
    assert!(
        differ.is_empty(),
        "tests/golden/{name} says otherwise; if it is to say this, run again with {UPDATE}=1 and review it:\n{}",
        differ.join("\n")
    );
}

/// The lines that only one of two texts has, each below the last unindented line above it.
fn differences(before: &str, after: &str) -> Vec<String> {
    let (old, new) = (headed(before), headed(after));
    let gone = old.iter().filter(|line| !new.contains(line)).map(|(head, line)| format!("- {head}: {line}"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|(head, line)| format!("+ {head}: {line}"));
    gone.chain(come).collect()
}

fn headed(text: &str) -> Vec<(&str, &str)> {
    let mut head = "";
    text.lines()
        .map(|line| {
            if !line.starts_with(' ') {
                head = line;
            }
            (head, line)
        })
        .collect()
}

#[test]
fn a_line_that_moved_below_another_head_differs() {
    assert!(differences("a\n x\nb\n", "a\n x\nb\n").is_empty());
    assert_eq!(differences("a\n x\nb\n", "a\nb\n x\n"), ["- a:  x", "+ b:  x"]);
}
