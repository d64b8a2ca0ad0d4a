//! Every RPC that writes leaves an event in the audit log, done or refused. The list of RPCs is the contract's.

use std::time::Duration;

use countersign::app::Requirement;
use countersign::crypto::random_mark;
use countersign::domain::audit::{AuditLine, Outcome};
use countersign::domain::ids::{EventId, PrincipalId, RealmId};
use countersign::grpc::access::{Method, Methods};
use countersign::grpc::pb::{self, EventOrder, Policy, Reach};
use countersign::store::{AuditFilter, Lock, Tx};

use crate::access::{Aim, Persona, Target, World, cast, leaver, request};
use crate::support::{At, Caller, Portal, Reachable as _, TestApp, both_backends, everywhere, grants, role, within};

/// Where each RPC is tried: what it can be about first.
const TARGETS: [Target; 3] = [Target::OwnOrganization, Target::Realm, Target::Oneself];

both_backends!(every_writing_rpc_leaves_an_event_of_whoever_called, async |app: &TestApp| {
    let world = World::open(app).await;
    let personas = cast(&world).await.personas;
    let named = |name: &str| personas.iter().find(|persona| persona.name == name).unwrap();
    for (path, method) in Methods::read().unwrap().all().into_iter().filter(|(_, method)| method.writes) {
        let open = method.needs == Requirement::Public;
        // The one whom a missing permission stops, the one whom a gate does. To act on oneself takes no permission.
        let only_own = matches!(&method.needs, Requirement::Any { permissions, own: true } if permissions.is_empty());
        let unpermitted = Some(named("member")).filter(|_| !only_own);
        for refused in unpermitted.into_iter().chain([named("newcomer")]).filter(|_| !open) {
            let message = asked(&world, method, refused).await;
            let before = count(&world).await;
            world.wire.call(&refused.carried, path, message).await.unwrap_err();
            assert_eq!(new_events(&world, before).await, [told(method.name, refused, true)], "{}", method.name);
        }
        // The operator has no password to change, and joins nothing.
        let leaver = if method.needs == Requirement::OwnPassword { Some(leaver(&world).await) } else { None };
        let doer = leaver.as_ref().unwrap_or(named(if only_own { "member" } else { "operator" }));
        let message = asked(&world, method, doer).await;
        let before = count(&world).await;
        world.wire.call(&doer.carried, path, message).await.unwrap();
        let events = new_events(&world, before).await;
        assert!(!events.is_empty(), "{} left no event", method.name);
        assert!(events.iter().all(|event| *event == told(method.name, doer, false)), "{events:?}");
    }
});

both_backends!(a_reading_rpc_leaves_none, async |app: &TestApp| {
    let world = World::open(app).await;
    let personas = cast(&world).await.personas;
    for (path, method) in Methods::read().unwrap().all().into_iter().filter(|(_, method)| !method.writes) {
        for who in &personas {
            let message = asked(&world, method, who).await;
            let before = count(&world).await;
            let _answered = world.wire.call(&who.carried, path, message).await;
            assert_eq!(count(&world).await, before, "{} by {}", method.name, who.name);
        }
    }
});

type Event = (String, Option<PrincipalId>, bool);

fn told(rpc: &str, who: &Persona, refused: bool) -> Event {
    (rpc.to_owned(), Some(PrincipalId(who.id.parse().unwrap())), refused)
}

async fn asked(world: &World<'_>, method: &Method, who: &Persona) -> Vec<u8> {
    for target in TARGETS {
        if let Some(message) = Box::pin(request(world, method, "", Aim { target, who })).await {
            return message;
        }
    }
    panic!("{} is about none of {TARGETS:?}", method.name)
}

async fn count(world: &World<'_>) -> usize {
    world.told(100_000).await.len()
}

/// The events since there were so many, newest first.
async fn new_events(world: &World<'_>, before: usize) -> Vec<Event> {
    let mut events = world.told(100_000).await;
    events.truncate(events.len() - before);
    events
}

