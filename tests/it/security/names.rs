//! A name is a text, wherever it is shown. Security class 21: injection through names into mail headers, HTML and logs
//! (CVE-2025-7962). What the mails make of each character is `mail`'s own to test.

use countersign::grpc::pb::{self, Reach};

use crate::support::{At, PASSWORD, TestApp, both_backends, everywhere, grants, role, violations};

/// Names that people may have, and what a mail in HTML shows of them.
const MARKUP: [(&str, &str); 4] = [
    ("<img src=x>", "&lt;img src"),
    ("</p><script>alert(1)</script>", "&lt;script&gt;"),
    ("{{ 7 * 7 }} {% raw %}", "{{ 7 * 7 }} {% raw %}"),
    ("=cmd|calc!A0", "cmd|calc!A0"),
];

/// Names as people write them: joiners between letters, an emoji of several.
const JOINED: [&str; 3] = [
    "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
    "\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}",
    "\u{1f469}\u{200d}\u{1f4bb} Ann",
];

/// Names that nobody has: each would end a line, turn it around, or hide in it.
const UNPRINTABLE: [&str; 10] = [
    "Ann\u{200e}",
    "\u{200d}",
    "Ann\r\nBcc: all@acme.example",
    "Ann\nX-Own: 1",
    "Ann\0",
    "A\u{85}nn",
    "\u{202e}nnA",
    "A\u{200b}nn",
    "\u{feff}Ann",
    "Ann\u{1b}[2J",
];

both_backends!(a_name_is_text_in_every_mail, async |app: &TestApp| {
    let policy = pb::Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: "https://names.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("names", policy).await;
    let approves = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.users.approve"]),
        assignable: Some(everywhere(&[])),
        topics: vec![pb::RoleTopic { topic: "approvals".to_owned(), reach: Reach::All.into() }],
        ..role("approves")
    };
    portal.define([approves]).await;
    portal.person(app, "boss@acme.example", &[], &[]).await;
    portal.operator.assign("boss@acme.example", "approves", At::Realm).await.unwrap();
    app.mailed().await;
    for name in UNPRINTABLE {
        let request = pb::RegisterRequest {
            email: "ann@acme.example".to_owned(),
            display_name: name.to_owned(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        };
        let refused = portal.stranger.registrations().register(request).await;
        assert_eq!(violations(refused), ["display_name"], "{name:?}");
    }
    for (number, (name, _)) in MARKUP.iter().enumerate() {
        let email = format!("p{number}@acme.example");
        portal.stranger.register(&email, name, &[]).await.unwrap();
        portal.stranger.verify(&app.code_for(&email).await).await.unwrap();
    }
    let told = app.mails_to("boss@acme.example").await;
    for (name, _) in MARKUP {
        assert!(told.iter().any(|mail| mail.text.contains(name)), "{name} as it was typed");
    }
    let raw: Vec<_> = app.config().mail_dir.read_dir().unwrap().map(|mail| mail.unwrap().path()).collect();
    let raw: Vec<_> = raw.iter().map(|mail| std::fs::read_to_string(mail).unwrap()).collect();
    for mail in &raw {
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        let (_, page) = body.split_once("text/html").unwrap();
        assert!(!page.contains("<img") && !page.contains("<script"), "{page}");
        for field in ["To: ", "Subject: ", "From: "] {
            assert_eq!(head.lines().filter(|line| line.starts_with(field)).count(), 1, "{head}");
        }
        assert!(!head.contains("Bcc") && !head.contains("X-Own"), "{head}");
    }
    for (name, shown) in MARKUP {
        assert!(raw.iter().any(|mail| mail.split_once("text/html").unwrap().1.contains(shown)), "{name} in HTML");
    }
});

both_backends!(a_name_may_be_joined_and_an_emoji, async |app: &TestApp| {
    let policy = pb::Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        ..Default::default()
    };
    let portal = app.realm("joined", policy).await;
    for (number, name) in JOINED.iter().enumerate() {
        let email = format!("j{number}@acme.example");
        portal.stranger.register(&email, name, &[]).await.unwrap();
        assert_eq!(portal.operator.user(&email).await.unwrap().display_name, *name);
    }
});
