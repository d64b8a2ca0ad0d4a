use crate::domain::snapshot::Resource;
use uuid::Uuid;

use super::*;
use crate::domain::account::{Approval, Verified, VerifiedHow};
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::organization::Contact;
use crate::domain::time::Timestamp;

fn scheme(name: &str, format: CodeFormat) -> CodeScheme {
    CodeScheme { name: name.into(), format, unique: false }
}

fn contracts() -> Policy {
    let code_schemes = vec![scheme("uei", CodeFormat::Uei), scheme("cage", CodeFormat::Cage)];
    Policy { code_schemes, ..Policy::default() }
}

fn ann() -> Email {
    Email::parse("Ann@Corp.Example").unwrap()
}

fn given(codes: &[(&str, &str)]) -> BTreeMap<String, String> {
    codes.iter().map(|(scheme, value)| ((*scheme).to_owned(), (*value).to_owned())).collect()
}

fn user(state: ApprovalState, verified: bool) -> User {
    User {
        id: UserId(Uuid::from_u128(1)),
        email: "ann@corp.example".into(),
        identity: "ann@corp.example".into(),
        display_name: "Ann".into(),
        approval: Approval { state, ..Approval::PENDING },
        holds: vec![],
        verified: verified.then_some(Verified { at: Timestamp(0), how: VerifiedHow::Link }),
        deleted_at: None,
        deleted_by: None,
        valid_from: None,
        valid_until: None,
        password_set: true,
        password_must_change: false,
        session_epoch: 0,
        manager: None,
        version: 1,
        created_at: Timestamp(0),
        last_sign_in_at: None,
        registrations: 1,
    }
}

fn member(state: MembershipState) -> Member {
    Member {
        user: UserId(Uuid::from_u128(1)),
        organization: OrganizationId(Uuid::from_u128(2)),
        state,
        attributes: BTreeMap::new(),
        created_at: Timestamp(0),
        decided_at: None,
        decided_by: None,
    }
}

fn company() -> Organization {
    Organization {
        id: OrganizationId(Uuid::from_u128(2)),
        slug: "corp".into(),
        title: "Corp".into(),
        kind: "company".into(),
        suspended: false,
        founded_at: None,
        entitlements: Default::default(),
        contacts: vec![],
        identifiers: Default::default(),
        version: 1,
        created_at: Timestamp(0),
    }
}

#[test]
fn codes_are_read_in_the_order_of_the_form() {
    let read = codes(&contracts(), Some(&ann()), &given(&[("cage", "1abc2"), ("uei", "Z1Y2X3W4V5U6")])).unwrap();
    let names: Vec<_> = read.iter().map(|code| (code.scheme.as_str(), code.value.as_str())).collect();
    assert_eq!(names, [("uei", "Z1Y2X3W4V5U6"), ("cage", "1ABC2")]);
}

#[test]
fn every_wrong_code_is_named_at_once() {
    let faults = codes(&contracts(), Some(&ann()), &given(&[("cage", "1AB"), ("duns", "1")])).unwrap_err();
    assert_eq!(
        faults,
        [
            ("duns".to_owned(), CodeFault::NotAsked),
            ("uei".to_owned(), CodeFault::Missing),
            ("cage".to_owned(), CodeFault::Form(IdentifierFault::Cage)),
        ]
    );
}

#[test]
fn the_domain_is_that_of_the_address_exactly() {
    let policy = Policy::default();
    assert_eq!(codes(&policy, Some(&ann()), &given(&[])).unwrap()[0].value, "corp.example");
    assert_eq!(codes(&policy, Some(&ann()), &given(&[("domain", "CORP.example")])).unwrap()[0].value, "corp.example");
    for other in ["example", "evil-corp.example", "corp.example.evil", "corp.example."] {
        let faults = codes(&policy, Some(&ann()), &given(&[("domain", other)])).unwrap_err();
        assert_eq!(faults, [("domain".to_owned(), CodeFault::OtherDomain)], "{other}");
    }
}

#[test]
fn nobody_makes_an_organization_of_a_public_mail_domain() {
    let policy = Policy::default();
    let public = codes(&policy, Some(&Email::parse("ann@gmail.com").unwrap()), &given(&[])).unwrap();
    assert!(!can_be_carried(&policy, &public));
    assert!(can_be_carried(&policy, &codes(&policy, Some(&ann()), &given(&[])).unwrap()));
    assert!(!can_be_carried(&policy, &[]));
}

#[test]
fn an_open_realm_asks_for_no_codes_but_reads_those_given() {
    let open = Policy { self_registration: SelfRegistration::Open, ..contracts() };
    assert_eq!(codes(&open, Some(&ann()), &given(&[])), Ok(vec![]));
    assert_eq!(codes(&open, Some(&ann()), &given(&[("cage", "1ABC2")])), Err(vec![("uei".into(), CodeFault::Missing)]));
}

#[test]
fn a_slug_is_made_of_codes() {
    let of = |values: &[&str]| {
        let codes: Vec<_> =
            values.iter().map(|value| Identifier { scheme: "x".into(), value: (*value).to_owned() }).collect();
        made_of(&codes)
    };
    assert_eq!(of(&["corp.example"]), ("corp.example".into(), "corp-example".into()));
    assert_eq!(of(&["Z1Y2X3W4V5U6", "1ABC2"]).1, "z1y2x3w4v5u6-1abc2");
    for odd in ["", "ü", "--", "018f2b7e-7b1a-7cc3-98c4-0123456789ab", &"a.".repeat(90)] {
        let slug = of(&[odd]).1;
        assert!(crate::domain::handle::is_slug(&slug), "{odd:?} {slug:?}");
    }
}

