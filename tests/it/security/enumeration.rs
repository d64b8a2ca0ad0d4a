//! A failed sign-in says nothing about who has an account, neither in its answer nor in its time.

use std::time::Duration;

use countersign::app::EVEN_TIME;
use countersign::app::clock::Clock;
use countersign::domain::account::{Hold, HoldCause};
use countersign::domain::time::Timestamp;
use countersign::grpc::pb::{self, Policy};
use tonic::{Code, Status};

use crate::lock::{Yard, least};
use crate::support::{At, Backend, PASSWORD, Portal, TestApp, both_backends, said};

const GUESS: &str = "not the password of anybody";

/// What can be wrong with a sign-in: a name, an address, and what is typed.
struct Failure {
    name: &'static str,
    email: &'static str,
    password: String,
}

/// A realm with one account of each kind, and every way to fail.
async fn failures(app: &TestApp) -> (Portal, Vec<Failure>) {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: "https://open.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("open", policy).await;
    for email in ["ann@acme.example", "blocked@acme.example", "deleted@acme.example"] {
        portal.newcomer(app, email, &[]).await;
        portal.operator.approve(email).await.unwrap();
    }
    portal.newcomer(app, "initial@acme.example", &[]).await;
    let now = app.clock().now();
    let block = Hold { cause: HoldCause::Blocked, at: now, by: None, note: None };
    portal.alter(app, "blocked@acme.example", |user| user.holds.push(block)).await;
    portal.alter(app, "deleted@acme.example", |user| user.deleted_at = Some(now)).await;
    let failure = |name, email, password: &str| Failure { name, email, password: password.to_owned() };
    let failures = vec![
        failure("unknown", "nobody@acme.example", PASSWORD),
        failure("wrong", "ann@acme.example", GUESS),
        failure("empty", "ann@acme.example", ""),
        failure("over-long", "ann@acme.example", &PASSWORD.repeat(10)),
        failure("INITIAL", "initial@acme.example", GUESS),
        failure("blocked", "blocked@acme.example", GUESS),
        failure("deleted, right", "deleted@acme.example", PASSWORD),
        failure("no address", "nonsense", GUESS),
        failure("over-long address", "x", PASSWORD),
    ];
    (portal, failures)
}

async fn fail(portal: &Portal, failure: &Failure) -> Status {
    let email = if failure.name == "over-long address" { "x".repeat(10_000) } else { failure.email.to_owned() };
    portal.stranger.sign_in_with(&email, &failure.password).await.unwrap_err()
}

/// Has every address be tried again without a wait.
async fn forget(app: &TestApp) {
    app.inner().app.store().forget_throttles(Timestamp(i64::MAX)).await.unwrap();
}

// Class 17: user enumeration by answer.
both_backends!(every_failure_has_one_answer, async |app: &TestApp| {
    let (portal, failures) = failures(app).await;
    let mut answers = vec![];
    for failure in &failures {
        let status = fail(&portal, failure).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{}", failure.name);
        answers.push(said(&status));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
});

// Class 17: user enumeration by time, where a mail is sent or not: no answer comes before all of them could.
both_backends!(who_is_mailed_is_not_told_by_the_time, async |app: &TestApp| {
    let (portal, _) = failures(app).await;
    let stranger = &portal.stranger;
    for address in ["ann", "initial", "blocked", "deleted", "nobody"] {
        let email = format!("{address}@acme.example");
        let began = Clock::elapsed();
        stranger.ask_for_reset(&email).await.unwrap();
        assert!(Clock::elapsed() - began >= EVEN_TIME, "{email}");
        let began = Clock::elapsed();
        stranger.registrations().resend_verification(pb::ResendVerificationRequest { email }).await.unwrap();
        assert!(Clock::elapsed() - began >= EVEN_TIME, "{address}");
    }
});

/// The medians of so many samples of each failure, taken in turns.
async fn medians(app: &TestApp, samples: usize) -> Vec<(&'static str, Duration)> {
    let (portal, failures) = failures(app).await;
    let mut took = vec![vec![]; failures.len()];
    for _ in 0..samples {
        forget(app).await;
        for (failure, took) in failures.iter().zip(&mut took) {
            let began = Clock::elapsed();
            fail(&portal, failure).await;
            took.push(Clock::elapsed() - began);
        }
    }
    let median = |mut took: Vec<Duration>| {
        took.sort_unstable();
        took[took.len() / 2]
    };
    failures.iter().zip(took).map(|(failure, took)| (failure.name, median(took))).collect()
}

fn require_alike(medians: &[(&'static str, Duration)], factor: f64) {
    let (least, most) = (medians.iter().map(|(_, took)| *took).min(), medians.iter().map(|(_, took)| *took).max());
    let (least, most) = (least.unwrap().as_secs_f64(), most.unwrap().as_secs_f64());
    assert!(most <= factor * least, "one is told from the others by its time: {medians:?}");
}

// Class 17: user enumeration by time. A path without the hash is twenty times as fast; a busy machine is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failure_is_told_by_its_time() {
    let app = TestApp::start(Backend::Sqlite).await;
    require_alike(&medians(&app, 9).await, 3.0);
    app.finish().await;
}

// The same in full, on a quiet machine: `tests/run -- cargo test --test it -- --ignored medians_of_a_thousand`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and a machine that does nothing else"]
async fn medians_of_a_thousand_samples_are_within_noise() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let app = TestApp::start(backend).await;
        let medians = medians(&app, 1_000).await;
        println!("{backend:?}: {medians:?}");
        require_alike(&medians, 1.1);
        app.finish().await;
    }
}

both_backends!(an_administrator_learns_by_no_work_who_is_registered_elsewhere, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    yard.company(app, "own", 1).await;
    yard.company(app, "other", 1).await;
    // Not of the other one any more.
    yard.leave("other").await;
    let ann = &yard.ann.caller;
    for call in ["suspend", "assign", "manage"] {
        let work = async |email: &str| {
            let refused = async || {
                let refused = match call {
                    "suspend" => ann.suspend(email, "why").await.map(drop),
                    "assign" => ann.assign(email, "administrator", At::Organization("own")).await.map(drop),
                    _ => ann.set_manager("leader@own.example", email).await.map(drop),
                };
                assert_eq!(refused.unwrap_err().code(), Code::NotFound);
            };
            least(app, refused, async || {}).await
        };
        let (elsewhere, nowhere) = (work("chief@other.example").await, work("nobody@other.example").await);
        // What runs beside the calls may send one, too.
        assert!(elsewhere.abs_diff(nowhere) <= 1, "{call}: {elsewhere} statements for somebody, {nowhere} for nobody");
    }
});
