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

/// Names that nobody has: each would end a line, turn it around, or hide in it.
const UNPRINTABLE: [&str; 8] = [
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