#[test]
fn only_what_nobody_decided_or_proved_begins_anew() {
    use ApprovalState::{Approved, Expired, Pending, Rejected};
    let policy = Policy::default();
    let lenient = Policy { reregistration_after_reject: true, reregistration_after_delete: true, ..Policy::default() };
    let judge = |policy: &Policy, state, verified| address(policy, Some((&user(state, verified), &[])), false);
    assert_eq!(judge(&policy, Pending, false), Address::Undecided);
    for verified in [false, true] {
        assert_eq!(judge(&policy, Approved, verified), Address::Taken);
        assert_eq!(judge(&policy, Rejected, verified), Address::Taken);
        assert_eq!(judge(&lenient, Rejected, verified), Address::Undecided);
        assert_eq!(judge(&policy, Expired, verified), Address::Undecided);
    }
    assert_eq!(judge(&policy, Pending, true), Address::Taken);
    let made = [member(MembershipState::Active)];
    assert_eq!(address(&policy, Some((&user(Pending, false), &made)), false), Address::Taken);
    assert_eq!(address(&policy, None, false), Address::Free);
    assert_eq!(address(&policy, None, true), Address::Taken);
    assert_eq!(address(&lenient, None, true), Address::Free);
}

#[test]
fn realm_wide_approvers_decide_where_an_organization_has_nobody() {
    let by = |approval, fallback| Policy { approval, approval_fallback_realm: fallback, ..Policy::default() };
    let organization = by(ApprovalBy::Organization, true);
    assert_eq!(deciders(&organization, Some(true)), Deciders::Organization);
    assert_eq!(deciders(&organization, Some(false)), Deciders::Realm);
    assert_eq!(deciders(&organization, None), Deciders::Realm);
    assert_eq!(deciders(&by(ApprovalBy::Organization, false), Some(false)), Deciders::Nobody);
    assert_eq!(deciders(&by(ApprovalBy::Realm, false), Some(true)), Deciders::Realm);
    assert_eq!(deciders(&by(ApprovalBy::Nobody, true), Some(true)), Deciders::Nobody);
}

#[test]
fn a_claimed_domain_is_hidden_until_the_address_is_proven() {
    assert!(is_hidden(&Policy::default(), false));
    assert!(!is_hidden(&Policy::default(), true));
    assert!(!is_hidden(&contracts(), false));
    let told = |policy: &Policy, deciders| (hear(policy, deciders, false), hear(policy, deciders, true));
    assert_eq!(told(&Policy::default(), Deciders::Organization), (false, true));
    assert_eq!(told(&Policy::default(), Deciders::Realm), (true, false));
    assert_eq!(told(&contracts(), Deciders::Organization), (true, false));
    assert_eq!(told(&contracts(), Deciders::Nobody), (false, false));
}

/// An organization that somebody made otherwise, and one that a registration made.
const THERE: Unfounded = Unfounded { by_registration: false, has_members: false, is_led: false };
const REGISTERED: Unfounded = Unfounded { by_registration: true, ..THERE };

#[test]
fn a_listed_contact_founds_as_long_as_nobody_holds_the_founding_role() {
    let policy =
        Policy { founding: Founding::ListedContact, founding_role: Some("administrator".into()), ..Policy::default() };
    let contact = |resource: Option<&str>| Contact {
        topic: "contracts".into(),
        resource: resource.map(|id| Resource { kind: "contract".into(), id: id.into() }),
        addresses: vec!["Ann@corp.example".into()],
    };
    let listed = Organization { contacts: vec![contact(None)], ..company() };
    assert_eq!(founding_role(&policy, &listed, "ann@corp.example", THERE), Some("administrator"));
    assert_eq!(founding_role(&policy, &listed, "\u{ff41}nn@corp.example", THERE), None, "another mailbox");
    assert_eq!(founding_role(&policy, &listed, "bob@corp.example", REGISTERED), None);
    assert_eq!(founding_role(&policy, &company(), "ann@corp.example", REGISTERED), None);
    let of_resource = Organization { contacts: vec![contact(Some("vehicle/1"))], ..company() };
    assert_eq!(founding_role(&policy, &of_resource, "ann@corp.example", THERE), None);
    let founded = Organization { founded_at: Some(Timestamp(1)), ..listed };
    assert_eq!(founding_role(&policy, &founded, "ann@corp.example", THERE), Some("administrator"));
    let led = Unfounded { is_led: true, ..THERE };
    assert_eq!(founding_role(&policy, &founded, "ann@corp.example", led), None);
}

#[test]
fn the_first_verified_founds_only_what_a_registration_made_and_nobody_is_in() {
    let founding = Founding::FirstVerified;
    let policy = Policy { founding, founding_role: Some("administrator".into()), ..Policy::default() };
    let founds = |unfounded| founding_role(&policy, &company(), "ann@corp.example", unfounded).is_some();
    assert!(founds(REGISTERED));
    assert!(!founds(THERE));
    assert!(!founds(Unfounded { has_members: true, ..REGISTERED }));
    let founded = Organization { founded_at: Some(Timestamp(1)), ..company() };
    assert_eq!(founding_role(&policy, &founded, "ann@corp.example", REGISTERED), None);
}
