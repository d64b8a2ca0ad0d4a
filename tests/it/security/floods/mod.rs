//! One tenant's slow or blocked work, and what is not anybody's work at all, leave everybody else's checks as they were.
//!
//! Each file is one flood. Each uses the [`Ruler`]: plain checks in a realm that has nothing to do with the flood, timed
//! first in quiet and then beside it, in one run on one machine, so that only their ratio is asserted.

mod followers;
mod holds;
mod unfinished;
mod unknown_credentials;
mod update_user;
mod wedged;

use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::grpc::pb::{self, Policy, Reach};
use tokio::task::JoinSet;

use crate::support::{ALLOWED, At, Caller, Portal, Reachable, ask, everywhere, grants, role};

/// How much slower the slowest checks may be beside a flood.
const RATIO_MAX: u32 = 3;
/// Checks are taken to last at least this long: below it the ratio would measure how the machine schedules two threads,
/// of which the client's calls and the server's answers both make use.
const FLOOR: Duration = Duration::from_millis(20);
/// A flood that harms checks does so each time; what else runs on the machine does not.
const TRIES: usize = 3;
/// Between two checks, so that the ruler is no load of its own.
const PAUSE: Duration = Duration::from_millis(4);

/// A realm of its own, and who asks there.
pub(super) struct Ruler {
    service: Caller,
    subject: String,
}

/// How long checks took, the shortest first.
#[derive(Debug)]
pub(super) struct Latencies(Vec<Duration>);

impl Ruler {
    /// Makes the realm.
    pub(super) async fn new(server: &impl Reachable) -> Self {
        let portal = Portal::open(server.as_operator(), server.anonymous(), "bystander", Policy::default()).await;
        portal.declare(&["orders.ship"]).await;
        let of_all = |name: &str, pattern: &str| pb::CreateRoleRequest {
            grants: grants(Reach::All, &[pattern]),
            assignable: Some(everywhere(&[])),
            ..role(name)
        };
        portal.define([of_all("ships", "orders.ship"), of_all("asks", "countersign.access.check")]).await;
        let key = portal.operator.service("till").await.unwrap();
        portal.operator.assign("till", "asks", At::Realm).await.unwrap();
        portal.operator.assign("till", "ships", At::Realm).await.unwrap();
        let service = server.as_key(&key);
        let me = service.sessions().get_me(pb::GetMeRequest {}).await.unwrap().into_inner();
        let Some(pb::get_me_response::Principal::ServiceAccount(till)) = me.principal else { panic!("{me:?}") };
        let subject = till.id;
        Self { service, subject }
    }

    /// Asks so many times, one after the other: of a principal that is kept and, every fourth time, of one that nobody
    /// asked about before, which has to be loaded. Every question must be answered.
    pub(super) async fn measure(&self, checks: usize) -> Latencies {
        let mut taken = Vec::with_capacity(checks);
        for number in 0..checks {
            let unknown = uuid::Uuid::new_v4().to_string();
            let subject = if number % 4 == 3 { &unknown } else { &self.subject };
            let began = Clock::elapsed();
            let answer = self.service.check(ask(subject, "orders.ship")).await.unwrap();
            taken.push(Clock::elapsed() - began);
            assert_eq!(answer == ALLOWED, *subject == self.subject, "{answer:?}");
            tokio::time::sleep(PAUSE).await;
        }
        taken.sort();
        Latencies(taken)
    }

    /// Measures in quiet, then beside `flood`, which goes on until what it is given says that it is over; asserts the
    /// ratio.
    pub(super) async fn unharmed_by(&self, checks: usize, flood: impl Future<Output = ()>) {
        let quiet = self.quiet(checks).await;
        let mut flood = std::pin::pin!(flood);
        tokio::select! {
            () = self.as_quick_as(&quiet, checks) => {}
            () = &mut flood => panic!("the flood was over before the checks were"),
        }
    }

    /// Measures once everything is warm.
    pub(super) async fn quiet(&self, checks: usize) -> Latencies {
        self.measure(checks / 4).await;
        self.measure(checks).await
    }

    /// Measures beside what has begun, again if something disturbed it; asserts the ratio.
    pub(super) async fn as_quick_as(&self, quiet: &Latencies, checks: usize) {
        let limit = RATIO_MAX * quiet.p99().max(FLOOR);
        for _ in 0..TRIES {
            let beside = self.quiet(checks).await;
            observed(quiet, &beside, limit);
            if beside.p99() <= limit {
                return;
            }
        }
        panic!("each of {TRIES} times, the p99 beside the flood was above {limit:?}; {:?} in quiet", quiet.p99());
    }
}

impl Latencies {
    pub(super) fn p50(&self) -> Duration {
        self.at(50)
    }

    pub(super) fn p99(&self) -> Duration {
        self.at(99)
    }

    fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

#[expect(clippy::print_stderr, reason = "the figures are for whoever runs a flood by itself")]
fn observed(quiet: &Latencies, beside: &Latencies, limit: Duration) {
    let of = |latencies: &Latencies| format!("p50 {:?} p99 {:?}", latencies.p50(), latencies.p99());
    eprintln!("quiet {}; beside {}; limit {limit:?}", of(quiet), of(beside));
}

/// Keeps so many calls under way for as long as it is polled, whatever is answered.
pub(super) async fn without_end<F>(at_once: usize, call: impl Fn(usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for number in 0.. {
        calls.spawn(call(number));
        if calls.len() >= at_once {
            calls.join_next().await;
        }
    }
}

/// The memory of a process that is in use, in MiB.
pub(super) fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
}
