//! Whom a client's certificate stands for: the service account that has its SPIFFE id, and nobody else.

use std::time::Duration;

use countersign::domain::change::Key;
use countersign::grpc::pb::{self, ErrorReason, Reach, get_me_response::Principal};
use countersign::store::Lock;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::{Authority, World, run};
use crate::support::{ALLOWED, At, Caller, ask, both_backends, everywhere, grants, refusal, role};

const TILL: &str = "spiffe://example.org/till";
const MISSING: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialMissing);
const INVALID: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
const CONFLICT: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialsConflict);

/// A realm whose accounts may be any workload of the domain, by its operator.
async fn realm(world: &World, name: &str) -> Caller {
    realm_of(world, name, &["spiffe://example.org/"]).await
}

async fn realm_of(world: &World, name: &str, prefixes: &[&str]) -> Caller {
    let operator = world.operator().await;
    let created = pb::CreateRealmRequest { name: name.to_owned(), ..Default::default() };
    operator.realms().create_realm(created).await.unwrap();
    let operator = operator.in_realm(name);
    give(&operator, prefixes).await.unwrap();
    operator
}

/// Gives the caller's realm these prefixes.
async fn give(operator: &Caller, prefixes: &[&str]) -> Result<(), Status> {
    let spiffe_prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    let request = pb::UpdateRealmRequest { spiffe_prefixes, ..Default::default() };
    operator.realms().update_realm(request).await.map(drop)
}

async fn account(operator: &Caller, name: &str, spiffe_id: &str) -> String {
    let asked = pb::CreateServiceAccountRequest {
        name: name.to_owned(),
        spiffe_id: spiffe_id.to_owned(),
        ..Default::default()
    };
    let made = operator.service_accounts().create_service_account(asked).await.unwrap().into_inner();
    made.service_account.unwrap().id
}

/// The account of whoever calls.
async fn me(caller: &Caller) -> Result<String, Status> {
    match caller.sessions().get_me(pb::GetMeRequest {}).await?.into_inner().principal.unwrap() {
        Principal::ServiceAccount(account) => Ok(account.name),
        Principal::User(user) => panic!("{user:?}"),
    }
}

/// What DisableServiceAccount does, beneath it.
async fn disable(world: &World, realm: &str, name: &str) {
    let app = &world.app.inner().app;
    let realm = app.store().realm_named(realm).await.unwrap().unwrap();
    let tx = app.store().begin(realm.id, Lock::Realm).await.unwrap();
    let mut account = tx.rows().service_account_named(name).await.unwrap().unwrap();
    account.disabled_at = Some(app.clock().now());
    tx.rows().update_service_account(&account).await.unwrap();
    let stale = vec![Key::Principal(account.id.into())];
    let committed = tx.commit(stale, countersign::crypto::random_mark(), app.clock().now()).await.unwrap();
    app.snapshots().committed(&committed).await;
}

both_backends!(a_certificate_stands_for_its_account_until_that_is_disabled, run, async |world: &World| {
    let operator = realm(world, "acme").await;
    let id = account(&operator, "till", TILL).await;
    let asks = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.access.check"]),
        assignable: Some(everywhere(&[])),
        ..role("asks")
    };
    operator.roles().create_role(asks).await.unwrap();
    operator.assign("till", "asks", At::Realm).await.unwrap();

    let till = world.holder(&world.authority.client(&[TILL])).await;
    assert_eq!(me(&till).await.unwrap(), "till");
    assert_eq!(till.check(ask(&id, "countersign.access.check")).await.unwrap(), ALLOWED);
    assert_eq!(refusal(me(&till.clone().in_realm("default")).await).0, Code::NotFound);

    disable(world, "acme", "till").await;
    assert_eq!(refusal(me(&till).await), INVALID);
    assert_eq!(refusal(till.check(ask(&id, "countersign.access.check")).await), INVALID);
});