both_backends!(a_flood_of_anonymous_refusals_is_a_line_a_minute, async |app: &TestApp| {
    let portal = app.realm("flooded", Policy::default()).await;
    let rows = app.inner().app.store().rows(app.inner().app.store().realm_named("flooded").await.unwrap().unwrap().id);
    let filter = AuditFilter::default();
    let wrong = "a password that nobody chose";
    for n in 0..25 {
        let email = format!("nobody-{n}@nowhere.example");
        portal.stranger.register(&email, "Nobody", &[]).await.unwrap_err();
        portal.stranger.verify("nonsense").await.unwrap_err();
        let request = pb::SignInRequest { email, password: wrong.to_owned() };
        portal.stranger.sessions().sign_in(request).await.unwrap_err();
    }
    app.clock().advance(std::time::Duration::from_secs(120));
    app.inner().app.write_refusals(app.clock().now()).await.unwrap();
    let mut lines = rows.list_audit(&filter, None, 1_000).await.unwrap();
    lines.retain(|event| event.line.details["event"] == "refusals.counted");
    // Three for each minute that it took.
    assert!((3..=30).contains(&lines.len()), "{lines:?}");
    let counted = |rpc: &str, reason: &str| {
        let of = lines.iter().filter(|event| event.line.action == rpc && event.line.reason.as_deref() == Some(reason));
        of.map(|event| event.line.details["count"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(counted("Register", "CODES_UNKNOWN"), 25);
    assert_eq!(counted("VerifyEmail", "CODE_INVALID"), 25);
    assert_eq!(counted("SignIn", "SIGN_IN_FAILED"), 25);
});

both_backends!(guesses_beside_a_bearer_are_counted_and_name_the_account, async |app: &TestApp| {
    let policy = countersign::grpc::pb::Policy {
        self_registration: countersign::grpc::pb::SelfRegistration::Open.into(),
        approval: countersign::grpc::pb::ApprovalAuthority::None.into(),
        base_url: "https://open.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("open", policy).await;
    portal.newcomer(app, "ann@acme.example", &[]).await;
    let ann = portal.operator.user("ann@acme.example").await.unwrap().id;
    let front_end = app.as_key(&portal.operator.service("front-end").await.unwrap());
    for _ in 0..3 {
        front_end.sign_in_with("ann@acme.example", "a password that nobody chose").await.unwrap_err();
    }
    app.clock().advance(std::time::Duration::from_secs(120));
    app.inner().app.write_refusals(app.clock().now()).await.unwrap();
    let about = countersign::grpc::pb::ListEventsRequest { target: ann, ..Default::default() };
    let events = portal.operator.audit().list_events(about).await.unwrap().into_inner().events;
    let guesses: Vec<_> = events.iter().filter(|event| event.event == "refusals.counted").collect();
    assert!(!guesses.is_empty(), "{events:#?}");
    for guess in guesses {
        assert_eq!(guess.action, "SignIn");
        assert_eq!(guess.actor.as_ref().map(|actor| actor.handle.as_str()), Some("front-end"));
    }
    app.mailed().await;
});

both_backends!(refreshes_are_one_event_an_hour, async |app: &TestApp| {
    let portal = open_realm(app, "refreshed").await;
    portal.person(app, "ann@refreshed.example", &[], &[]).await;
    let mut token = portal.stranger.begin("ann@refreshed.example").await.unwrap().refresh_token;
    // Away from the end of an hour, so that the next refreshes are of one.
    let hour = 3_600_000_000;
    let left = u64::try_from(hour - app.clock().now().0.rem_euclid(hour)).unwrap();
    app.clock().advance(Duration::from_micros(left));
    for (refreshes, events) in [(1, 1), (4, 1)] {
        for _ in 0..refreshes {
            token = portal.stranger.refresh(&token).await.unwrap().refresh_token;
        }
        assert_eq!(portal.operator.times(["session.refreshed"]).await, [events]);
    }
    app.clock().advance(Duration::from_secs(3_600));
    portal.stranger.refresh(&token).await.unwrap();
    assert_eq!(portal.operator.times(["session.refreshed"]).await, [2]);
});

both_backends!(who_follows_the_log_misses_nothing_that_is_committed_late, async |app: &TestApp| {
    let portal = open_realm(app, "followed").await;
    let mut follower = Follower { caller: &portal.operator, token: String::new(), seen: vec![] };
    // On SQLite nobody else writes meanwhile.
    let shared = app.inner().app.store().is_shared();
    let late = if shared { Some(written(app, "followed", "Late").await) } else { None };
    portal.declare(&["orders.ship"]).await;
    follower.until("DeclarePermission").await;
    assert!(!follower.seen.contains(&"Late".to_owned()));
    let late = match late {
        Some(late) => late,
        None => written(app, "followed", "Late").await,
    };
    late.commit(vec![], random_mark(), app.clock().now()).await.unwrap();
    follower.until("Late").await;
    portal.declare(&["orders.pack"]).await;
    follower.until("DeclarePermission").await;
    let all = pb::ListEventsRequest { page_size: 1_000, ..Default::default() };
    let log = portal.operator.audit().list_events(all).await.unwrap();
    let mut log: Vec<_> = log.into_inner().events.into_iter().map(|event| event.action).collect();
    log.sort_unstable();
    follower.seen.sort_unstable();
    assert_eq!(follower.seen, log, "each event, and each once");
});

both_backends!(events_are_dropped_once_they_are_older_than_they_are_kept, async |app: &TestApp| {
    let portal = open_realm(app, "old").await;
    portal.declare(&["orders.ship"]).await;
    let (inner, day) = (&app.inner().app, Duration::from_secs(86_400));
    let now = app.clock().now();
    assert_eq!(inner.forget_audit(now.after(399 * day)).await.unwrap(), 0);
    assert!(inner.forget_audit(now.after(401 * day)).await.unwrap() > 0);
    assert_eq!(portal.operator.times(["permission.declared"]).await, [0]);
});

both_backends!(a_flood_of_one_accounts_refusals_is_two_lines_a_minute, async |app: &TestApp| {
    let portal = open_realm(app, "refused").await;
    let ann = portal.person(app, "ann@refused.example", &[], &[]).await;
    for _ in 0..60 {
        ann.caller.suspend("somebody@refused.example", "why").await.unwrap_err();
    }
    app.clock().advance(Duration::from_secs(120));
    app.inner().app.write_refusals(app.clock().now()).await.unwrap();
    let request = pb::ListEventsRequest { action: "SuspendUser".to_owned(), ..Default::default() };
    let lines = portal.operator.audit().list_events(request).await.unwrap().into_inner().events;
    // Two for each minute that it took.
    assert!((2..=8).contains(&lines.len()), "{lines:?}");
    assert_eq!(lines.iter().map(|line| line.count).sum::<i32>(), 60);
    assert!(lines.iter().all(|line| line.actor.as_ref().is_some_and(|actor| actor.handle == "ann@refused.example")));
    assert!(lines.iter().any(|line| !line.request_id.is_empty()));
});

both_backends!(a_manager_reads_what_was_done_to_the_team, async |app: &TestApp| {
    let portal = open_realm(app, "led").await;
    let leads = pb::CreateRoleRequest {
        grants: grants(Reach::Team, &["countersign.audit.read", "countersign.users.read"]),
        assignable: Some(within(&[])),
        ..role("leads")
    };
    portal.define([leads]).await;
    let request = pb::CreateOrganizationRequest { slug: "led".into(), title: "Led".into(), ..Default::default() };
    portal.organization(request).await;
    let mut people = vec![];
    for email in ["lea@led.example", "mo@led.example", "eve@led.example"] {
        portal.newcomer(app, email, &[]).await;
        portal.operator.approve(email).await.unwrap();
        portal.operator.add_member("led", email).await.unwrap();
        people.push(portal.enter(app, email).await);
    }
    portal.operator.assign("lea@led.example", "leads", At::Organization("led")).await.unwrap();
    portal.operator.set_manager("mo@led.example", "lea@led.example").await.unwrap();
    for email in ["mo@led.example", "eve@led.example"] {
        portal.operator.suspend(email, "on leave").await.unwrap();
    }
    let about = async |target: &str| {
        let request = pb::ListEventsRequest { target: target.into(), ..Default::default() };
        let events = people[0].caller.audit().list_events(request).await.unwrap().into_inner().events;
        events.into_iter().map(|event| event.event).collect::<Vec<_>>()
    };
    assert!(about("mo@led.example").await.contains(&"user.suspended".to_owned()));
    assert_eq!(about("eve@led.example").await, Vec::<String>::new());
    // What they did themselves: signing in names who did, and where they belong.
    let request = pb::ListEventsRequest { actor: "mo@led.example".into(), ..Default::default() };
    let own = people[0].caller.audit().list_events(request).await.unwrap().into_inner().events;
    let entered = own.iter().find(|event| event.event == "session.started").unwrap();
    assert_eq!(entered.actor.as_ref().unwrap().handle, "mo@led.example");
    assert_eq!(entered.organization.as_ref().unwrap().slug, "led");
});

both_backends!(what_a_platform_account_did_names_it, async |app: &TestApp| {
    let portal = open_realm(app, "named").await;
    let ships = pb::CreateRoleRequest { assignable: Some(everywhere(&[])), ..role("ships") };
    portal.define([ships]).await;
    portal.newcomer(app, "ann@named.example", &[]).await;
    let approved = portal.operator.approve("ann@named.example").await.unwrap();
    let entry = portal.operator.assign("ann@named.example", "ships", At::Realm).await.unwrap();
    for by in [approved.approval.unwrap().by.unwrap(), entry.created_by.unwrap()] {
        assert_eq!((by.kind(), by.handle.is_empty()), (pb::PrincipalKind::ServiceAccount, false), "{by:?}");
    }
});

/// A realm into which anybody may come.
async fn open_realm(app: &TestApp, name: &str) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: format!("https://{name}.example"),
        ..Default::default()
    };
    app.realm(name, policy).await
}

/// A line that is written, in a transaction that is not committed.
async fn written(app: &TestApp, realm: &str, action: &str) -> Tx {
    let store = app.inner().app.store();
    let realm: RealmId = store.realm_named(realm).await.unwrap().unwrap().id;
    let tx = store.begin(realm, Lock::Nothing).await.unwrap();
    let line = AuditLine {
        id: EventId(app.clock().new_id()),
        at: app.clock().now(),
        action: action.to_owned(),
        organization: None,
        actor: None,
        impersonator: None,
        target: None,
        outcome: Outcome::Done,
        reason: None,
        details: serde_json::json!({}),
        peer: None,
        request_id: None,
        trace_id: None,
    };
    tx.rows().append_audit(&[line]).await.unwrap();
    tx
}

/// Somebody who follows the log, and the actions seen so far.
struct Follower<'a> {
    caller: &'a Caller,
    token: String,
    seen: Vec<String>,
}

impl Follower<'_> {
    /// Reads on, a few events at a time, until one of this action is new.
    async fn until(&mut self, action: &str) {
        let found = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let request = pb::ListEventsRequest {
                    order: EventOrder::AsLogged.into(),
                    page_size: 2,
                    page_token: std::mem::take(&mut self.token),
                    ..Default::default()
                };
                let page = self.caller.audit().list_events(request).await.unwrap().into_inner();
                self.token = page.next_page_token;
                let new: Vec<_> = page.events.into_iter().map(|event| event.action).collect();
                let done = new.iter().any(|new| new == action);
                self.seen.extend(new);
                if done {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(found.await.is_ok(), "{action} never came: {:?}", self.seen);
    }
}
