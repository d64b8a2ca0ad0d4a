//! Which characters a name, a title or a note may have.
//!
//! Judged by property, not by block: joiners (U+200C, U+200D) belong to Persian, Malayalam, Sinhala and to emoji, variation
//! selectors to emoji. Refused is what ends a line or controls a device, what reorders the text around it, and what neither
//! shows nor joins: two names that differ by it look alike.

/// Why a text is not for people to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextFault {
    #[error("has a control character")]
    Control(char),
    #[error("has {} {}, which reorders text", code_point(*.0), .1)]
    Reorders(char, &'static str),
    #[error("has {} {}, which does not show", code_point(*.0), .1)]
    Hides(char, &'static str),
}

/// The first character that is refused.
#[must_use]
pub fn fault(text: &str) -> Option<TextFault> {
    text.chars().find_map(fault_of)
}

/// Why this character is refused.
#[must_use]
pub fn fault_of(c: char) -> Option<TextFault> {
    match (reordering(c), hiding(c)) {
        (Some(name), _) => Some(TextFault::Reorders(c, name)),
        (None, Some(name)) => Some(TextFault::Hides(c, name)),
        // Line and paragraph separators end a line, as control characters do.
        (None, None) => (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')).then_some(TextFault::Control(c)),
    }
}

/// The name of a character with the property Bidi_Control (Unicode 17, PropList.txt).
fn reordering(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{61c}' => "ARABIC LETTER MARK",
        '\u{200e}' => "LEFT-TO-RIGHT MARK",
        '\u{200f}' => "RIGHT-TO-LEFT MARK",
        '\u{202a}' => "LEFT-TO-RIGHT EMBEDDING",
        '\u{202b}' => "RIGHT-TO-LEFT EMBEDDING",
        '\u{202c}' => "POP DIRECTIONAL FORMATTING",
        '\u{202d}' => "LEFT-TO-RIGHT OVERRIDE",
        '\u{202e}' => "RIGHT-TO-LEFT OVERRIDE",
        '\u{2066}' => "LEFT-TO-RIGHT ISOLATE",
        '\u{2067}' => "RIGHT-TO-LEFT ISOLATE",
        '\u{2068}' => "FIRST STRONG ISOLATE",
        '\u{2069}' => "POP DIRECTIONAL ISOLATE",
        _ => return None,
    })
}

/// The name of a format character that separates or joins words, or does nothing any more, and shows nothing.
fn hiding(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{200b}' => "ZERO WIDTH SPACE",
        '\u{2060}' => "WORD JOINER",
        '\u{2061}' => "FUNCTION APPLICATION",
        '\u{2062}' => "INVISIBLE TIMES",
        '\u{2063}' => "INVISIBLE SEPARATOR",
        '\u{2064}' => "INVISIBLE PLUS",
        '\u{206a}'..='\u{206f}' => "DEPRECATED FORMAT CHARACTER",
        '\u{feff}' => "ZERO WIDTH NO-BREAK SPACE",
        _ => return None,
    })
}

/// Whether nothing of the text shows: white space, and characters with the property Default_Ignorable_Code_Point
/// (Unicode 17, DerivedCoreProperties.txt).
#[must_use]
pub fn is_invisible(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_ignorable(c))
}

fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A character as Unicode writes it: `U+202E`.
fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_script_and_emoji_are_names() {
        for name in [
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{d28}\u{d4d}\u{200d}",
            "\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}",
            "\u{1f469}\u{200d}\u{1f4bb} Ann",
            "Ann \u{2764}\u{fe0f}",
            "O\u{2019}Brien-Smith",
        ] {
            assert_eq!(fault(name), None, "{name}");
            assert!(!is_invisible(name), "{name}");
        }
    }

    #[test]
    fn what_reorders_text_is_refused_by_its_name() {
        for c in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}'] {
            assert!(matches!(fault(&format!("Ann{c}")), Some(TextFault::Reorders(found, _)) if found == c));
        }
        let told = fault("\u{202e}nnA").map(|fault| fault.to_string());
        assert_eq!(told.as_deref(), Some("has U+202E RIGHT-TO-LEFT OVERRIDE, which reorders text"));
    }

    #[test]
    fn what_hides_in_a_name_is_refused_by_its_name() {
        let told = fault("A\u{200b}nn").map(|fault| fault.to_string());
        assert_eq!(told.as_deref(), Some("has U+200B ZERO WIDTH SPACE, which does not show"));
        assert!(matches!(fault("\u{feff}Ann"), Some(TextFault::Hides('\u{feff}', _))));
    }

    #[test]
    fn what_ends_a_line_is_a_control_character() {
        for c in ['\0', '\r', '\n', '\u{7f}', '\u{85}', '\u{2028}'] {
            assert_eq!(fault(&format!("Ann{c}")), Some(TextFault::Control(c)));
        }
        assert_eq!(fault("\0").unwrap().to_string(), "has a control character");
    }

    #[test]
    fn a_name_that_nobody_sees_is_invisible() {
        for text in ["", " ", "\u{200d}", "\u{200c}\u{fe0f}", "\u{3164}", "\u{200d} \u{ad}"] {
            assert!(is_invisible(text), "{text:?}");
        }
    }
}
