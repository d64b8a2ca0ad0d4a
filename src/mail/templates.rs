//! The words of mails: the shipped ones, a realm's own, and how both are filled.
//!
//! A realm's administrators write templates that this process runs, so they may do little: show a value, and leave
//! lines out by `if`. No loop, no call and no operator that makes text longer gets past [`plain`], which is stronger
//! than counting steps. Where a realm's own words fail all the same, the shipped ones step in.

mod shipped;

use std::collections::BTreeMap;
use std::fmt;

use minijinja::{Environment, UndefinedBehavior};

use super::text::{lines, one_line, unlinked};
use crate::domain::message::Template;
use crate::domain::policy::MailText;
use crate::domain::realm::Realm;
pub(super) use shipped::variables;

/// Longest subject, as a template and as a header, in characters: beyond, mail programs show none of it.
const SUBJECT_CHARS_MAX: usize = 200;
/// Longest template of a text, in characters.
const TEXT_CHARS_MAX: usize = 8_000;
/// Longest text of a mail, in bytes.
const FILLED_BYTES_MAX: usize = 64 * 1024;

/// What fills a template, by name.
pub(super) type Values = BTreeMap<String, String>;

/// A mail in words, filled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Words {
    pub(super) subject: String,
    pub(super) text: String,
}

/// One of the two templates of a mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Subject,
    Text,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::Text => "text",
        })
    }
}

/// What is wrong with a realm's own words.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the {part} has {given} characters, at most {limit} are allowed")]
    TooLong { part: Part, given: usize, limit: usize },
    #[error("the {0} holds more than values ({{{{ name }}}}) and conditions ({{% if name %}} … {{% endif %}})")]
    NotPlain(Part),
    #[error("the {0} can't be filled: {1}")]
    Template(Part, #[source] minijinja::Error),
    #[error("the filled {part} has {given} bytes, at most {limit} are allowed")]
    Grown { part: Part, given: usize, limit: usize },
    #[error("the {0} comes out empty")]
    Empty(Part),
    #[error("the text does not show {{{{ link }}}}, without which this mail is of no use")]
    NoLink,
    #[error("{{{{ link }}}} does not stand on a line of its own")]
    LinkNotAlone,
    #[error("the {0} holds an address; links are {{{{ link }}}} and {{{{ portal }}}} alone, each between spaces")]
    Address(Part),
}

/// Checks a realm's own words for a mail by filling them, once with values and once with empty ones. An empty part is
/// fine: it keeps the shipped one.
///
/// # Errors
/// [`Fault`], in words for whoever wrote the template.
pub fn check(template: Template, own: &MailText) -> Result<(), Fault> {
    for value in ["a value", ""] {
        let values = sample(template, value);
        if !own.subject.is_empty() && holds_address(&fill(Part::Subject, &own.subject, &values)?, &values) {
            return Err(Fault::Address(Part::Subject));
        }
        if own.text.is_empty() {
            continue;
        }
        let text = fill(Part::Text, &own.text, &values)?;
        if holds_address(&text, &values) {
            return Err(Fault::Address(Part::Text));
        }
        if values.get("link").is_some_and(|link| !text.contains(link)) {
            return Err(Fault::NoLink);
        }
    }
    Ok(())
}

/// Whether filled words hold an address that is none of the mail's own; values that could be one are not in them.
fn holds_address(filled: &str, values: &Values) -> bool {
    filled != unlinked(filled, &own_links(values)) || filled.contains("[.]") || filled.contains("[:]")
}

/// Everything that a template of that mail may name, with that value; what is never empty has one of its own.
fn sample(template: Template, value: &str) -> Values {
    let own = |name| match name {
        "realm" => "Realm",
        "portal" => "https://portal.example",
        "link" => "https://portal.example/page?code=code",
        _ => value,
    };
    shipped::variables(template).map(|name| (name.to_owned(), own(name).to_owned())).collect()
}

