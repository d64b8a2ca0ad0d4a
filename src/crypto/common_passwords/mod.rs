//! The common passwords that are long enough to be chosen, and how one is compared with them.
//!
//! `list.txt` is made by `generate.py` beside it; run it again to change the list. People who have to change a password
//! change what stands behind it, so that trailing digits and signs make no difference, nor does case.

use std::collections::HashSet;
use std::sync::LazyLock;

use caseless::default_case_fold_str;

/// One password a line, case-folded, of 15 characters or more.
const LIST: &str = include_str!("list.txt");

/// The passwords without what stands behind them; of those that are nothing else, the whole.
static CORES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| LIST.lines().map(core).collect());

/// Whether a password is a common one.
pub(super) fn contains(text: &str) -> bool {
    CORES.contains(core(&default_case_fold_str(text)))
}

fn core(text: &str) -> &str {
    match text.trim_end_matches(|char: char| !char.is_alphabetic()) {
        "" => text,
        core => core,
    }
}

#[cfg(test)]
mod tests {
    use super::super::password_policy::MIN_PASSWORD_CHARS;
    use super::*;

    #[test]
    fn at_least_ten_thousand_are_listed_that_are_long_enough() {
        assert!(LIST.lines().count() >= 10_000);
        for line in LIST.lines() {
            assert!(line.chars().count() >= MIN_PASSWORD_CHARS, "{line}");
            assert_eq!(line, default_case_fold_str(line));
        }
        assert!(LIST.lines().is_sorted());
    }

    #[test]
    fn case_and_what_stands_behind_make_no_difference() {
        for common in [
            "ilovemyboyfriend",
            "ILoveMyBoyfriend!!",
            "thisismypassword",
            "Password123456789!",
            "Password!!!!!!!!!!2026",
            "1qaz2wsx3edc4rfv",
            "123456789012345",
            "qwertyuiopasdfghjkl1",
        ] {
            assert!(contains(common), "{common}");
        }
        for other in ["correct horse battery staple", "violet anvil hums at dusk", "Пусть всегда будет чай", ""]
        {
            assert!(!contains(other), "{other}");
        }
    }
}
