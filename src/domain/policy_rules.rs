//! Policies that can't work: what a policy contradicts in itself, in the catalogue, or in what the realm already has.

use std::collections::BTreeSet;

use super::catalogue::{Catalogue, Role};
use super::policy::{ApprovalBy, Founding, OrganizationsPerUser, Policy, SelfRegistration, UnknownCodes};

/// What is there already. Asked for as far as a change could contradict it; what was not asked for is empty.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Existing {
    /// The kinds of which there are organizations.
    pub kinds: BTreeSet<String>,
    /// The schemes in which organizations carry identifiers.
    pub schemes: BTreeSet<String>,
    /// The schemes with a value that several organizations share.
    pub shared_schemes: BTreeSet<String>,
    /// The kinds whose members are also members of an organization of another kind.
    pub mixed_kinds: BTreeSet<String>,
    /// Somebody is in two organizations, or waits there.
    pub somebody_in_two: bool,
}

/// Why a policy can't work.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Contradiction {
    #[error("an organization approves, but an open registration without codes names none, and there is no fallback")]
    NobodyApproves,
    #[error("registering needs the codes of an organization, but the form asks for none")]
    NoCodes,
    #[error("founding needs a role that the founder gets")]
    FoundingRoleMissing,
    #[error("there is no role {0:?}")]
    FoundingRoleUnknown(String),
    #[error("the role {0:?} can't be assigned in an organization")]
    FoundingRoleScope(String),
    #[error("the role {0:?} is for none of the organizations that are founded")]
    FoundingRoleKind(String),
    #[error("the role {0:?} needs a resource, which a founder has not")]
    FoundingRoleResource(String),
    #[error("who verifies first founds an organization that the registration created, but unknown codes create none")]
    NothingToFound,
    #[error("a listed contact founds, but without a topic nobody can be one")]
    NoContacts,
    #[error("the permission {0:?} is not declared, or was retired: nobody could sign in")]
    BasicPermission(String),
    #[error("there are organizations of the kind {0:?}")]
    KindInUse(String),
    #[error("somebody is a member of a {0:?} and of another kind")]
    KindMixed(String),
    #[error("organizations carry identifiers of the scheme {0:?}")]
    SchemeInUse(String),
    #[error("organizations share a value of the scheme {0:?}")]
    SchemeShared(String),
    #[error("somebody is in two organizations")]
    SomebodyInTwo,
}

impl Contradiction {
    /// The setting that can't be what it is.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        match self {
            Self::NobodyApproves => "approval",
            Self::NoCodes | Self::SchemeInUse(_) | Self::SchemeShared(_) => "code_schemes",
            Self::FoundingRoleMissing
            | Self::FoundingRoleUnknown(_)
            | Self::FoundingRoleScope(_)
            | Self::FoundingRoleKind(_)
            | Self::FoundingRoleResource(_) => "founding_role",
            Self::NothingToFound | Self::NoContacts => "founding",
            Self::BasicPermission(_) => "basic_permission",
            Self::KindInUse(_) | Self::KindMixed(_) => "kinds",
            Self::SomebodyInTwo => "organizations_per_user",
        }
    }
}

/// Everything that keeps the policy from working.
#[must_use]
pub fn contradictions(policy: &Policy, catalogue: &Catalogue, existing: &Existing) -> Vec<Contradiction> {
    let mut found = vec![];
    registration(policy, &mut found);
    founding(policy, catalogue, &mut found);
    if let Some(name) = &policy.basic_permission {
        let declared = catalogue.permission_id(name).and_then(|id| catalogue.permission(id));
        if declared.is_none_or(|permission| permission.retired) {
            found.push(Contradiction::BasicPermission(name.clone()));
        }
    }
    against_existing(policy, existing, &mut found);
    found
}

