//! Whole messages, from the event that caused them to what a mail program sees.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::domain::account::VerifiedHow;
use crate::domain::event::{Company, Conferred, Event, Person};
use crate::domain::ids::{CodeId, EntryId, OrganizationId, RealmId, UserId};
use crate::domain::policy::{MailText, Policy};

const CODE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj";

fn realm(mails: impl IntoIterator<Item = (Template, &'static str, &'static str)>) -> Realm {
    let own = |(template, subject, text): (Template, &str, &str)| {
        (template.name().to_owned(), MailText { subject: subject.to_owned(), text: text.to_owned() })
    };
    Realm {
        id: RealmId(Uuid::from_u128(1)),
        name: "acme".into(),
        title: "Acme & Sons".into(),
        platform: false,
        suspended: false,
        policy: Policy {
            base_url: "https://portal.example.org:8443/a/".into(),
            mails: mails.into_iter().map(own).collect(),
            ..Policy::default()
        },
        spiffe_prefixes: vec![],
        position: Default::default(),
        catalogue_revision: Default::default(),
        version: 1,
        created_at: Timestamp(0),
    }
}

fn person(name: &str) -> Person {
    Person { id: UserId(Uuid::from_u128(2)), email: "ann@example.com".into(), name: name.into(), verified: true }
}

fn company() -> Option<Company> {
    Some(Company { id: OrganizationId(Uuid::from_u128(3)), title: "Initech".into() })
}

fn suspended(name: &str, reason: &str) -> Mail {
    mail(&Event::UserSuspended { person: person(name), organization: None, reason: reason.into() })
}

fn verify() -> Mail {
    mail(&Event::VerificationSent { person: person("Ann"), verify: CodeId(Uuid::from_u128(4)) })
}

fn mail(event: &Event) -> Mail {
    event.mails().remove(0)
}

fn message(mail: &Mail, realm: &Realm) -> Result<Message, RenderError> {
    let from = "Portal <portal@example.org>".parse().unwrap();
    let id = MessageId(Uuid::from_u128(9));
    render(&Draft { id, mail, created_at: Timestamp(1_700_000_000_123_456), realm, code: Some(CODE), from: &from })
}

fn formatted(mail: &Mail, realm: &Realm) -> String {
    String::from_utf8(message(mail, realm).unwrap().formatted()).unwrap()
}

/// The headers, and the two parts as a reader sees them.
fn read(mail: &Mail, realm: &Realm) -> (String, String, String) {
    let whole = formatted(mail, realm);
    let (head, _) = whole.split_once("\r\n\r\n").unwrap();
    let link = path(mail.template).map(|path| format!("{}/{path}?code={CODE}", portal(realm)));
    let words = templates::words(mail.template, realm, &values(mail, realm, link.as_deref())).unwrap();
    (head.to_owned(), words.text.clone(), html::page(&words, link.as_deref()).unwrap())
}

#[test]
fn the_link_of_a_mail_begins_with_the_realms_base_url() {
    let link = format!("https://portal.example.org:8443/a/verify-email?code={CODE}");
    let (head, text, html) = read(&verify(), &realm([]));
    assert!(text.contains(&format!("\n\n{link}\n\n")), "{text}");
    assert!(formatted(&verify(), &realm([])).contains(&format!("\r\n\r\n{link}\r\n\r\n")));
    let escaped = link.replace('/', "&#x2f;");
    assert!(html.contains(&format!("<p><a href=\"{escaped}\">{escaped}</a></p>")), "{html}");
    assert_eq!(
        head,
        "Message-ID: <00000000-0000-0000-0000-000000000009@portal.example.org>\r\n\
         Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\
         From: Portal <portal@example.org>\r\n\
         To: ann@example.com\r\n\
         Subject: Verify your e-mail address\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/alternative;\r\n boundary=\"00000000-0000-0000-0000-000000000009\""
    );
}

#[test]
fn a_repeat_is_the_same_bytes() {
    let realm = realm([]);
    assert_eq!(formatted(&verify(), &realm), formatted(&verify(), &realm));
}

#[test]
fn a_mail_without_the_code_of_its_link_is_not_made() {
    let (mail, realm, from) = (verify(), realm([]), "portal@example.org".parse().unwrap());
    let id = MessageId(Uuid::from_u128(9));
    let draft = Draft { id, mail: &mail, created_at: Timestamp(0), realm: &realm, code: None, from: &from };
    assert!(matches!(render(&draft), Err(RenderError::NoCode)));
}

