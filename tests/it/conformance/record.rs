//! What is written is what is read, uniqueness is named alike, and the log is in the order of commits.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::account::{Approval, ApprovalState, Hold, HoldCause, User, Verified, VerifiedHow};
use countersign::domain::catalogue::{Assignable, Conditions, Role};
use countersign::domain::change::Key;
use countersign::domain::entry::{EntryRow, Origin};
use countersign::domain::ids::{EntryId, OrganizationId, PrincipalId, RoleId, SessionId, UserId};
use countersign::domain::organization::{Identifier, Member, Organization};
use countersign::domain::permission::{Pattern, Reach};
use countersign::domain::realm::Position;
use countersign::domain::session::{PUBLIC_CLIENT, SESSION_TTL, Session};
use countersign::domain::snapshot::{
    Confers, Entry, Membership, MembershipState, Principal, PrincipalKind, Resource, Scope, Window,
};
use countersign::domain::time::Timestamp;
use countersign::store::{Constraint, Error, NewUser};
use uuid::Uuid;

use super::{NOW, REALM, Record, commit};
use crate::support::both_backends;

const ANN: UserId = UserId(Uuid::from_u128(10));
const BOB: UserId = UserId(Uuid::from_u128(11));
const HOME: OrganizationId = OrganizationId(Uuid::from_u128(20));
const ROLE: RoleId = RoleId(Uuid::from_u128(30));

fn user(id: UserId, identity: &str) -> User {
    User {
        id,
        email: identity.to_uppercase(),
        identity: identity.into(),
        display_name: "Ann".into(),
        approval: Approval::decided(ApprovalState::Approved, NOW, Some(BOB.into()), Some("known".into())),
        holds: vec![],
        verified: Some(Verified { at: NOW, how: VerifiedHow::Link }),
        deleted_at: None,
        deleted_by: None,
        valid_from: Some(Timestamp(NOW.0 - 1)),
        valid_until: Some(Timestamp(NOW.0 + 1)),
        password_set: true,
        password_must_change: true,
        session_epoch: 7,
        manager: None,
        version: 1,
        created_at: NOW,
        last_sign_in_at: None,
        registrations: 1,
    }
}

fn home() -> Organization {
    Organization {
        id: HOME,
        slug: "home".into(),
        title: "Home".into(),
        kind: "company".into(),
        suspended: true,
        founded_at: None,
        entitlements: BTreeSet::from(["tax".to_owned(), "forms".to_owned()]),
        contacts: vec![],
        identifiers: BTreeSet::from([Identifier { scheme: "domain".into(), value: "home.example".into() }]),
        version: 1,
        created_at: NOW,
    }
}

fn role() -> Role {
    Role {
        id: ROLE,
        name: "clerk".into(),
        title: "Clerk".into(),
        description: String::new(),
        grants: vec![(Pattern::parse("orders.*").unwrap(), Reach::Own)],
        includes: vec![],
        assignable: Assignable { organization: true, ..Assignable::default() },
        restricted: false,
        resource_type: None,
        may_assign: vec![ROLE],
        conditions: Conditions::default(),
        topics: vec![("approvals".into(), Reach::Team)],
    }
}

fn entry(id: u128, confers: Confers, scope: Scope) -> Entry {
    Entry { id: EntryId(Uuid::from_u128(id)), confers, scope, resource: None, window: Window::ALWAYS }
}

fn entries() -> [Entry; 3] {
    let grant = Confers::Grant { pattern: Pattern::parse("orders.*").unwrap(), reach: Reach::Team };
    let resource = Resource { kind: "vehicle".into(), id: "Ä 1".into() };
    let window = Window::new(Some(Timestamp(NOW.0 - 5)), Some(Timestamp(NOW.0 + 5)));
    [
        entry(40, Confers::Role(ROLE), Scope::Organization(HOME)),
        Entry { window, ..entry(41, grant, Scope::Realm) },
        Entry { resource: Some(Box::new(resource)), ..entry(42, Confers::Role(ROLE), Scope::Organization(HOME)) },
    ]
}

fn attributes() -> BTreeMap<String, String> {
    BTreeMap::from([("territory".to_owned(), "north \"west\"".to_owned())])
}

async fn write_everything_about_ann(record: &Record) -> Position {
    let tx = record.change().await;
    let rows = tx.rows();
    rows.insert_user(NewUser { user: &user(BOB, "bob@home.example"), password_hash: None }).await.unwrap();
    rows.insert_user(NewUser { user: &user(ANN, "ann@home.example"), password_hash: Some("hash") }).await.unwrap();
    let hold = |cause| Hold { cause, at: NOW, by: Some(BOB.into()), note: Some("why".into()) };
    let holds = vec![hold(HoldCause::Inactivity), hold(HoldCause::Blocked)];
    rows.update_user(&User { manager: Some(BOB), holds, ..user(ANN, "ann@home.example") }).await.unwrap();
    rows.insert_organization(&home()).await.unwrap();
    rows.insert_role(&role(), NOW).await.unwrap();
    let member = Member {
        user: ANN,
        organization: HOME,
        state: MembershipState::Pending,
        attributes: attributes(),
        created_at: NOW,
        decided_at: None,
        decided_by: None,
    };
    rows.save_membership(&member).await.unwrap();
    for entry in entries() {
        let (principal, origin) = (ANN.into(), Origin::Actor);
        let row = EntryRow { principal, entry, assigned_by: Some(BOB.into()), assigned_at: NOW, origin };
        rows.insert_entry(&row).await.unwrap();
    }
    commit(tx, vec![Key::Principal(ANN.into())]).await.position
}

