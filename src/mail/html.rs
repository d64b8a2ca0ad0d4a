//! The HTML of a mail, made from its text: the same words for everybody, and no value that could be markup.

use minijinja::{AutoEscape, Environment, context};

use super::templates::Words;

const LAYOUT: &str = include_str!("layout.html");

/// Lays the text out: paragraphs at empty lines, and the link as one. Everything is escaped here, after the words were
/// filled, so that neither a value nor a realm's own text can hold markup.
pub(super) fn page(words: &Words, link: Option<&str>) -> Result<String, minijinja::Error> {
    let pieces = |line: &str| -> Vec<String> {
        match link {
            Some(link) => line.split(link).map(str::to_owned).collect(),
            None => vec![line.to_owned()],
        }
    };
    // Paragraphs of lines of pieces; between two pieces stands the link.
    let paragraphs: Vec<Vec<_>> = words
        .text
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty())
        .map(|paragraph| paragraph.trim().lines().map(pieces).collect())
        .collect();
    let mut layout = Environment::empty();
    layout.set_auto_escape_callback(|_| AutoEscape::Html);
    layout.render_str(LAYOUT, context! { subject => &words.subject, paragraphs, link })
}