fn registration(policy: &Policy, found: &mut Vec<Contradiction>) {
    let codes = !policy.code_schemes.is_empty();
    match policy.self_registration {
        SelfRegistration::ByOrganizationCode if !codes => found.push(Contradiction::NoCodes),
        SelfRegistration::Open
            if !codes && policy.approval == ApprovalBy::Organization && !policy.approval_fallback_realm =>
        {
            found.push(Contradiction::NobodyApproves);
        }
        SelfRegistration::Closed | SelfRegistration::Open | SelfRegistration::ByOrganizationCode => {}
    }
}

fn founding(policy: &Policy, catalogue: &Catalogue, found: &mut Vec<Contradiction>) {
    match policy.founding {
        Founding::Nobody => {}
        Founding::ListedContact if policy.topics.is_empty() => found.push(Contradiction::NoContacts),
        Founding::FirstVerified if policy.unknown_codes != UnknownCodes::CreateOrganization => {
            found.push(Contradiction::NothingToFound);
        }
        Founding::ListedContact | Founding::FirstVerified => {}
    }
    match &policy.founding_role {
        None if policy.founding == Founding::Nobody => {}
        None => found.push(Contradiction::FoundingRoleMissing),
        Some(name) => match catalogue.role_named(name) {
            None => found.push(Contradiction::FoundingRoleUnknown(name.clone())),
            Some(role) => founding_role(policy, role, found),
        },
    }
}

/// Why founders could not have the role.
#[must_use]
pub fn unfit_for_founders(policy: &Policy, role: &Role) -> Vec<Contradiction> {
    let mut found = vec![];
    founding_role(policy, role, &mut found);
    found
}

fn founding_role(policy: &Policy, role: &Role, found: &mut Vec<Contradiction>) {
    let name = || role.name.clone();
    if !role.assignable.organization {
        found.push(Contradiction::FoundingRoleScope(name()));
    }
    if role.resource_type.is_some() {
        found.push(Contradiction::FoundingRoleResource(name()));
    }
    // What a registration creates is of the first kind.
    let founded = match policy.founding {
        Founding::FirstVerified => policy.kinds.get(..1).unwrap_or_default(),
        Founding::Nobody | Founding::ListedContact => &policy.kinds,
    };
    let fits = |kind: &super::policy::Kind| role.assignable.kinds.contains(&kind.name);
    if !role.assignable.kinds.is_empty() && !founded.iter().any(fits) {
        found.push(Contradiction::FoundingRoleKind(name()));
    }
}