// Also on the very connection that was a stranger's a moment ago.
both_backends!(a_certificate_is_nobodys_until_an_account_has_its_id, run, async |world: &World| {
    let operator = realm(world, "acme").await;
    let till = world.holder(&world.authority.client(&[TILL])).await;
    for _ in 0..3 {
        assert_eq!(refusal(me(&till).await), MISSING);
    }
    let with_key = till.clone().with_credential(&operator.service("other").await.unwrap());
    assert_eq!(me(&with_key).await.unwrap(), "other", "nobody's certificate is transport alone");
    account(&operator, "till", TILL).await;
    assert_eq!(me(&till).await.unwrap(), "till");
    assert_eq!(refusal(me(&with_key).await), CONFLICT);
    let bad_key = till.clone().with_credential("cs_nonsense");
    assert_eq!(refusal(me(&bad_key).await).0, Code::Unauthenticated);
});

// Class 19, fail-open on what is not exactly as expected: a certificate of somebody else's authority, one with two
// names, and a header that only claims to be one.
both_backends!(what_is_not_proven_stands_for_nobody, run, async |world: &World| {
    let operator = realm(world, "acme").await;
    account(&operator, "till", TILL).await;
    account(&operator, "desk", "spiffe://example.org/desk").await;

    let stranger = Authority::new().client(&[TILL]);
    if let Ok(channel) = world.connect(Some(&stranger)).await {
        assert!(me(&Caller::over(channel)).await.is_err(), "a stranger's authority is believed");
    }
    for names in [
        &[TILL, "spiffe://example.org/desk"][..],
        &[TILL, TILL],
        &[TILL, "https://example.org/till"],
        &["spiffe://example.org"],
        &["https://example.org/till"],
        &["SPIFFE://example.org/till"],
        &["spiffe://example.org/till/"],
        &[],
    ] {
        let caller = world.holder(&world.authority.client(names)).await;
        assert_eq!(refusal(me(&caller).await), MISSING, "{names:?}");
    }

    let mut forged = tonic::Request::new(pb::GetMeRequest {});
    let claim = MetadataValue::try_from(format!("By=spiffe://mesh;Hash=00;URI={TILL}")).unwrap();
    forged.metadata_mut().insert("x-forwarded-client-cert", claim);
    let anonymous = world.anonymous().await;
    assert_eq!(refusal(anonymous.sessions().get_me(forged).await), MISSING);
});

both_backends!(a_certificate_ends_also_on_a_connection_that_lasts, run, async |world: &World| {
    let operator = realm(world, "acme").await;
    account(&operator, "till", TILL).await;
    // A certificate writes years before 2050 in another form than later ones (RFC 5280 section 4.1.2.5).
    let first = world.holder(&world.authority.client_until(&[TILL], 2045)).await;
    let second = world.holder(&world.authority.client_until(&[TILL], 2060)).await;
    for (years, first_ends, second_ends) in [(0, false, false), (25, true, false), (25, true, true)] {
        world.app.clock().advance(Duration::from_secs(years * 366 * 86_400));
        for (caller, ended) in [(&first, first_ends), (&second, second_ends)] {
            let answer = me(caller).await;
            assert_eq!(answer.is_err(), ended, "after {years} more years: {answer:?}");
            assert!(!ended || refusal(answer) == INVALID);
        }
    }
});

// An identity that somebody has shuts out everybody else: not an organization's to take.
both_backends!(who_manages_accounts_of_one_organization_names_no_workload, run, async |world: &World| {
    let operator = realm(world, "acme").await;
    operator
        .organizations()
        .create_organization(pb::CreateOrganizationRequest {
            slug: "shop".to_owned(),
            title: "Shop".to_owned(),
            kind: "company".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    let manages = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.service_accounts.manage"]),
        assignable: Some(crate::support::within(&[])),
        ..role("manages")
    };
    operator.roles().create_role(manages).await.unwrap();
    let key = operator.service("manager").await.unwrap();
    operator.assign("manager", "manages", At::Organization("shop")).await.unwrap();
    let manager = world.anonymous().await.with_credential(&key);
    let mut asked = pb::CreateServiceAccountRequest {
        name: "till".to_owned(),
        organization: "shop".to_owned(),
        spiffe_id: TILL.to_owned(),
        ..Default::default()
    };
    let refused = manager.service_accounts().create_service_account(asked.clone()).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::WrongOrganization));
    asked.spiffe_id = String::new();
    manager.service_accounts().create_service_account(asked).await.unwrap();
});

