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
    fn a_text_keeps_its_lines_and_nothing_else() {
        assert_eq!(lines("one\r\ntwo\r\0\u{202e}three\n\nfour"), "one\ntwothree\n\nfour");
    }
}
