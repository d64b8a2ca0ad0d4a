//! Which fields of a request to write (AIP-134).

use std::collections::BTreeSet;

use prost_types::FieldMask;

use super::convert::Fields;

/// What a request's `update_mask` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Mask {
    /// No mask: whatever is populated.
    Populated,
    /// `*`.
    All,
    Paths(BTreeSet<String>),
}

impl Mask {
    /// Reads a mask; a path that `known` does not know is a violation.
    pub(super) fn read(fields: &mut Fields, mask: Option<FieldMask>, known: impl Fn(&str) -> bool) -> Self {
        let paths = mask.unwrap_or_default().paths;
        match paths.as_slice() {
            [] => Self::Populated,
            [star] if star == "*" => Self::All,
            _ => {
                for (at, path) in paths.iter().enumerate().filter(|(_, path)| !known(path)) {
                    fields.wrong(&format!("update_mask.paths[{at}]"), format!("is {path:?}, which is no such field"));
                }
                Self::Paths(paths.into_iter().collect())
            }
        }
    }

    /// Whether the mask names this very field.
    pub(super) fn names(&self, path: &str) -> bool {
        matches!(self, Self::Paths(paths) if paths.contains(path))
    }

    /// Whether to write the field, itself or with the message that it lies in.
    pub(super) fn asks(&self, path: &str, populated: bool) -> bool {
        match self {
            Self::Populated => populated,
            Self::All => true,
            Self::Paths(paths) => {
                paths.contains(path) || path.split_once('.').is_some_and(|(message, _)| paths.contains(message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(paths: &[&str]) -> (Mask, bool) {
        let mut fields = Fields::default();
        let mask = FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
        let known = |path: &str| ["title", "policy", "policy.team"].contains(&path);
        let mask = Mask::read(&mut fields, Some(mask), known);
        (mask, fields.finish(()).is_ok())
    }

    #[test]
    fn no_mask_means_what_is_populated() {
        let (mask, fine) = read(&[]);
        assert!(fine && mask.asks("title", true) && !mask.asks("title", false));
    }

    #[test]
    fn a_star_means_everything() {
        assert!(read(&["*"]).0.asks("policy.team", false));
    }

    #[test]
    fn a_message_means_all_of_its_fields() {
        assert!(read(&["policy"]).0.asks("policy.team", false));
        let (mask, fine) = read(&["policy.team"]);
        assert!(fine && mask.asks("policy.team", false) && !mask.asks("policy.founding", true));
    }

    #[test]
    fn an_unknown_path_is_a_violation() {
        assert!(!read(&["title", "name"]).1);
        assert!(!read(&["title", "*"]).1);
    }
}
