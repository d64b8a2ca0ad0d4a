//! Which passwords are accepted: long enough, not too long, printable, and not to be guessed.
//!
//! No composition rules and no expiry (NIST SP 800-63B-4 section 3.1.1.2). Pure, but not cheap: estimating takes
//! milliseconds, so call it through [`super::password::Hasher::run`]. It is asked when a password is chosen, never when
//! one is typed to sign in.

use caseless::default_case_fold_str;
use zeroize::Zeroizing;
use zxcvbn::matching::patterns::MatchPattern;
use zxcvbn::{Score, zxcvbn};

use super::common_passwords;
use super::password::{MAX_PASSWORD_CHARS, Password, normalize};

/// The shortest password, in characters: where it is the only factor (NIST SP 800-63B-4 section 3.1.1.2).
pub const MIN_PASSWORD_CHARS: usize = 15;

/// The least strength, of zxcvbn's scores from 0 to 4: at 3 it takes at least 10⁸ guesses, and zxcvbn calls everything
/// below too weak (Wheeler, zxcvbn, USENIX Security 2016).
pub const MIN_SCORE: Score = Score::Three;

/// How much of a password is estimated, in characters: enough for every score, and what follows can only add to it. The
/// time grows with the square of this, and with every way to read digits and signs as letters: the worst that was tried
/// took 50 ms at 32 characters and 600 ms at 100 (zxcvbn 3.1, opt-level 1, November 2026).
const ESTIMATED_CHARS: usize = 32;

/// The shortest word of a name that alone makes a password easier to guess, in characters.
const MIN_WORD_CHARS: usize = 3;

/// The most names and words of names that the estimate is told of.
const MAX_HINTS: usize = 64;

/// What somebody who wants to guess this person's password would try first.
#[derive(Clone, Copy, Debug)]
pub struct PasswordContext<'a> {
    /// The person's name and e-mail address; the names of the organization and the realm.
    pub names: &'a [&'a str],
}

/// Why a password is not accepted. Never holds any of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordFault {
    #[error("password has {given} characters, the least is {limit}")]
    TooShort { given: usize, limit: usize },
    #[error("password has {given} characters, the most is {limit}")]
    TooLong { given: usize, limit: usize },
    #[error("character {position} of the password can't be printed")]
    Unprintable { position: usize },
    #[error("password is one of the commonest passwords or words")]
    Common,
    #[error("password is the name or e-mail address of the person, the organization or the realm")]
    Name,
    #[error("password is too easy to guess: strength {given} of 4, the least is {limit}")]
    Guessable { given: u8, limit: u8 },
}

/// Parses a new password.
///
/// # Errors
/// Every fault at once; but one that is too long is not looked at any further.
pub fn check(raw: &str, context: &PasswordContext<'_>) -> Result<Password, Vec<PasswordFault>> {
    let typed_chars = raw.chars().count();
    if typed_chars > MAX_PASSWORD_CHARS {
        return Err(vec![PasswordFault::TooLong { given: typed_chars, limit: MAX_PASSWORD_CHARS }]);
    }
    let password = normalize(raw);
    let text = password.expose().as_str();
    let faults: Vec<_> = [
        too_short(typed_chars, text),
        unprintable(raw),
        is_name(text, context).then_some(PasswordFault::Name),
        common(text).or_else(|| guessable(text, context)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if faults.is_empty() { Ok(Password::of_normalized(password)) } else { Err(faults) }
}

/// Counts the fewer of typed and normalized characters: one ligature is not a long password, nor are fifteen accents.
fn too_short(typed_chars: usize, text: &str) -> Option<PasswordFault> {
    let given = typed_chars.min(text.chars().count());
    (given < MIN_PASSWORD_CHARS).then_some(PasswordFault::TooShort { given, limit: MIN_PASSWORD_CHARS })
}

fn unprintable(raw: &str) -> Option<PasswordFault> {
    let index = raw.chars().position(|char| !is_printable(char))?;
    Some(PasswordFault::Unprintable { position: index + 1 })
}

/// Tells whether a character can be typed and shown. Invisible joiners can: emoji and several scripts need them.
fn is_printable(char: char) -> bool {
    let line_break = matches!(char, '\u{2028}' | '\u{2029}');
    let noncharacter = matches!(char, '\u{fdd0}'..='\u{fdef}') || u32::from(char) & 0xfffe == 0xfffe;
    !char.is_control() && !line_break && !noncharacter
}

/// Tells whether all there is to the password is a name, whatever its case, spacing and the digits around it.
fn is_name(text: &str, context: &PasswordContext<'_>) -> bool {
    let bare = bare(text);
    let core = bare.trim_matches(char::is_numeric);
    names(context).map(self::bare).any(|name| !name.is_empty() && (name == bare || name == core))
}

/// The names, and of e-mail addresses also the part before the @.
fn names<'a>(context: &PasswordContext<'a>) -> impl Iterator<Item = &'a str> {
    context.names.iter().flat_map(|name| [Some(*name), name.rsplit_once('@').map(|(local, _)| local)]).flatten()
}