// Class 37: what a realm's accounts may be is the platform's to say, and no other realm hears of it.
both_backends!(a_realm_names_no_workload_of_another, run, async |world: &World| {
    let shop = realm_of(world, "shop", &["spiffe://example.org/shop/"]).await;
    let bank = realm_of(world, "bank", &["spiffe://example.org/bank/", "spiffe://other.example/"]).await;
    let named = |name: &str, spiffe_id: &str| pb::CreateServiceAccountRequest {
        name: name.to_owned(),
        spiffe_id: spiffe_id.to_owned(),
        ..Default::default()
    };
    shop.service_accounts().create_service_account(named("till", "spiffe://example.org/shop/till")).await.unwrap();
    let mut told = vec![];
    for (name, spiffe_id) in [("taken", "spiffe://example.org/shop/till"), ("free", "spiffe://example.org/shop/desk")] {
        let refused = bank.service_accounts().create_service_account(named(name, spiffe_id)).await.unwrap_err();
        told.push(refused.message().replace(spiffe_id, "ID"));
        assert_eq!(refusal::<()>(Err(refused)), (Code::InvalidArgument, ErrorReason::InvalidFields));
    }
    assert_eq!(told[0], told[1], "whether somebody has it is not told");
    // Nobody of the realm gives it more, and the platform gives nothing twice.
    let manages = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.realm.configure"]),
        assignable: Some(everywhere(&[])),
        ..role("configures")
    };
    bank.roles().create_role(manages).await.unwrap();
    let key = bank.service("configurer").await.unwrap();
    bank.assign("configurer", "configures", At::Realm).await.unwrap();
    let configurer = world.anonymous().await.with_credential(&key);
    let refused = give(&configurer, &["spiffe://example.org/"]).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    for overlapping in ["spiffe://example.org/", "spiffe://example.org/shop/", "spiffe://example.org/shop/till/"] {
        let refused = give(&bank, &[overlapping]).await;
        assert_eq!(refusal(refused), (Code::AlreadyExists, ErrorReason::IdentifierTaken), "{overlapping}");
    }
    // Where an account has an id that its realm was given once, the id stays its own.
    give(&shop, &["spiffe://example.org/elsewhere/"]).await.unwrap();
    let refused = give(&bank, &["spiffe://example.org/shop/"]).await;
    assert_eq!(refusal(refused), (Code::AlreadyExists, ErrorReason::IdentifierTaken));
});

// Beside a key of one realm, a certificate of another realm's account is transport.
both_backends!(a_certificate_of_another_realm_beside_a_key_is_transport, run, async |world: &World| {
    let shop = realm_of(world, "shop", &["spiffe://example.org/"]).await;
    account(&shop, "till", TILL).await;
    let bank = realm_of(world, "bank", &["spiffe://other.example/"]).await;
    let with_certificate = world.holder(&world.authority.client(&[TILL])).await;
    let teller = with_certificate.clone().with_credential(&bank.service("teller").await.unwrap());
    assert_eq!(me(&teller).await.unwrap(), "teller");
    let same_realm = with_certificate.clone().with_credential(&shop.service("desk").await.unwrap());
    assert_eq!(refusal(me(&same_realm).await), CONFLICT);
    assert_eq!(refusal(me(&with_certificate.with_credential("cs_nonsense")).await), INVALID);
});

// Class 37: each authority vouches for the workloads of its own trust domain.
both_backends!(an_authority_names_no_workload_of_another_trust_domain, run, async |world: &World| {
    let operator = realm_of(world, "acme", &["spiffe://example.org/", "spiffe://other.example/"]).await;
    account(&operator, "till", TILL).await;
    account(&operator, "far", "spiffe://other.example/far").await;
    let till = world.holder(&world.authority.client(&[TILL])).await;
    assert_eq!(me(&till).await.unwrap(), "till");
    let far = world.holder(&world.other.client(&["spiffe://other.example/far"])).await;
    assert_eq!(me(&far).await.unwrap(), "far");
    let forged = [
        world.other.client(&[TILL]),
        world.authority.client(&["spiffe://other.example/far"]),
        world.authority.client(&["spiffe://third.example/far"]),
    ];
    for certificate in &forged {
        if let Ok(channel) = world.connect(Some(certificate)).await {
            assert!(me(&Caller::over(channel)).await.is_err(), "an authority is believed beyond its domain");
        }
    }
});
