//! A realm's policy on the wire: settings read one by one, each only if it is asked for; the whole is printed in
//! [`print`].

mod print;
pub(super) mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::convert::{Fields, TITLE_CHARS_MAX, none_if_empty};
use super::mask::Mask;
use super::pb;
use crate::app::Reason;
use crate::domain::account::Gate;
use crate::domain::origin::{BaseUrl, OriginFault};
use crate::domain::policy::{
    CodeScheme, FAILED_SIGN_INS_MAX, InitialPassword, Kind, MailText, REFRESH_RETRY_SECONDS, Topic,
};
use crate::domain::setting::Setting;
use words::{
    read_approval, read_code_format, read_fallback, read_founding, read_initial_password, read_organizations,
    read_reregistration, read_self_registration, read_team, read_topic_to, read_unknown_codes, read_verification,
};

pub(super) use print::policy;

/// The most identifier schemes.
const SCHEMES_MAX: usize = 16;
/// The most kinds, and the most topics.
const KINDS_MAX: usize = 100;
/// The longest period of a policy: ten years.
const DAYS_MAX: u32 = 3650;
/// The longest words of a gate.
const MESSAGE_CHARS_MAX: usize = 1000;

/// Whether a path of a mask names a setting, or all of them.
pub(super) fn is_path(path: &str) -> bool {
    path == "policy" || path.strip_prefix("policy.").is_some_and(|name| Setting::NAMES.contains(&name))
}

/// Reads the settings that are asked for.
pub(super) fn settings(fields: &mut Fields, mask: &Mask, policy: pb::Policy) -> Vec<Setting> {
    let pb::Policy {
        self_registration,
        unknown_codes,
        code_schemes,
        approval,
        approval_fallback,
        founding,
        founding_role,
        organizations_per_user,
        administrators_create_users,
        team,
        basic_permission,
        email_verification,
        reregistration_after_delete,
        reregistration_after_reject,
        registration_days,
        retention_days,
        base_url,
        audience,
        kinds,
        topics,
        messages,
        mails,
        initial_password,
        inactivity_days,
        failed_sign_ins,
        refresh_retry_seconds,
    } = policy;
    let mut read = Reader { fields, mask, settings: vec![] };
    read.word("self_registration", self_registration, read_self_registration, Setting::SelfRegistration);
    read.word("unknown_codes", unknown_codes, read_unknown_codes, Setting::UnknownCodes);
    read.list("code_schemes", code_schemes, schemes, Setting::CodeSchemes);
    read.word("approval", approval, read_approval, Setting::Approval);
    read.word("approval_fallback", approval_fallback, read_fallback, Setting::ApprovalFallback);
    read.word("founding", founding, read_founding, Setting::Founding);
    read.text("founding_role", &founding_role, 0..=64, |role| Setting::FoundingRole(none_if_empty(role)));
    read.word("organizations_per_user", organizations_per_user, read_organizations, Setting::OrganizationsPerUser);
    read.flag("administrators_create_users", administrators_create_users, Setting::AdministratorsCreateUsers);
    read.word("team", team, read_team, Setting::Team);
    read.text("basic_permission", &basic_permission, 0..=128, |name| Setting::BasicPermission(none_if_empty(name)));
    read.word("email_verification", email_verification, read_verification, Setting::EmailVerification);
    let (deleted, rejected) = (reregistration_after_delete, reregistration_after_reject);
    read.word("reregistration_after_delete", deleted, read_reregistration, Setting::ReregistrationAfterDelete);
    read.word("reregistration_after_reject", rejected, read_reregistration, Setting::ReregistrationAfterReject);
    read.number("registration_days", registration_days, 1..=DAYS_MAX, Setting::RegistrationDays);
    read.number("retention_days", retention_days, 1..=DAYS_MAX, Setting::RetentionDays);
    read.url("base_url", base_url);
    read.text("audience", &audience, 1..=TITLE_CHARS_MAX, Setting::Audience);
    read.list("kinds", kinds, self::kinds, Setting::Kinds);
    read.list("topics", topics, self::topics, Setting::Topics);
    read.map("messages", messages, self::messages, Setting::Messages);
    read.map("mails", mails, self::mails, Setting::Mails);
    read.word("initial_password", initial_password, by_link, Setting::InitialPassword);
    read.word("inactivity_days", inactivity_days, never_inactive, Setting::InactivityDays);
    read.number("failed_sign_ins", failed_sign_ins, 0..=FAILED_SIGN_INS_MAX, Setting::FailedSignIns);
    read.number("refresh_retry_seconds", refresh_retry_seconds, REFRESH_RETRY_SECONDS, Setting::RefreshRetrySeconds);
    read.settings
}

