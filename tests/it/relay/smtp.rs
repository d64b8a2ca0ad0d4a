//! Mails by SMTP, to a real server: protected, signed in, once under one Message-ID, and what becomes of refusals.

use std::io::Write;
use std::sync::Mutex;

use countersign::domain::message::{Message, MessageState};
use countersign::domain::policy::MailText;
use countersign::mail::{Security, Smtp, SmtpOptions};
use countersign::store::MessageFilter;
use lettre::transport::smtp::authentication::Credentials;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::support::{Backend, MAIL_PASSWORD, MailServer, Reachable as _, TestApp};

/// How to reach a server properly.
fn options(server: &MailServer, security: Security) -> SmtpOptions {
    SmtpOptions {
        host: "localhost".to_owned(),
        port: server.port(),
        security,
        login: Some(Credentials::new("portal".to_owned(), MAIL_PASSWORD.to_owned())),
        ca: Some(std::fs::read(server.ca()).unwrap()),
        hello: "example.org".to_owned(),
        timeout: Duration::from_secs(15),
    }
}

fn by(options: SmtpOptions) -> Transport {
    Transport::Smtp(Box::new(Smtp::new(options).unwrap()))
}

impl World {
    async fn suspended(&self, to: &str) -> MessageId {
        self.enqueue_to(to, Template::Suspended, None, "value").await
    }

    async fn message(&self, id: MessageId) -> Message {
        self.app.store().rows(REALM).message(id).await.unwrap().unwrap()
    }