/// The words of a mail: each part the realm's own if it has one that works, else the shipped one.
///
/// # Errors
/// A shipped template is wrong.
pub(super) fn words(template: Template, realm: &Realm, values: &Values) -> Result<Words, minijinja::Error> {
    let own = realm.policy.mails.get(template.name());
    let (subject, text) = shipped::words(template);
    let choose = |part, own: Option<&String>, shipped| {
        match own.filter(|own| !own.is_empty()) {
        None => render(part, shipped, values),
        Some(own) => fill(part, own, values).or_else(|fault| {
            let (realm, template) = (realm.id, template.name());
            tracing::warn!(%realm, template, %fault, "a realm's own words for a mail are broken; shipped ones went out");
            render(part, shipped, values)
        }),
    }
    };
    Ok(Words {
        subject: choose(Part::Subject, own.map(|own| &own.subject), subject)?,
        text: choose(Part::Text, own.map(|own| &own.text), text)?,
    })
}

/// Fills a template that somebody wrote whom nobody has to trust.
fn fill(part: Part, source: &str, values: &Values) -> Result<String, Fault> {
    let limit = match part {
        Part::Subject => SUBJECT_CHARS_MAX,
        Part::Text => TEXT_CHARS_MAX,
    };
    let given = source.chars().count();
    if given > limit {
        return Err(Fault::TooLong { part, given, limit });
    }
    if !plain(source) {
        return Err(Fault::NotPlain(part));
    }
    let filled = render(part, source, values).map_err(|error| Fault::Template(part, error))?;
    let link = values.get("link").filter(|_| part == Part::Text);
    if link.is_some_and(|link| filled.lines().any(|line| line.contains(link.as_str()) && line.trim() != link)) {
        return Err(Fault::LinkNotAlone);
    }
    match filled.len() {
        0 => Err(Fault::Empty(part)),
        given if given > FILLED_BYTES_MAX => Err(Fault::Grown { part, given, limit: FILLED_BYTES_MAX }),
        _ => Ok(filled),
    }
}

/// Fills a template; a name that the mail does not have is an error. Subjects come out as one line.
fn render(part: Part, source: &str, values: &Values) -> Result<String, minijinja::Error> {
    let mut plain_text = Environment::empty();
    plain_text.set_undefined_behavior(UndefinedBehavior::Strict);
    let filled = unlinked(&plain_text.render_str(source, values)?, &own_links(values));
    Ok(match part {
        Part::Subject => one_line(&filled, SUBJECT_CHARS_MAX),
        Part::Text => lines(&filled),
    })
}

/// The addresses that lead somewhere: the mail's link, and the portal of the realm.
fn own_links(values: &Values) -> Vec<&str> {
    ["link", "portal"].iter().filter_map(|name| values.get(*name)).map(String::as_str).collect()
}

/// Whether a template only shows names and has conditions on names. What stands between braces can't hold a brace, so
/// that this reading and the engine's agree on where it ends.
fn plain(source: &str) -> bool {
    let mut rest = source;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let (open, inside) = rest[at..].split_at(2);
        let close = if open == "{{" { "}}" } else { "%}" };
        let Some((inside, after)) = inside.split_once(close) else { return false };
        let inside = inside.strip_prefix('-').unwrap_or(inside);
        let inside = inside.strip_suffix('-').unwrap_or(inside);
        let words: Vec<_> = inside.split_ascii_whitespace().collect();
        if !words.iter().all(|word| is_name(word)) || !allowed(open, &words) {
            return false;
        }
        rest = after;
    }
    true
}

fn allowed(open: &str, words: &[&str]) -> bool {
    match (open, words) {
        ("{{", [_]) | ("{%", ["else" | "endif"]) => true,
        ("{%", ["if" | "elif", condition @ ..]) => !condition.is_empty(),
        _ => false,
    }
}