#[test]
fn an_address_that_is_none_is_refused_without_being_repeated() {
    for to in ["ann", "ann@example.com\r\nBcc: eve@example.com", "ann@example.com, eve@example.com", ""] {
        let mail = Mail { to: to.into(), ..verify() };
        let error = message(&mail, &realm([])).unwrap_err();
        assert!(matches!(error, RenderError::Recipient(_)), "{to}: {error}");
        assert!(!error.to_string().contains('@'), "{error}");
    }
}

#[test]
fn a_value_is_never_markup() {
    let (_, text, html) = read(&suspended("<script>alert(1)</script>", "\"><img src=x onerror='y'> &amp;"), &realm([]));
    assert!(text.contains("<script>alert(1)</script>") && text.contains("at Acme & Sons"), "{text}");
    assert!(html.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;"), "{html}");
    assert!(html.contains("&quot;&gt;&lt;img src=x onerror=&#x27;y&#x27;&gt; &amp;amp;"), "{html}");
    assert!(html.contains("Acme &amp; Sons") && !html.contains("<script") && !html.contains("<img"), "{html}");
}

#[test]
fn a_realms_own_words_are_no_markup_either() {
    let own = realm([(Template::Suspended, "", "<b>{{ name }}</b>\n<i>{{ reason }}</i>")]);
    let (_, _, html) = read(&suspended("Ann", "spam"), &own);
    assert!(html.contains("<p>&lt;b&gt;Ann&lt;&#x2f;b&gt;<br>\n&lt;i&gt;spam&lt;&#x2f;i&gt;</p>"), "{html}");
}

#[test]
fn a_name_breaks_out_of_no_header() {
    let own = realm([(Template::Suspended, "Sorry, {{ name }}\r\nX-Own: 1", "")]);
    let name = "Ann\r\nBcc: eve@example.com\r\n\r\n<p>\0\u{85}\u{2028}x";
    let (head, text, _) = read(&suspended(name, "spam"), &own);
    assert!(head.contains("\r\nSubject: Sorry, Ann Bcc: eve@example.com <p> x X-Own: 1\r\n"), "{head}");
    assert!(head.lines().all(|line| !line.starts_with("Bcc") && !line.starts_with("X-Own")), "{head}");
    assert!(text.starts_with("Hello Ann Bcc: eve@example.com <p> x,\n"), "{text}");
}

#[test]
fn a_name_does_not_turn_the_direction_of_reading() {
    let own = realm([(Template::Suspended, "{{ name }}", "")]);
    let (head, text, html) = read(&suspended("\u{202e}nnA\u{2066}", "\u{200f}spam\u{202c}"), &own);
    assert!(head.contains("\r\nSubject: nnA\r\n"), "{head}");
    for shown in [text, html] {
        assert!(shown.contains("nnA") && shown.contains("spam"), "{shown}");
        assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{200f}', '\u{202c}']), "{shown:?}");
    }
}

#[test]
fn what_looks_like_a_formula_stays_text() {
    let (_, text, html) = read(&suspended("=cmd|' /C calc'!A0", ""), &realm([]));
    assert!(text.starts_with("Hello =cmd|' /C calc'!A0,\n"), "{text}");
    assert!(html.contains("Hello =cmd|&#x27; &#x2f;C calc&#x27;!A0,"), "{html}");
}

#[test]
fn what_fills_a_template_is_not_a_template() {
    let (_, text, html) = read(&suspended("{{ reason }}{% if x %}", "secret"), &realm([]));
    for shown in [text, html] {
        assert!(shown.contains("{{ reason }}{% if x %}"), "{shown}");
    }
}

#[test]
fn foreign_names_are_encoded_in_headers() {
    let own = realm([(Template::Suspended, "{{ name }}", "")]);
    let (head, ..) = read(&suspended("Žofie \u{1f600}", ""), &own);
    assert!(head.is_ascii() && head.contains("\r\nSubject: =?utf-8?b?"), "{head}");
}

#[test]
fn a_text_that_can_not_go_out_as_it_is_is_encoded() {
    for reason in ["Žofie", "line\u{2028}break Ω"] {
        let whole = formatted(&suspended("Ann", reason), &realm([]));
        assert!(whole.is_ascii() && !whole.contains("7bit"), "{whole}");
    }
    let long = realm([(Template::Suspended, "", "{{ reason }} {{ reason }}")]);
    let whole = formatted(&suspended("Ann", &"x".repeat(600)), &long);
    assert!(whole.split("\r\n").all(|line| line.len() <= LINE_BYTES_MAX) && !whole.contains("7bit"), "{whole}");
}

/// Somebody proved their address and waits for a decision.
fn verified(person: Person, organization: Option<Company>) -> Event {
    let how = VerifiedHow::Link;
    Event::EmailVerified { person, how, approved: false, awaits_approval: true, organization }
}

#[test]
fn a_realm_has_its_own_subject_to_the_letter() {
    let received = mail(&verified(person("Ann"), company()));
    let (head, text, _) = read(&received, &realm([]));
    assert!(head.contains("\r\nSubject: Registration: Admin Approval Required\r\n"), "{head}");
    let own = realm([(Template::ApprovalRequired, "Symmetry Registration: Admin Approval Required", "")]);
    let (head, same_text, _) = read(&received, &own);
    assert!(head.contains("\r\nSubject: Symmetry Registration: Admin Approval Required\r\n"), "{head}");
    assert_eq!(text, same_text);
}

#[test]
fn approvers_hear_who_waits() {
    let told = |again| {
        let approvers = vec![person("Ann")];
        read(
            &mail(&Event::ApprovalAwaited { person: person("Bob"), organization: company(), approvers, again }),
            &realm([]),
        )
    };
    let (head, text, _) = told(false);
    assert!(head.contains("\r\nSubject: A New User Is Waiting for your Approval\r\n"), "{head}");
    assert!(text.contains("\n\nName: Bob\nE-mail: ann@example.com\nOrganization: Initech\n\n"), "{text}");
    assert!(!text.contains("registered again") && told(true).1.contains("registered again"), "{text}");
}

#[test]
fn broken_words_give_way_to_the_shipped_ones() {
    let broken = realm([(Template::Suspended, "{{ nmae }}", "{% for x in name %}{{ x }}{% endfor %}")]);
    assert_eq!(formatted(&suspended("Ann", "spam"), &broken), formatted(&suspended("Ann", "spam"), &realm([])));
    let half = realm([(Template::Suspended, "{{ nmae }}", "Bye, {{ name }}.")]);
    let (head, text, _) = read(&suspended("Ann", "spam"), &half);
    assert!(head.contains("\r\nSubject: Your account was suspended\r\n"), "{head}");
    assert_eq!(text, "Bye, Ann.");
}

#[test]
fn who_is_approved_hears_how_to_get_in() {
    let approved = |to_set_password| {
        Event::RegistrationApproved { person: person("Ann"), organization: company(), to_set_password }.mails()
    };
    assert_eq!(approved(true), []);
    let (_, text, _) = read(&approved(false)[0], &realm([]));
    assert!(
        text.ends_with("for Initech was approved.\n\nYou can sign in now at https://portal.example.org:8443/a"),
        "{text}"
    );
    let reset = Some(CodeId(Uuid::from_u128(4)));
    let unproven = Person { verified: false, ..person("Ann") };
    for (how, told) in [(true, "an administrator approved"), (false, "an administrator of Acme & Sons confirmed")] {
        let event = Event::PasswordToBeSet { person: unproven.clone(), reset, approved: how };
        let (_, text, _) = read(&mail(&event), &realm([]));
        assert!(text.contains(told) && text.contains("reset-password?code="), "{text}");
    }
}

#[test]
fn nothing_but_proofs_goes_to_an_address_that_nobody_verified() {
    let unverified = Person { verified: false, ..person("Ann") };
    let conferred = Conferred { person: Some(unverified.clone()), ..conferred() };
    let events = [
        verified(unverified.clone(), company()),
        Event::RegistrationRejected { person: unverified.clone(), organization: None, reason: "no".into() },
        Event::UserSuspended { person: unverified.clone(), organization: None, reason: "no".into() },
        Event::RegistrationExpired { person: unverified.clone() },
        Event::RoleAssigned(conferred),
    ];
    assert_eq!(events.iter().flat_map(Event::mails).collect::<Vec<_>>(), []);
    let registered = Event::Registered {
        person: unverified,
        organization: company(),
        verify: Some(CodeId(Uuid::from_u128(4))),
        again: false,
    };
    assert_eq!(mail(&registered).template, Template::VerifyEmail);
}

/// Somebody has a role.
fn conferred() -> Conferred {
    Conferred {
        entry: EntryId(Uuid::from_u128(5)),
        principal: UserId(Uuid::from_u128(2)).into(),
        person: Some(person("")),
        organization: None,
        what: "Auditor".into(),
        role: None,
    }
}

#[test]
fn a_mail_that_a_stranger_can_cause_shows_nothing_that_they_typed() {
    let (stranger, code) = (person("Win a prize at evil.example"), CodeId(Uuid::from_u128(4)));
    let registered =
        Event::Registered { person: stranger.clone(), organization: None, verify: Some(code), again: false };
    let approved = Event::PasswordToBeSet { person: stranger.clone(), reset: Some(code), approved: true };
    let reset = Event::PasswordResetSent { person: stranger.clone(), reset: code };
    let taken = Event::AddressTaken { owner: Some(stranger) };
    for mail in [registered, approved, reset, taken].iter().flat_map(Event::mails) {
        let (head, text, html) = read(&mail, &realm([]));
        assert!(![head, text, html].iter().any(|part| part.contains("evil")), "{:?}", mail.template);
    }
}

#[test]
fn the_link_of_a_reset_leads_to_its_own_page() {
    let event = Event::PasswordResetSent { person: person("Ann"), reset: CodeId(Uuid::from_u128(4)) };
    let (_, text, _) = read(&mail(&event), &realm([]));
    let link = format!("https://portal.example.org:8443/a/reset-password?code={CODE}");
    assert!(text.contains(&format!("\n\n{link}\n\n")), "{text}");
}

#[test]
fn every_event_fills_its_mail() {
    let code = CodeId(Uuid::from_u128(4));
    let approvers = vec![person("")];
    let events = [
        Event::Registered { person: person(""), organization: None, verify: Some(code), again: false },
        verified(person(""), None),
        Event::PasswordToBeSet { person: person(""), reset: Some(code), approved: true },
        Event::AddressTaken { owner: Some(person("")) },
        Event::ApprovalAwaited { person: person(""), organization: None, approvers, again: true },
        Event::RegistrationApproved { person: person(""), organization: None, to_set_password: false },
        Event::RegistrationRejected { person: person(""), organization: None, reason: "no".into() },
        Event::UserSuspended { person: person(""), organization: None, reason: "no".into() },
        Event::HeldForFailures { person: person(""), organization: None, failures: 5 },
        Event::PasswordResetSent { person: person(""), reset: code },
        Event::PasswordChanged { person: person(""), by_reset: true, lifted: vec![] },
        Event::UserReinstated { person: person(""), organization: None, lifted: vec![] },
        Event::UserDeleted { person: person(""), organization: None, note: None },
        Event::UserRestored { person: person(""), organization: None, note: None },
        Event::RegistrationExpired { person: person("") },
        Event::RoleAssigned(conferred()),
        Event::RoleRevoked(conferred()),
    ];
    let mails: Vec<_> = events.iter().flat_map(Event::mails).collect();
    let made: BTreeMap<_, _> = mails.iter().map(|mail| (mail.template, formatted(mail, &realm([])))).collect();
    assert_eq!(made.len(), Template::ALL.len());
    for (template, whole) in made {
        assert!(whole.is_ascii() && whole.contains("\r\nContent-Transfer-Encoding: 7bit\r\n"), "{template:?}: {whole}");
    }
}

#[test]
fn a_domain_beyond_ascii_goes_out_as_a_label_so_that_any_server_takes_it() {
    let to = |address: &str| {
        let mail = Mail { to: address.to_owned(), ..verify() };
        let message = message(&mail, &realm([])).unwrap();
        message.envelope().to().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(to("Ann@bücher.example"), ["Ann@xn--bcher-kva.example"]);
    assert_eq!(to("ann@weiß.example"), ["ann@xn--wei-7ka.example"]);
    assert_eq!(to("jürgen@example.org"), ["jürgen@example.org"]);
}
