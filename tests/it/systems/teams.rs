//! A design platform of one company, in which everybody has a manager. People register, the realm approves them, and
//! they are added to the company.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach, TeamDepth};
use tonic::Code;

use crate::support::{
    ALLOWED, Caller, Person, Portal, TestApp, Verdict, ask, both_backends, by_default, denied, everywhere, grants,
    refusal, role, text, within,
};

const STUDIO: &str = "studio";

fn policy(team: TeamDepth) -> Policy {
    Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        team: team.into(),
        base_url: "https://design.example".to_owned(),
        ..Default::default()
    }
}

fn roles() -> [pb::CreateRoleRequest; 3] {
    let team = ["designs.see_activity", "analytics.download", "countersign.users.read", "countersign.users.suspend"];
    [
        pb::CreateRoleRequest {
            grants: [
                grants(Reach::Own, &["designs.open"]),
                grants(Reach::All, &["categories.open_general", "layers.unlock_gray"]),
            ]
            .concat(),
            assignable: Some(by_default(within(&[]))),
            ..role("user")
        },
        pb::CreateRoleRequest {
            grants: [grants(Reach::Team, &team), grants(Reach::Own, &["analytics.download"])].concat(),
            includes: text(&["user"]),
            assignable: Some(within(&[])),
            ..role("manager")
        },
        pb::CreateRoleRequest {
            grants: grants(Reach::All, &["countersign.access.check"]),
            assignable: Some(everywhere(&[])),
            ..role("design_service")
        },
    ]
}

/// Two managers, a lead in the team of the first, and one person in each of the three teams.
struct Studio {
    portal: Portal,
    service: Caller,
    organization: String,
    m1: Person,
    m2: Person,
    lead: Person,
    of_m1: Person,
    of_m2: Person,
    of_lead: Person,
}

impl Studio {
    async fn open(app: &TestApp, team: TeamDepth) -> Self {
        let portal = app.realm("design", policy(team)).await;
        portal.declare(&["designs.open", "designs.see_activity", "analytics.download"]).await;
        portal.declare(&["categories.open_general", "layers.unlock_gray"]).await;
        portal.define(roles()).await;
        let request =
            pb::CreateOrganizationRequest { slug: STUDIO.to_owned(), title: "Studio".to_owned(), ..Default::default() };
        let organization = portal.organization(request).await;
        let service = portal.service(app, "designs", "design_service").await;
        let employ = async |name: &str, roles: &[&str], manager: Option<&Person>| {
            employ(app, &portal, name, roles, manager).await
        };
        let m1 = employ("m1", &["manager"], None).await;
        let m2 = employ("m2", &["manager"], None).await;
        let lead = employ("lead", &["manager"], Some(&m1)).await;
        let of_m1 = employ("of-m1", &[], Some(&m1)).await;
        let of_m2 = employ("of-m2", &[], Some(&m2)).await;
        let of_lead = employ("of-lead", &[], Some(&lead)).await;
        Self { portal, service, organization, m1, m2, lead, of_m1, of_m2, of_lead }
    }

    /// Whether somebody sees what somebody else does.
    async fn sees(&self, who: &Person, whose: &Person) -> Verdict {
        let question = pb::CheckPermissionRequest {
            owner: whose.id.clone(),
            organization: self.organization.clone(),
            ..ask(&who.id, "designs.see_activity")
        };
        self.service.check(question).await.unwrap()
    }
}

/// Has somebody register, approves them for the realm, and adds them to the company and to a team.
async fn employ(app: &TestApp, portal: &Portal, name: &str, roles: &[&str], manager: Option<&Person>) -> Person {
    let email = format!("{name}@design.example");
    portal.newcomer(app, &email, &[]).await;
    let expected = ["Registration: Admin Approval Required", "Verify your e-mail address"];
    assert_eq!(app.mailed().await, expected.map(|subject| format!("{email}: {subject}")));
    portal.operator.approve(&email).await.unwrap();
    let membership = portal.operator.add_member(STUDIO, &email).await.unwrap();
    assert_eq!(membership.state(), pb::MembershipState::Active);
    for role in roles {
        portal.operator.assign(&email, role, crate::support::At::Organization(STUDIO)).await.unwrap();
    }
    if let Some(manager) = manager {
        portal.operator.set_manager(&email, &manager.email).await.unwrap();
    }
    let approved = [format!("{email}: Your registration was approved")];
    let assigned = roles.iter().map(|_| format!("{email}: A role was assigned to you"));
    assert_eq!(app.mailed().await, assigned.chain(approved).collect::<Vec<_>>());
    portal.enter(app, &email).await
}