fn is_name(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> MailText {
        MailText { subject: String::new(), text: text.to_owned() }
    }

    #[test]
    fn the_shipped_words_are_as_plain_as_a_realms_own_must_be() {
        for template in Template::ALL {
            let (subject, text) = shipped::words(*template);
            let own = MailText { subject: subject.to_owned(), text: text.to_owned() };
            assert!(check(*template, &own).is_ok(), "{template:?}: {:?}", check(*template, &own));
        }
    }

    #[test]
    fn a_template_shows_values_and_leaves_lines_out() {
        for own in
            ["Hi {{ name }}{{realm}}", "{%- if name -%} Hi {%- elif not email %}x{% else %}y{% endif %}", "{ } 100%"]
        {
            assert!(
                check(Template::Approved, &text(own)).is_ok(),
                "{own}: {:?}",
                check(Template::Approved, &text(own))
            );
        }
    }

    #[test]
    fn a_template_can_do_nothing_else() {
        for own in [
            "{% for x in name %}{{ x }}{% endfor %}",
            "{% set name = name ~ name %}",
            "{{ name * 1000000000 }}",
            "{{ name ~ name }}",
            "{{ name|upper }}",
            "{{ name.x }}",
            "{{ range(9) }}",
            "{{ {} }}",
            "{{ \"}}\" }}",
            "{% raw %}{{ name }}{% endraw %}",
            "{% autoescape false %}{{ name }}{% endautoescape %}",
            "{# {{ name }} #}",
            "{% if %}x{% endif %}",
            "{%+ if name %}x{% endif %}",
            "{{ name",
            "{{ }}",
        ] {
            assert!(matches!(check(Template::Approved, &text(own)), Err(Fault::NotPlain(Part::Text))), "{own}");
        }
    }

    #[test]
    fn a_template_that_could_not_be_filled_is_refused() {
        for own in ["{{ nmae }}", "{{ link }}", "{% if name %}", "{% endif %}", "{% if not reason %}{% endif %}"] {
            assert!(matches!(check(Template::Approved, &text(own)), Err(Fault::Template(..))), "{own}");
        }
        let nested = "{% if name %}".repeat(600) + &"{% endif %}".repeat(10);
        assert!(matches!(check(Template::Approved, &text(&nested)), Err(Fault::Template(..))));
    }

    #[test]
    fn limits_are_named_with_what_was_given() {
        let own = MailText { subject: "x".repeat(201), text: String::new() };
        let fault = check(Template::Approved, &own).unwrap_err().to_string();
        assert_eq!(fault, "the subject has 201 characters, at most 200 are allowed");
        let long = check(Template::Approved, &text(&"x".repeat(8_001))).unwrap_err();
        assert!(matches!(long, Fault::TooLong { part: Part::Text, given: 8_001, .. }), "{long}");
        let own = MailText { subject: "{% if organization %}x{% endif %}".to_owned(), text: String::new() };
        assert!(matches!(check(Template::Approved, &own), Err(Fault::Empty(Part::Subject))));
    }

    #[test]
    fn no_words_lead_anywhere_but_to_the_portal() {
        for own in [
            "See https://evil.example",
            "evil.example",
            "www.evil.example",
            "https://evil.example/?next={{ portal }}",
            "{{ portal }}.evil.example",
            "{{ portal }}@evil.example",
            "evil[.]example",
        ] {
            let refused = check(Template::Approved, &text(own));
            assert!(matches!(refused, Err(Fault::Address(Part::Text))), "{own}: {refused:?}");
            let subject = MailText { subject: own.to_owned(), text: String::new() };
            assert!(check(Template::Approved, &subject).is_err(), "{own}");
        }
        for own in ["Go to {{ link }}", "{{ link }}."] {
            let refused = check(Template::VerifyEmail, &text(own));
            assert!(matches!(refused, Err(Fault::LinkNotAlone)), "{own}: {refused:?}");
        }
        for own in ["https://evil.example/?next={{ link }}", "{{ link }}@evil.example", "{{ link }}.evil.example"] {
            assert!(check(Template::VerifyEmail, &text(own)).is_err(), "{own}");
        }
        for own in ["Hi {{ name }}, sign in at {{ portal }}.", "Write to help@acme.example", "{{ realm }} e.g. 3.5"] {
            assert!(
                check(Template::Approved, &text(own)).is_ok(),
                "{own}: {:?}",
                check(Template::Approved, &text(own))
            );
        }
    }

    #[test]
    fn a_mail_with_a_link_always_shows_it() {
        assert!(matches!(check(Template::VerifyEmail, &text("Welcome!")), Err(Fault::NoLink)));
        let sometimes = "Welcome!{% if name %}\n{{ link }}{% endif %}";
        assert!(matches!(check(Template::VerifyEmail, &text(sometimes)), Err(Fault::NoLink)));
        assert!(check(Template::VerifyEmail, &text("Go to\n{{ link }}\nnow.")).is_ok());
        assert!(check(Template::VerifyEmail, &MailText::default()).is_ok());
    }
}