    /// Waits until a mail was tried so often, or is done with.
    async fn tried(&self, id: MessageId, attempts: i32) -> Message {
        loop {
            let message = self.message(id).await;
            if message.attempts >= attempts || message.state != MessageState::Waiting {
                return message;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Past every pause between two attempts.
    fn after_a_pause(&self) {
        self.app.clock().advance(Duration::from_secs(3_600));
    }
}

/// The head of a mail: its fields, a folded one as one line.
fn head(mail: &str) -> Vec<String> {
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    head.replace("\r\n ", " ").lines().map(str::to_owned).collect()
}

fn message_id(mail: &str) -> String {
    head(mail).iter().find_map(|line| line.strip_prefix("Message-ID: ").map(str::to_owned)).unwrap()
}

#[tokio::test]
async fn mails_of_one_batch_leave_by_one_protected_connection() {
    for (security, offered) in [(Security::StartTls, "starttls"), (Security::Tls, "tls")] {
        let (world, server) = (World::new().await, MailServer::start(offered));
        let first = world.suspended("ann@example.com").await;
        world.suspended("bob@example.com").await;
        let tasks = world.relay_by(by(options(&server, security)));
        let mails = server.taken(2).await;
        assert_eq!(message_id(&mails[0]), format!("<{first}@localhost>"));
        assert_eq!(world.tried(first, 1).await.state, MessageState::Delivered);
        tasks.stop().await;
        let expected =
            ["connected", "signed in", "taken encrypted for ann@example.com", "taken encrypted for bob@example.com"];
        assert_eq!(server.log(), expected, "{offered}");
    }
}

/// What the log says.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Said {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Class 3 of `spec/security.md`: a secret in a log line or in the record.
#[tokio::test]
async fn a_wrong_password_is_logged_without_it_and_tried_again() {
    let said = Said::default();
    let log = tracing_subscriber::fmt().with_writer(said.clone()).with_max_level(tracing::Level::TRACE).finish();
    // Of one subscriber alone, tracing asks the thread that a line is first reached on: it may be another test's.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _until_the_end = tracing::subscriber::set_default(log);
    let (world, server) = (World::new().await, MailServer::start("starttls"));
    let wrong = Credentials::new("portal".to_owned(), "not the password".to_owned());
    let id = world.suspended("ann@example.com").await;
    let tasks = world.relay_by(by(SmtpOptions { login: Some(wrong), ..options(&server, Security::StartTls) }));
    let message = world.tried(id, 1).await;
    tasks.stop().await;
    assert_eq!(message.state, MessageState::Waiting);
    let error = message.last_error.unwrap();
    assert_eq!(error, "the mail server can't be used: signing in: 535 5.7.8");
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("a mail is tried again later") && said.contains(&error), "{said}");
    // As it is, and as PLAIN sends it.
    for secret in ["not the password", "AHBvcnRhbABub3QgdGhlIHBhc3N3b3Jk"] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(!server.log().iter().any(|line| line.starts_with("taken")));

    world.after_a_pause();
    let tasks = world.relay_by(by(options(&server, Security::StartTls)));
    server.taken(1).await;
    tasks.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_who_it_should_be_hears_no_password() {
    let (server, other) = (MailServer::start("starttls"), MailServer::start("starttls"));
    let right = options(&server, Security::StartTls);
    let cases = [
        (SmtpOptions { ca: None, ..right.clone() }, "UnknownIssuer"),
        (SmtpOptions { ca: Some(std::fs::read(other.ca()).unwrap()), ..right.clone() }, "certificate"),
        (SmtpOptions { host: "127.0.0.1".to_owned(), ..right }, "not valid for name"),
    ];
    for (options, why) in cases {
        let world = World::new().await;
        let id = world.suspended("ann@example.com").await;
        let tasks = world.relay_by(by(options));
        let message = world.tried(id, 1).await;
        tasks.stop().await;
        assert_eq!(message.state, MessageState::Waiting);
        let error = message.last_error.unwrap();
        assert!(error.starts_with("the mail server can't be used: ") && error.contains(why), "{error}");
    }
    assert!(server.log().iter().all(|line| line == "connected"), "{:?}", server.log());
}

#[tokio::test]
async fn without_the_encryption_that_was_asked_for_no_mail_leaves() {
    let (world, server) = (World::new().await, MailServer::start("none"));
    let id = world.suspended("ann@example.com").await;
    let tasks = world.relay_by(by(options(&server, Security::StartTls)));
    let message = world.tried(id, 1).await;
    tasks.stop().await;
    let error = message.last_error.unwrap();
    assert_eq!(error, "the mail server can't be used: encrypting: STARTTLS is not supported on this server");
    assert_eq!(server.log(), ["connected"]);

    world.after_a_pause();
    let plain = SmtpOptions { login: None, ..options(&server, Security::None) };
    let tasks = world.relay_by(by(plain));
    server.taken(1).await;
    tasks.stop().await;
    assert_eq!(server.log().last().unwrap(), "taken in the clear for ann@example.com");
}

#[tokio::test]
async fn what_waited_for_a_server_that_was_down_arrives_when_it_is_back() {
    let (world, mut server) = (World::new().await, MailServer::start("starttls"));
    server.stop();
    let (first, second) = (world.suspended("ann@example.com").await, world.suspended("bob@example.com").await);
    let tasks = world.relay_by(by(options(&server, Security::StartTls)));
    let message = world.tried(first, 1).await;
    let error = message.last_error.unwrap();
    assert!(error.starts_with("the mail server can't be used: connecting: "), "{error}");
    assert!(!error.contains('@') && !error.contains(MAIL_PASSWORD), "{error}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.message(second).await.attempts, 0, "it would have failed the same way");
    server.start_again();
    world.after_a_pause();
    let mails = server.taken(2).await;
    let mut ids: Vec<_> = mails.iter().map(|mail| message_id(mail)).collect();
    ids.sort();
    assert_eq!(ids, [first, second].map(|id| format!("<{id}@localhost>")));
    tasks.stop().await;
}

#[tokio::test]
async fn a_mail_that_arrives_twice_is_the_same_mail() {
    let (world, server) = (World::new().await, MailServer::start("starttls"));
    // The server takes it, and its answer is lost.
    let id = world.suspended("lost@example.com").await;
    let tasks = world.relay_by(by(options(&server, Security::StartTls)));
    assert_eq!(world.tried(id, 1).await.state, MessageState::Waiting);
    world.after_a_pause();
    let mails = server.taken(2).await;
    assert_eq!(mails[0], mails[1]);
    assert_eq!(message_id(&mails[0]), format!("<{id}@localhost>"));
    tasks.stop().await;
}

#[tokio::test]
async fn a_refusal_for_good_is_a_dead_letter_at_once_and_stops_no_other_mail() {
    let (world, server) = (World::new().await, MailServer::start("starttls"));
    let refused = world.suspended("refused@example.com").await;
    let later = world.suspended("later@example.com").await;
    let taken = world.suspended("ann@example.com").await;
    let tasks = world.relay_by(by(options(&server, Security::StartTls)));
    server.taken(1).await;
    assert_eq!(world.tried(taken, 1).await.state, MessageState::Delivered);
    let (refused, put_off) = (world.tried(refused, 1).await, world.tried(later, 1).await);
    assert_eq!((refused.state, refused.attempts), (MessageState::Dead, 1));
    let errors = [refused.last_error.unwrap(), put_off.last_error.unwrap()];
    assert_eq!(errors[0], "the mail server refused the mail for good: 550 5.1.1");
    assert_eq!(errors[1], "the mail server did not take the mail: 451 4.3.0");
    assert_eq!(server.log().iter().filter(|line| *line == "connected").count(), 1, "{:?}", server.log());

    server.relent();
    world.after_a_pause();
    assert_eq!(world.tried(later, 2).await.state, MessageState::Delivered);
    tasks.stop().await;
    assert_eq!(world.app.store().mails_waiting_and_dead().await.unwrap(), (0, 1));
    let dead = MessageFilter { state: Some(MessageState::Dead), ..MessageFilter::default() };
    assert_eq!(world.app.store().rows(REALM).list_messages(&dead, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_recipient_that_the_server_is_slow_about_stops_no_other_mail() {
    let (world, server) = (World::new().await, MailServer::start("starttls"));
    let slow = world.suspended("slow@example.com").await;
    world.suspended("ann@example.com").await;
    let quick = SmtpOptions { timeout: Duration::from_secs(4), ..options(&server, Security::StartTls) };
    let tasks = world.relay_by(by(quick));
    server.taken(1).await;
    let message = world.message(slow).await;
    assert_eq!(message.last_error.unwrap(), "the mail server did not take the mail: it took too long");
    tasks.stop().await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let world = World::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = MailServer::start("starttls");
    let id = world.suspended("ann@example.com").await;
    let port = silent.local_addr().unwrap().port();
    let options = SmtpOptions { port, timeout: Duration::from_secs(1), ..options(&server, Security::StartTls) };
    let tasks = world.relay_by(by(options));
    let error = world.tried(id, 1).await.last_error.unwrap();
    assert_eq!(error, "the mail server can't be used: it took too long to answer");
    tasks.stop().await;
}

/// Class 21 of `spec/security.md`: injection through names into mail headers, here also into the dialogue with the
/// server.
#[tokio::test]
async fn no_name_becomes_a_header_a_recipient_or_a_second_mail() {
    // A realm whose words put what others chose into the subject.
    let words = MailText { subject: "About {{ name }}".to_owned(), text: "{{ name }}\n\n{{ reason }}".to_owned() };
    let policy = Policy { mails: [("user_suspended".to_owned(), words)].into(), ..Policy::default() };
    let (world, server) = (World::with(policy).await, MailServer::start("starttls"));
    let name = "Eve\r\nBcc: eve@example.net\r\n\r\n<b>hi</b>\r\n.\r\nMAIL FROM:<eve@example.net>\r\n.\0\u{202e}";
    for template in [Template::RoleAssigned, Template::NewUserWaiting, Template::Suspended] {
        world.enqueue_to("ann@example.com", template, None, name).await;
    }
    let tasks = world.relay_by(by(options(&server, Security::StartTls)));
    let mails = server.taken(3).await;
    tasks.stop().await;
    let known = ["Message-ID", "Date", "From", "To", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type"];
    assert!(mails.iter().any(|mail| head(mail).iter().any(|line| line.starts_with("Subject: About Eve"))));
    for mail in &mails {
        let names: Vec<_> = head(mail).iter().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
        assert!(names.iter().all(|name| known.contains(&name.as_str())), "{mail}");
        assert!(!mail.contains('\0') && !mail.contains('\u{202e}'), "{mail}");
    }
    let taken = server.log().iter().filter(|line| *line == "taken encrypted for ann@example.com").count();
    assert_eq!((taken, server.log().len()), (3, 5), "{:?}", server.log());
}

/// Through the settings of the server, from the form to the link that proves the mailbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_registers_by_a_mail_that_came_by_smtp() {
    for (backend, offered) in [(Backend::Sqlite, "starttls"), (Backend::Postgres, "tls")] {
        let server = MailServer::start(offered);
        let app = TestApp::start_mailing_by(backend, &server, offered).await;
        let policy = countersign::grpc::pb::Policy {
            self_registration: countersign::grpc::pb::SelfRegistration::Open.into(),
            base_url: "https://portal.example".to_owned(),
            ..Default::default()
        };
        let portal = app.realm("portal", policy).await;
        portal.newcomer(&app, "ann@example.com", &[]).await;
        assert!(app.as_operator().in_realm("portal").user("ann@example.com").await.unwrap().email_verified.is_some());
        app.finish().await;
    }
}