fn against_existing(policy: &Policy, existing: &Existing, found: &mut Vec<Contradiction>) {
    let Existing { kinds, schemes, shared_schemes, mixed_kinds, somebody_in_two } = existing;
    let gone = kinds.iter().filter(|name| policy.kind(name).is_none());
    found.extend(gone.cloned().map(Contradiction::KindInUse));
    let mixed = mixed_kinds.iter().filter(|name| policy.kind(name).is_some_and(|kind| kind.exclusive));
    found.extend(mixed.cloned().map(Contradiction::KindMixed));
    let gone = schemes.iter().filter(|name| policy.scheme(name).is_none());
    found.extend(gone.cloned().map(Contradiction::SchemeInUse));
    let shared = shared_schemes.iter().filter(|name| policy.scheme(name).is_some_and(|scheme| scheme.unique));
    found.extend(shared.cloned().map(Contradiction::SchemeShared));
    if *somebody_in_two && policy.organizations_per_user == OrganizationsPerUser::One {
        found.push(Contradiction::SomebodyInTwo);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::domain::catalogue::{Assignable, CatalogueSource};
    use crate::domain::ids::{RealmId, Revision, RoleId};
    use crate::domain::policy::{CodeFormat, CodeScheme, Kind};

    fn role(name: &str, assignable: Assignable) -> Role {
        let document = serde_json::json!({ "id": Uuid::nil(), "name": name, "title": name });
        Role { id: RoleId(Uuid::new_v4()), assignable, ..serde_json::from_value(document).unwrap() }
    }

    fn in_organizations(kinds: &[&str]) -> Assignable {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Assignable { organization: true, kinds, ..Assignable::default() }
    }

    fn found(policy: Policy, existing: &Existing) -> Vec<Contradiction> {
        let roles = vec![
            role("administrator", in_organizations(&[])),
            role("staff", Assignable { realm: true, ..Assignable::default() }),
            role("partner", in_organizations(&["partner"])),
        ];
        let source = CatalogueSource {
            realm: RealmId(Uuid::nil()),
            realm_name: "default".into(),
            suspended: false,
            as_of: Revision(1),
            policy: Arc::new(policy.clone()),
            permissions: vec![],
            roles,
            exclusions: vec![],
        };
        contradictions(&policy, &Catalogue::compile(source), existing)
    }

    #[test]
    fn the_default_policy_works() {
        assert_eq!(found(Policy::default(), &Existing::default()), []);
    }

    #[test]
    fn founding_needs_a_role_that_a_founder_can_have() {
        let founding = |role: Option<&str>| Policy {
            founding: Founding::ListedContact,
            founding_role: role.map(str::to_owned),
            ..Policy::default()
        };
        let of = |role| found(founding(role), &Existing::default());
        assert_eq!(of(Some("administrator")), []);
        assert_eq!(of(None), [Contradiction::FoundingRoleMissing]);
        assert_eq!(of(Some("nobody")), [Contradiction::FoundingRoleUnknown("nobody".into())]);
        assert_eq!(of(Some("staff")), [Contradiction::FoundingRoleScope("staff".into())]);
        assert_eq!(of(Some("partner")), [Contradiction::FoundingRoleKind("partner".into())]);
        let nothing_created = Policy { founding: Founding::FirstVerified, ..founding(Some("administrator")) };
        assert_eq!(found(nothing_created, &Existing::default()), [Contradiction::NothingToFound]);
    }

    #[test]
    fn every_contradiction_is_named_at_once() {
        let policy = Policy {
            code_schemes: vec![],
            basic_permission: Some("shop.sign_in".into()),
            kinds: vec![Kind { name: "brand".into(), exclusive: true }],
            ..Policy::default()
        };
        let existing = Existing {
            kinds: ["brand".into(), "partner".into()].into(),
            schemes: ["domain".into()].into(),
            mixed_kinds: ["brand".into()].into(),
            somebody_in_two: true,
            ..Existing::default()
        };
        let settings: Vec<_> = found(policy, &existing).iter().map(Contradiction::setting).collect();
        let all = ["code_schemes", "basic_permission", "kinds", "kinds", "code_schemes", "organizations_per_user"];
        assert_eq!(settings, all);
    }

    #[test]
    fn an_open_registration_without_codes_needs_realm_wide_approvers() {
        let open = Policy {
            self_registration: SelfRegistration::Open,
            code_schemes: vec![],
            approval_fallback_realm: false,
            ..Policy::default()
        };
        assert_eq!(found(open.clone(), &Existing::default()), [Contradiction::NobodyApproves]);
        assert_eq!(found(Policy { approval_fallback_realm: true, ..open.clone() }, &Existing::default()), []);
        assert_eq!(found(Policy { approval: ApprovalBy::Realm, ..open }, &Existing::default()), []);
    }

    #[test]
    fn a_shared_scheme_does_not_become_unique() {
        let scheme = |unique| CodeScheme { name: "uei".into(), format: CodeFormat::Uei, unique };
        let policy = |unique| Policy { code_schemes: vec![scheme(unique)], ..Policy::default() };
        let existing = Existing { shared_schemes: ["uei".into()].into(), ..Existing::default() };
        assert_eq!(found(policy(true), &existing), [Contradiction::SchemeShared("uei".into())]);
        assert_eq!(found(policy(false), &existing), []);
    }
}