both_backends!(a_principal_is_read_as_it_was_written, crate::conformance::run, async |record: &Record| {
    let as_of = write_everything_about_ann(record).await;
    let loaded = record.store.loads(REALM).principal(ANN.into(), NOW).await.unwrap();
    let mut facts = user(ANN, "ann@home.example").facts();
    facts.holds = vec![HoldCause::Blocked, HoldCause::Inactivity];
    let membership = Membership {
        organization: HOME,
        kind: "company".into(),
        state: MembershipState::Pending,
        attributes: attributes(),
    };
    let expected = Principal {
        id: ANN.into(),
        realm: REALM,
        as_of: as_of.revision,
        kind: PrincipalKind::User(facts),
        memberships: vec![membership],
        manager: Some(BOB),
        entries: entries().into(),
        session_epoch: 7,
        ended_sessions: vec![],
    };
    assert_eq!(loaded.as_of, as_of);
    assert_eq!(loaded.value, Some(expected));
    assert_eq!(record.store.rows(REALM).organization(HOME).await.unwrap(), Some(home()));
    assert_eq!(record.store.rows(REALM).roles().await.unwrap(), [role()]);
    let (catalogue_as_of, ..) = record.store.loads(REALM).catalogue().await.unwrap();
    let loaded = record.store.loads(REALM).organization_facts(HOME).await.unwrap();
    assert_eq!((loaded.as_of, catalogue_as_of), (as_of, as_of));
    let facts = loaded.value.unwrap();
    assert_eq!((facts.kind.as_str(), facts.suspended, facts.as_of), ("company", true, as_of.revision));
    assert_eq!(facts.entitlements, ["forms", "tax"]);
});

both_backends!(
    an_ended_session_counts_however_long_ago_its_end_is_dated,
    crate::conformance::run,
    async |record: &Record| {
        write_everything_about_ann(record).await;
        let session = Session {
            id: SessionId(Uuid::from_u128(40)),
            user: ANN,
            client: PUBLIC_CLIENT.to_owned(),
            epoch: 7,
            created_at: NOW,
            expires_at: NOW.after(SESSION_TTL),
            ended_at: None,
            generation: 0,
            rotated_at: None,
            token_hash: None,
        };
        let tx = record.change().await;
        tx.rows().insert_session(&session).await.unwrap();
        // By a clock that is behind, or by who waited long for their turn: its newest tokens live.
        assert!(tx.rows().end_session(session.id, Timestamp(0)).await.unwrap());
        commit(tx, vec![Key::Principal(ANN.into())]).await;
        let ann = record.store.loads(REALM).principal(ANN.into(), NOW).await.unwrap().value.unwrap();
        assert_eq!(ann.ended_sessions, [session.id]);
    }
);

both_backends!(who_is_not_there_is_known_not_to_be_there, crate::conformance::run, async |record: &Record| {
    let as_of = write_everything_about_ann(record).await;
    let nobody = record.store.loads(REALM).principal(PrincipalId(Uuid::from_u128(99)), NOW).await.unwrap();
    assert_eq!((nobody.as_of, nobody.value), (as_of, None));
});

both_backends!(an_identity_is_one_live_accounts, crate::conformance::run, async |record: &Record| {
    write_everything_about_ann(record).await;
    let twin = user(UserId(Uuid::from_u128(12)), "ann@home.example");
    let tx = record.change().await;
    let taken = tx.rows().insert_user(NewUser { user: &twin, password_hash: None }).await.unwrap_err();
    assert!(matches!(taken, Error::Conflict(Constraint::Identity)), "{taken:?}");
    tx.rollback().await;

    let tx = record.change().await;
    let ann = tx.rows().user(ANN).await.unwrap().unwrap();
    tx.rows().update_user(&User { deleted_at: Some(NOW), ..ann }).await.unwrap();
    tx.rows().insert_user(NewUser { user: &twin, password_hash: None }).await.unwrap();
    commit(tx, vec![]).await;
    let found = record.store.rows(REALM).user_by_identity("ann@home.example").await.unwrap();
    assert_eq!(found.map(|user| user.id), Some(twin.id));
});

both_backends!(the_log_is_in_the_order_of_commits, crate::conformance::run, async |record: &Record| {
    let mut committed = vec![];
    for number in 0..5_u128 {
        let key = Key::Principal(PrincipalId(Uuid::from_u128(100 - number)));
        committed.push(commit(record.change().await, vec![key, Key::Organization(HOME), key]).await);
    }
    let quiet = commit(record.change().await, vec![]).await;
    assert_eq!(quiet.position, committed[4].position, "what changes no decision moves nothing");

    let from = committed[1].position.revision;
    let lines = record.store.log(&[(REALM, from)], 100).await.unwrap();
    let read: Vec<_> = lines.iter().map(|line| line.position).collect();
    let expected: Vec<_> = committed[1..].iter().flat_map(|made| [made.position; 2]).collect();
    assert_eq!(read, expected);
    for (pair, made) in lines.chunks(2).zip(&committed[1..]) {
        let keys: BTreeSet<_> = pair.iter().filter_map(|line| line.key).collect();
        assert_eq!(keys, made.keys.iter().copied().collect());
    }
    let rolled_back = record.change().await;
    rolled_back.rollback().await;
    assert_eq!(record.store.log(&[(REALM, from)], 100).await.unwrap(), lines);
});