/// Reads one setting after the other, past those that are not asked for.
struct Reader<'a> {
    fields: &'a mut Fields,
    mask: &'a Mask,
    settings: Vec<Setting>,
}

impl Reader<'_> {
    fn take(&mut self, name: &str, populated: bool, read: impl FnOnce(&mut Fields, &str) -> Option<Setting>) {
        let path = format!("policy.{name}");
        if self.mask.asks(&path, populated) {
            self.settings.extend(read(self.fields, &path));
        }
    }

    fn word<T>(
        &mut self,
        name: &str,
        given: i32,
        read: impl FnOnce(&mut Fields, &str, i32) -> Option<T>,
        setting: impl FnOnce(T) -> Setting,
    ) {
        self.take(name, given != 0, |fields, path| read(fields, path, given).map(setting));
    }

    fn flag(&mut self, name: &str, given: bool, setting: impl FnOnce(bool) -> Setting) {
        self.take(name, given, |_, _| Some(setting(given)));
    }

    fn number(
        &mut self,
        name: &str,
        given: i32,
        allowed: std::ops::RangeInclusive<u32>,
        setting: impl FnOnce(u32) -> Setting,
    ) {
        self.take(name, given != 0, |fields, path| {
            let number = u32::try_from(given).ok().filter(|number| allowed.contains(number));
            if number.is_none() {
                let (least, most) = allowed.into_inner();
                fields.wrong(path, format!("is {given}, {least} to {most} are allowed"));
            }
            number.map(setting)
        });
    }

    fn text(
        &mut self,
        name: &str,
        given: &str,
        chars: std::ops::RangeInclusive<usize>,
        setting: impl FnOnce(String) -> Setting,
    ) {
        self.take(name, !given.is_empty(), |fields, path| Some(setting(fields.text(path, given, chars))));
    }

    fn url(&mut self, name: &str, given: String) {
        self.take(name, !given.is_empty(), |fields, path| {
            // Whether the server allows its origin is for whoever knows the settings to say.
            match BaseUrl::parse(&given) {
                Err(OriginFault::Form) => fields.wrong(path, format!("{given:?} {}", OriginFault::Form)),
                Ok(_) | Err(OriginFault::Plaintext) => return Some(Setting::BaseUrl(given)),
            }
            None
        });
    }

    fn list<P, T>(
        &mut self,
        name: &str,
        given: Vec<P>,
        read: impl FnOnce(&mut Fields, &str, Vec<P>) -> Vec<T>,
        setting: impl FnOnce(Vec<T>) -> Setting,
    ) {
        self.take(name, !given.is_empty(), |fields, path| Some(setting(read(fields, path, given))));
    }

    fn map<P, T>(
        &mut self,
        name: &str,
        given: BTreeMap<String, P>,
        read: impl FnOnce(&mut Fields, &str, BTreeMap<String, P>) -> BTreeMap<String, T>,
        setting: impl FnOnce(BTreeMap<String, T>) -> Setting,
    ) {
        self.take(name, !given.is_empty(), |fields, path| Some(setting(read(fields, path, given))));
    }
}

/// Administrators can't set passwords yet.
fn by_link(fields: &mut Fields, path: &str, given: i32) -> Option<InitialPassword> {
    let by_link = |word: &InitialPassword| *word == InitialPassword::SetByLink;
    let read = read_initial_password(fields, path, given)?;
    if !by_link(&read) {
        fields.wrong(path, "is not offered yet: INITIAL_PASSWORD_SET_BY_LINK alone is");
    }
    Some(read).filter(by_link)
}

/// Nobody is suspended for not signing in yet.
fn never_inactive(fields: &mut Fields, path: &str, given: i32) -> Option<u32> {
    if given != 0 {
        fields.wrong(path, format!("is {given}, but suspending for inactivity is not offered yet: 0 alone is"));
    }
    (given == 0).then_some(0)
}

fn schemes(fields: &mut Fields, path: &str, given: Vec<pb::CodeScheme>) -> Vec<CodeScheme> {
    fields.count(path, given.len(), 0..=SCHEMES_MAX);
    let mut names = BTreeSet::new();
    let read = |(at, pb::CodeScheme { name, format, unique }): (usize, pb::CodeScheme)| {
        let name = unique_label(fields, &format!("{path}[{at}].name"), &name, &mut names);
        let format = read_code_format(fields, &format!("{path}[{at}].format"), format)?;
        Some(CodeScheme { name, format, unique })
    };
    given.into_iter().enumerate().filter_map(read).collect()
}