both_backends!(a_manager_reaches_the_own_team_and_nobody_below_it, async |app: &TestApp| {
    let studio = Studio::open(app, TeamDepth::Direct).await;
    let Studio { m1, m2, lead, of_m1, of_m2, of_lead, .. } = &studio;
    let out_of_reach = denied(ErrorReason::OutOfReach);
    for (who, whose, verdict) in [
        (m1, of_m1, ALLOWED),
        (m1, lead, ALLOWED),
        (m1, of_lead, out_of_reach),
        (m1, of_m2, out_of_reach),
        (m1, m2, out_of_reach),
        (m1, m1, out_of_reach),
        (lead, of_lead, ALLOWED),
        (lead, m1, out_of_reach),
        (m2, of_m2, ALLOWED),
        (m2, of_m1, out_of_reach),
        (of_m1, m1, denied(ErrorReason::NoSuchEntry)),
    ] {
        assert_eq!(studio.sees(who, whose).await, verdict, "{} of {}", who.email, whose.email);
    }
    assert_eq!(team_of(m1).await, ["lead", "of-m1"]);
    assert_eq!(team_of(m2).await, ["of-m2"]);
    assert_eq!(team_of(lead).await, ["of-lead"]);
});

both_backends!(where_the_realm_says_chain_a_manager_also_reaches_those_below, async |app: &TestApp| {
    let studio = Studio::open(app, TeamDepth::Chain).await;
    let Studio { m1, m2, lead, of_m1, of_m2, of_lead, .. } = &studio;
    let out_of_reach = denied(ErrorReason::OutOfReach);
    for (who, whose, verdict) in [
        (m1, of_m1, ALLOWED),
        (m1, lead, ALLOWED),
        (m1, of_lead, ALLOWED),
        (m1, of_m2, out_of_reach),
        (lead, m1, out_of_reach),
        (m2, of_lead, out_of_reach),
    ] {
        assert_eq!(studio.sees(who, whose).await, verdict, "{} of {}", who.email, whose.email);
    }
    assert_eq!(team_of(m1).await, ["lead", "of-m1", "of-lead"]);
    assert_eq!(team_of(m2).await, ["of-m2"]);
});

both_backends!(what_a_manager_does_to_others_people_finds_nobody, async |app: &TestApp| {
    let studio = Studio::open(app, TeamDepth::Direct).await;
    let Studio { portal, m1, m2, lead, of_m1, of_m2, of_lead, .. } = &studio;
    let not_found = (Code::NotFound, ErrorReason::NotFound);
    for beyond in [of_m2, m2, of_lead] {
        assert_eq!(refusal(m1.caller.user(&beyond.email).await), not_found, "{}", beyond.email);
        assert_eq!(refusal(m1.caller.suspend(&beyond.email, "why not").await), not_found, "{}", beyond.email);
        let untouched = portal.operator.user(&beyond.id).await.unwrap();
        assert_eq!(untouched.status(), pb::UserStatus::Active);
    }
    assert_eq!(refusal(lead.caller.suspend(&m1.email, "my manager").await), not_found);
    let oneself = (Code::FailedPrecondition, ErrorReason::NotOnOneself);
    assert_eq!(refusal(m1.caller.suspend(&m1.email, "myself").await), oneself);
    assert_eq!(app.mailed().await, [""; 0]);

    let suspended = m1.caller.suspend(&of_m1.email, "on leave").await.unwrap();
    assert_eq!(suspended.status(), pb::UserStatus::Suspended);
    assert_eq!(app.mailed().await, [format!("{}: Your account was suspended", of_m1.email)]);
    let ended = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
    assert_eq!(refusal(of_m1.caller.user("").await), ended);
});

both_backends!(somebody_who_gets_another_manager_moves_at_once, async |app: &TestApp| {
    let studio = Studio::open(app, TeamDepth::Direct).await;
    let Studio { portal, m1, m2, of_m1, of_m2, .. } = &studio;
    assert_eq!(refusal(m1.caller.set_manager(&of_m2.email, &m1.email).await).0, Code::PermissionDenied);
    portal.operator.set_manager(&of_m1.email, &m2.email).await.unwrap();
    assert_eq!(studio.sees(m1, of_m1).await, denied(ErrorReason::OutOfReach));
    assert_eq!(studio.sees(m2, of_m1).await, ALLOWED);
    assert_eq!(team_of(m2).await, ["of-m1", "of-m2"]);
    let cycle = (Code::FailedPrecondition, ErrorReason::ManagerCycle);
    assert_eq!(refusal(portal.operator.set_manager(&m2.email, &of_m1.email).await), cycle);
});

/// Whom a manager finds, themself aside: the names in front of the domain.
async fn team_of(manager: &Person) -> Vec<String> {
    let mut found = manager.caller.list(pb::ListUsersRequest::default()).await.unwrap();
    found.retain(|email| *email != manager.email);
    found.iter().filter_map(|email| email.strip_suffix("@design.example")).map(str::to_owned).collect()
}
