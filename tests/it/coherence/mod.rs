//! Fast answers that are never wrong for long, and changes that are made once and wholly: by model, by construction,
//! and by force.

mod disk_full;
mod held;
mod killed;
mod long_reads;
mod lost_database;
mod pooler;
mod primary;
mod races;
mod replicas;
mod simulation;
mod waits;

use countersign::grpc::pb::{self, Policy, Reach};

use crate::support::{At, Caller, Portal, TestApp, ask, everywhere, grants, role};

/// The permission that comes and goes.
const SHIP: &str = "orders.ship";

/// A realm with a service that asks, and one that is asked about.
struct Yard {
    portal: Portal,
    /// Whoever asks.
    till: Caller,
    /// The id of whom they ask about.
    packer: String,
}

impl Yard {
    async fn open(app: &TestApp) -> Self {
        let policy = Policy {
            self_registration: pb::SelfRegistration::Open.into(),
            approval: pb::ApprovalAuthority::Realm.into(),
            base_url: "https://yard.example".to_owned(),
            ..Default::default()
        };
        let portal = app.realm("yard", policy).await;
        portal.declare(&[SHIP, "orders.read"]).await;
        let give = |name: &str, patterns: &[&str]| pb::CreateRoleRequest {
            grants: grants(Reach::All, patterns),
            assignable: Some(everywhere(&[])),
            ..role(name)
        };
        let reserved = ["countersign.access.check", "countersign.users.approve", "countersign.audit.read"];
        portal
            .define([give("ships", &["orders.ship"]), give("reads", &["orders.read"]), give("asks", &reserved)])
            .await;
        let till = portal.service(app, "till", "asks").await;
        let packer = service(&portal.operator, "packer").await;
        Self { portal, till, packer }
    }

    async fn lets_ship(&self) {
        self.portal.operator.assign("packer", "ships", At::Realm).await.unwrap();
    }

    async fn stops_shipping(&self) {
        assert_eq!(self.portal.operator.revoke("packer", "ships", At::Realm).await.unwrap(), 1);
    }

    fn question(&self) -> pb::CheckPermissionRequest {
        pb::CheckPermissionRequest { with_reason: false, ..ask(&self.packer, SHIP) }
    }

    async fn may_ship(&self) -> bool {
        allowed(&self.till, self.question()).await
    }
}

/// Whether the answer is ALLOWED. There must be one.
async fn allowed(caller: &Caller, question: pb::CheckPermissionRequest) -> bool {
    let answer = caller.authorization().check_permission(question).await.unwrap().into_inner();
    answer.decision() == pb::Decision::Allowed
}

/// Makes a service account of the realm. Answers its id.
async fn service(operator: &Caller, name: &str) -> String {
    let request = pb::CreateServiceAccountRequest { name: name.to_owned(), ..Default::default() };
    let made = operator.service_accounts().create_service_account(request).await.unwrap().into_inner();
    made.service_account.unwrap().id
}

/// How often something was done, as the realm's log tells it.
async fn times(reader: &Caller, event: &str) -> usize {
    let request = pb::ListEventsRequest { page_size: 1000, ..Default::default() };
    let events = reader.audit().list_events(request).await.unwrap().into_inner().events;
    events.iter().filter(|line| line.event == event).count()
}

/// A replica whose clock is off refuses good tokens: it can tell, by the database's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_is_told_by_the_databases() {
    crate::support::run(crate::support::Backend::Postgres, async |app: &TestApp| {
        let skew = async || app.inner().app.clock_skew().await.unwrap().unwrap();
        assert!(skew().await.abs() < 5.0);
        app.clock().advance(std::time::Duration::from_secs(15));
        assert!((10.0..20.0).contains(&skew().await));
    })
    .await;
}