fn kinds(fields: &mut Fields, path: &str, given: Vec<pb::Kind>) -> Vec<Kind> {
    fields.count(path, given.len(), 1..=KINDS_MAX);
    let mut names = BTreeSet::new();
    let read = |(at, pb::Kind { name, exclusive }): (usize, pb::Kind)| Kind {
        name: unique_label(fields, &format!("{path}[{at}].name"), &name, &mut names),
        exclusive,
    };
    given.into_iter().enumerate().map(read).collect()
}

fn topics(fields: &mut Fields, path: &str, given: Vec<pb::Topic>) -> Vec<Topic> {
    fields.count(path, given.len(), 0..=KINDS_MAX);
    let mut names = BTreeSet::new();
    let read = |(at, pb::Topic { name, title, to }): (usize, pb::Topic)| {
        let name = unique_label(fields, &format!("{path}[{at}].name"), &name, &mut names);
        let title = fields.text(&format!("{path}[{at}].title"), &title, 0..=TITLE_CHARS_MAX);
        let to = read_topic_to(fields, &format!("{path}[{at}].to"), to)?;
        Some(Topic { name, title, to })
    };
    given.into_iter().enumerate().filter_map(read).collect()
}

fn unique_label(fields: &mut Fields, field: &str, text: &str, seen: &mut BTreeSet<String>) -> String {
    let label = fields.label(field, text);
    if !seen.insert(label.clone()) {
        fields.wrong(field, format!("is {label:?}, as one before it is"));
    }
    label
}

fn messages(fields: &mut Fields, path: &str, given: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let gates: Vec<_> = Gate::NAMED.into_iter().map(|gate| Reason::from(gate).name()).collect();
    let read = |(gate, words): (String, String)| {
        let field = format!("{path}[{gate:?}]");
        if !gates.contains(&gate.as_str()) {
            fields.wrong(&field, format!("is no gate; there are {}", gates.join(", ")));
        }
        let words = fields.text(&field, &words, 1..=MESSAGE_CHARS_MAX);
        (gate, words)
    };
    given.into_iter().map(read).collect()
}

/// Whether there is such a mail, and whether its words can be filled, is for whoever fills them to say.
fn mails(_: &mut Fields, _: &str, given: BTreeMap<String, pb::MailText>) -> BTreeMap<String, MailText> {
    given.into_iter().map(|(name, pb::MailText { subject, text })| (name, MailText { subject, text })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::{Founding, Policy, Team};

    #[test]
    fn what_is_printed_reads_back() {
        let whole = Policy {
            basic_permission: Some("shop.sign_in".into()),
            founding: Founding::ListedContact,
            founding_role: Some("administrator".into()),
            messages: [("BLOCKED".into(), "ask the help desk".into())].into(),
            mails: [("user_suspended".into(), MailText { subject: "Suspended".into(), text: String::new() })].into(),
            failed_sign_ins: 5,
            ..Policy::default()
        };
        let mut fields = Fields::default();
        let read = settings(&mut fields, &Mask::All, policy(whole.clone()));
        let read = fields.finish(read).unwrap();
        assert_eq!(read.len(), Setting::NAMES.len());
        let mut back = Policy { team: Team::Chain, retention_days: 7, ..Policy::default() };
        for setting in read {
            setting.apply(&mut back);
        }
        assert_eq!(back, whole);
    }

    #[test]
    fn only_what_is_asked_for_is_read() {
        let given = pb::Policy { failed_sign_ins: 5, registration_days: -1, ..pb::Policy::default() };
        let mut fields = Fields::default();
        let mask = Mask::Paths(["policy.failed_sign_ins".to_owned(), "policy.inactivity_days".to_owned()].into());
        let read = settings(&mut fields, &mask, given.clone());
        assert_eq!(fields.finish(read).unwrap(), [Setting::InactivityDays(0), Setting::FailedSignIns(5)]);
        let mut fields = Fields::default();
        let read = settings(&mut fields, &Mask::Populated, given);
        assert!(fields.finish(read).is_err(), "a populated setting out of range");
    }

    #[test]
    fn what_a_policy_would_not_do_is_refused_by_name() {
        for (given, path) in [
            (pb::Policy { inactivity_days: 90, ..pb::Policy::default() }, "policy.inactivity_days"),
            (
                pb::Policy {
                    initial_password: pb::InitialPassword::SetByAdministrator.into(),
                    ..pb::Policy::default()
                },
                "policy.initial_password",
            ),
        ] {
            let mut fields = Fields::default();
            let read = settings(&mut fields, &Mask::Populated, given);
            let refused = format!("{:?}", fields.finish(read).unwrap_err());
            assert!(refused.contains(path) && refused.contains("not offered yet"), "{refused}");
        }
    }
}