/// Leaves only the letters and digits, in one case.
fn bare(text: &str) -> String {
    default_case_fold_str(normalize(text).expose()).chars().filter(|char| char.is_alphanumeric()).collect()
}

fn common(text: &str) -> Option<PasswordFault> {
    common_passwords::contains(text).then_some(PasswordFault::Common)
}

/// Estimates how many guesses the beginning of the password withstands.
fn guessable(text: &str, context: &PasswordContext<'_>) -> Option<PasswordFault> {
    let words = names(context).flat_map(|name| name.split(|char: char| !char.is_alphanumeric()));
    let hints: Vec<_> =
        names(context).chain(words).filter(|hint| hint.chars().count() >= MIN_WORD_CHARS).take(MAX_HINTS).collect();
    let beginning: Zeroizing<String> = Zeroizing::new(text.chars().take(ESTIMATED_CHARS).collect());
    let estimate = zxcvbn(&beginning, &hints);
    match estimate.sequence() {
        [whole] if matches!(whole.pattern, MatchPattern::Dictionary(_)) => Some(PasswordFault::Common),
        _ if estimate.score() < MIN_SCORE => {
            Some(PasswordFault::Guessable { given: estimate.score().into(), limit: MIN_SCORE.into() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANN: PasswordContext<'_> = PasswordContext {
        names: &[
            "Ann O'Neill-Montgomery",
            "ann.montgomery@shipping-partners.example",
            "Shipping Partners International",
            "Portal",
        ],
    };

    fn faults(raw: &str) -> Vec<PasswordFault> {
        check(raw, &ANN).err().unwrap_or_default()
    }

    #[test]
    fn a_phrase_of_any_script_is_accepted() {
        for raw in [
            "violet anvil hums at dusk",
            "  leading and trailing glue  ",
            "mi contraseña lleva peñascos",
            "Пусть всегда будет чай с лимоном",
            "我的密码是一句很长很长的话对吧朋友",
            "👩‍🚀🐌🪗🧊🦑🪵🥨🛶🧶🪁🦩🍄🧂",
        ] {
            assert_eq!(faults(raw), [], "{raw}");
        }
    }

    #[test]
    fn the_limits_of_length_are_inclusive() {
        let phrase = "kW9#vRz2!pLq8xTf$mYc7&bN".repeat(6);
        let first = |chars: usize| phrase.chars().take(chars).collect::<String>();
        assert_eq!(faults(&first(14)), [PasswordFault::TooShort { given: 14, limit: 15 }]);
        assert_eq!(faults(&first(15)), []);
        assert_eq!(faults(&first(128)), []);
        assert_eq!(faults(&first(129)), [PasswordFault::TooLong { given: 129, limit: 128 }]);
    }

    #[test]
    fn a_ligature_that_unfolds_is_still_one_character() {
        assert!(faults("\u{fdfa}").contains(&PasswordFault::TooShort { given: 1, limit: 15 }));
    }

    #[test]
    fn what_cannot_be_printed_is_refused_by_its_position() {
        for char in ['\0', '\n', '\u{7f}', '\u{85}', '\u{2028}', '\u{fdd0}', '\u{ffff}', '\u{10fffe}'] {
            let raw = format!("violet{char}anvil hums at dusk");
            assert_eq!(faults(&raw), [PasswordFault::Unprintable { position: 7 }], "{char:?}");
        }
    }

    #[test]
    fn the_commonest_passwords_and_words_are_refused() {
        for raw in [
            "123456789987654321",
            "1qaz2wsx3edc4rfv",
            "Q1W2E3R4T5Y6U7I8",
            "telecommunications",
            "ilovemyboyfriend",
            "thisismypassword",
            "Password123456789!",
        ] {
            assert_eq!(faults(raw), [PasswordFault::Common], "{raw}");
        }
    }

    #[test]
    fn names_are_refused_however_they_are_spelled() {
        for raw in [
            "ann.montgomery@shipping-partners.example",
            "ANN.MONTGOMERY@SHIPPING-PARTNERS.EXAMPLE",
            "Ann O'Neill-Montgomery",
            "annoneillmontgomery1984",
            "2024Shipping Partners International!",
            "ann.montgomery1!",
        ] {
            assert!(faults(raw).contains(&PasswordFault::Name), "{raw}");
        }
    }

    #[test]
    fn what_is_long_but_easily_guessed_is_refused() {
        for raw in ["portalportalportal", "montgomerymontgomery"] {
            assert!(matches!(faults(raw)[..], [PasswordFault::Guessable { limit: 3, .. }]), "{raw} {:?}", faults(raw));
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let found = faults("portal\n1");
        assert!(
            matches!(
                found[..],
                [
                    PasswordFault::TooShort { .. },
                    PasswordFault::Unprintable { .. },
                    PasswordFault::Name,
                    PasswordFault::Guessable { .. }
                ]
            ),
            "{found:?}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_is_typed_is_answered_and_not_repeated(raw in "\\PC{3,130}|.{3,130}", name: String) {
            if let Err(faults) = check(&raw, &PasswordContext { names: &[&name] }) {
                prop_assert!(!faults.is_empty());
                prop_assert!(faults.iter().all(|fault| !fault.to_string().contains(&raw)));
            }
        }
    }
}
