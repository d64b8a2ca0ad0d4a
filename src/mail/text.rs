//! Text that others chose, made harmless: what it can't do to a header, to a line, to the direction of reading.

/// Makes one line of a value: control characters and line breaks become spaces, spaces become one, marks that reorder
/// what is shown are dropped, and the line ends after `chars_max` characters.
pub(super) fn one_line(value: &str, chars_max: usize) -> String {
    let visible: String =
        value.chars().filter(|c| !reorders(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(chars_max).collect()
}

/// Keeps the lines of a text, and drops every other control character and every mark that reorders what is shown.
pub(super) fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").chars().filter(|c| *c == '\n' || !(c.is_control() || reorders(*c))).collect()
}

/// Shows as plain text whatever a mail program would make a link of, but for the words `kept`: names, titles and reasons
/// are chosen by others, and must not lead anywhere. `evil.example` comes out as `evil[.]example`.
pub(super) fn unlinked(text: &str, kept: &[&str]) -> String {
    let word = |word: &str| {
        let core = word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')']);
        if kept.contains(&core) || !leads_somewhere(core) { word.to_owned() } else { defused(word) }
    };
    text.split_inclusive(char::is_whitespace)
        .map(|piece| {
            let spaces = piece.len() - piece.trim_end().len();
            let (piece, spaces) = piece.split_at(piece.len() - spaces);
            word(piece) + spaces
        })
        .collect()
}

/// Whether a mail program may take a word for an address of the web. One of a mailbox leads to nobody's page.
fn leads_somewhere(word: &str) -> bool {
    if is_mailbox(word) {
        return false;
    }
    word.contains("://") || word.split(|c: char| c != '-' && !is_dot(c) && !c.is_alphanumeric()).any(is_host)
}

fn is_mailbox(word: &str) -> bool {
    let word = word.trim_matches(['<', '>', '(', '"']);
    let plain = |part: &str| !part.is_empty() && !part.contains(['/', ':', '@']);
    let local = |part: &str| !part.get(..4).is_some_and(|www| www.eq_ignore_ascii_case("www."));
    word.split_once('@').is_some_and(|(name, domain)| plain(name) && local(name) && plain(domain))
}

/// Labels with dots between them, the last one of two letters or more: a name that may be registered.
fn is_host(text: &str) -> bool {
    let mut labels = text.split(is_dot).filter(|label| !label.is_empty());
    let first = labels.next();
    let last = labels.next_back();
    first.is_some() && last.is_some_and(|last| last.chars().filter(|c| c.is_alphabetic()).nth(1).is_some())
}

fn defused(word: &str) -> String {
    let mut shown = String::with_capacity(word.len() + 8);
    for (at, char) in word.char_indices() {
        match char {
            ':' if word[at..].starts_with("://") => shown.push_str("[:]"),
            dot if is_dot(dot) && word[at + dot.len_utf8()..].starts_with(char::is_alphanumeric) => {
                shown.push_str("[.]");
            }
            other => shown.push(other),
        }
    }
    shown
}

/// The full stop, and what browsers take for one in a domain (UTS 46 section 2.3).
fn is_dot(c: char) -> bool {
    matches!(c, '.' | '\u{2024}' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}')
}

/// The bidirectional controls (Unicode Standard Annex 9, section 2): with them a name can be shown as another text
/// than it is.
fn reorders(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line("Ann\r\nBcc: eve@example.com\0\u{2028}x\u{85}y", 99), "Ann Bcc: eve@example.com x y");
        assert_eq!(one_line("\u{202e}nnA\u{202c} \u{2067}Lee\u{2069}", 99), "nnA Lee");
        assert_eq!(one_line("=cmd|' /C calc'!A0", 99), "=cmd|' /C calc'!A0");
        assert_eq!(one_line("äöü", 2), "äö");
    }

    #[test]
    fn what_a_mail_program_would_make_a_link_of_is_shown_as_text() {
        for (typed, shown) in [
            ("see evil.example now", "see evil[.]example now"),
            ("https://evil.example/a?b", "https[:]//evil[.]example/a?b"),
            ("(www.evil.example)", "(www[.]evil[.]example)"),
            ("evil\u{3002}example", "evil[.]example"),
            ("www.evil.example/a@b.example", "www[.]evil[.]example/a@b[.]example"),
            ("http://10.0.0.1/", "http[:]//10[.]0[.]0[.]1/"),
            ("E-Corp.Shop GmbH", "E-Corp[.]Shop GmbH"),
        ] {
            assert_eq!(unlinked(typed, &[]), shown);
        }
        for plain in ["Acme Inc. of 3.5 and e.g. more...", "Ann J. Lee, ann.lee@acme.example", "one\ntwo\n\nthree", "."]
        {
            assert_eq!(unlinked(plain, &[]), plain);
        }
        let portal = "https://portal.example";
        assert_eq!(unlinked("sign in at https://portal.example.", &[portal]), "sign in at https://portal.example.");
        let longer = unlinked("https://portal.example.evil", &[portal]);
        assert_eq!(longer, "https[:]//portal[.]example[.]evil");
    }

    #[test]
    fn a_text_keeps_its_lines_and_nothing_else() {
        assert_eq!(lines("one\r\ntwo\r\0\u{202e}three\n\nfour"), "one\ntwothree\n\nfour");
    }
}
