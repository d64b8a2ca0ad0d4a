//! A request as far as it could be read, with everything that is wrong with it.
//!
//! The wire finds what can be told from the request alone. Which kinds there are, what a code looks like, whether a
//! password will do: that is the realm's to say. A use case with such fields takes a draft and adds what it finds, so that
//! the caller hears all of it in one answer.

use super::error::{Error, Result, Violation};

/// What a request says, and every field of it that was found wrong so far.
#[derive(Clone, Debug)]
pub struct Draft<T> {
    said: T,
    wrong: Vec<Violation>,
}

impl<T> Draft<T> {
    /// What was read of a request. A field that is wrong may say anything.
    #[must_use]
    pub fn new(said: T, wrong: Vec<Violation>) -> Self {
        Self { said, wrong }
    }

    /// What is said, to find out what else is wrong with it, and for nothing else.
    pub(super) fn said(&self) -> &T {
        &self.said
    }

    /// What is said, if nothing is wrong with it.
    ///
    /// # Errors
    /// INVALID_FIELDS: what the wire found, and what was `found` here of other fields.
    pub(super) fn sound(&self, found: Vec<Violation>) -> Result<&T> {
        let told = |field: &str| self.wrong.iter().any(|wrong| wrong.field == field);
        let further = found.into_iter().filter(|violation| !told(&violation.field));
        let wrong: Vec<_> = self.wrong.iter().cloned().chain(further).collect();
        if wrong.is_empty() { Ok(&self.said) } else { Err(Error::Invalid(wrong)) }
    }

    /// As [`Draft::sound`], with what was read of it here.
    pub(super) fn sound_as<U>(&self, read: std::result::Result<U, Vec<Violation>>) -> Result<(&T, U)> {
        match read {
            Ok(read) => Ok((self.sound(vec![])?, read)),
            Err(found) => self.sound(found).and(Err(Error::internal("a draft was refused for nothing"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(refused: Result<&&str>) -> Vec<String> {
        let Err(Error::Invalid(violations)) = refused else { panic!("not refused") };
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn what_was_found_on_either_side_is_told_together() {
        let draft = Draft::new("said", vec![Violation::new("slug", "is empty")]);
        let found = || ["kind", "slug", "slug"].map(|field| Violation::new(field, "is no such")).to_vec();
        assert_eq!(fields(draft.sound(found())), ["slug", "kind"]);
        assert_eq!(fields(draft.sound(vec![])), ["slug"]);
        assert_eq!(fields(Draft::new("said", vec![]).sound(found())), ["kind", "slug", "slug"]);
        assert_eq!(Draft::new("said", vec![]).sound(vec![]).ok(), Some(&"said"));
    }
}
