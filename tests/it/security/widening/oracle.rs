//! What somebody may do, asked of the service as anybody could, and what the start of an attempt leaves open to them:
//! worked out a second time here, from the definitions that the realm began with.

use std::collections::BTreeSet;

use countersign::domain::permission::{Pattern, PermissionName};
use countersign::grpc::pb::{self, Reach};

use super::roles::{ASKED, OWN};
use super::world::{Realm, Where, Whose};

/// What somebody may do: the permission by its name, where, and to whose things.
pub(super) type Held = BTreeSet<(&'static str, Where, Whose)>;

/// Something that somebody may come to hold: by the policy's default roles, by `may_assign`, as a restricted role.
struct Open {
    pattern: Pattern,
    reach: Reach,
    /// Nothing: everywhere.
    place: Option<BTreeSet<Where>>,
    /// May it be something reserved.
    reserved: bool,
    /// Whether a service may be given it, whose own things count as anybody's.
    to_service: bool,
}

/// What an attempt may gain.
pub(super) struct Allowance {
    open: Vec<Open>,
    /// The actor itself, by its number.
    actor: usize,
    /// Whom it leads at the start.
    team: BTreeSet<usize>,
}

impl Allowance {
    pub(super) fn covers(&self, (permission, place, whose): &(&'static str, Where, Whose)) -> bool {
        let name = PermissionName::parse(permission).unwrap();
        self.open.iter().any(|open| {
            let reaches = match (open.reach, whose) {
                (Reach::Own, Whose::Person(at)) => *at == self.actor,
                (Reach::Own, Whose::Nobody) => open.to_service,
                (Reach::Team, Whose::Person(at)) => self.team.contains(at),
                (Reach::Team, Whose::Nobody) => false,
                (_, _) => true,
            };
            reaches
                && (open.reserved || OWN.contains(permission))
                && open.place.as_ref().is_none_or(|places| places.contains(place))
                && open.pattern.covers(&name)
        })
    }
}

impl Realm {
    /// What a principal may do. A service's own things stand for everybody's: only ALL lets somebody give it OWN.
    pub(super) async fn held(&self, principal: &str) -> Held {
        let mut asked = vec![];
        for permission in ASKED {
            for (place, organization) in self.places() {
                for (whose, owner) in self.owners(principal) {
                    asked.push(((permission, place, whose), organization.clone(), owner));
                }
            }
        }
        self.allowed(principal, &asked).await
    }

    /// Which of these questions about a principal are answered with ALLOWED. One that is not answered fails the test.
    async fn allowed(&self, principal: &str, asked: &[((&'static str, Where, Whose), String, String)]) -> Held {
        use pb::batch_check_result::Outcome;
        let mut held = Held::new();
        // A batch has at most 1,000 items.
        for part in asked.chunks(1000) {
            let items = part.iter().map(|((permission, ..), organization, owner)| pb::BatchCheckItem {
                permission: (*permission).to_owned(),
                organization: organization.clone(),
                owner: owner.clone(),
                ..Default::default()
            });
            let request = pb::BatchCheckPermissionsRequest {
                subject: Some(pb::batch_check_permissions_request::Subject::Principal(principal.to_owned())),
                items: items.collect(),
                ..Default::default()
            };
            let answer = self.portal.operator.authorization().batch_check_permissions(request).await.unwrap();
            let results = answer.into_inner().results;
            assert_eq!(results.len(), part.len());
            for (result, (key, ..)) in results.iter().zip(part) {
                match result.outcome {
                    Some(Outcome::Decision(decision)) if decision == i32::from(pb::Decision::Allowed) => {
                        held.insert(*key);
                    }
                    Some(Outcome::Decision(_)) => {}
                    ref other => panic!("{key:?} of {principal} is answered with {other:?}"),
                }
            }
        }
        held
    }

    fn places(&self) -> Vec<(Where, String)> {
        let place = |at| match at {
            0 => Where::Home,
            1 => Where::Away,
            _ => Where::Blank,
        };
        let somewhere = self.organizations.iter().enumerate().map(|(at, made)| (place(at), made.id.clone()));
        somewhere.chain([(Where::Nowhere, String::new())]).collect()
    }

    fn owners(&self, principal: &str) -> Vec<(Whose, String)> {
        let people = self.people.iter().enumerate().map(|(at, person)| (Whose::Person(at), person.id.clone()));
        let itself = (!self.people.iter().any(|person| person.id == principal)).then(|| principal.to_owned());
        people.chain([(Whose::Nobody, String::new())]).chain(itself.map(|id| (Whose::Nobody, id))).collect()
    }

    /// What the realm as it is leaves open to these hands, of which the actor is one and which hold this.
    pub(super) async fn allowance(&self, actor: usize, hands: &[String], held: &Held) -> Allowance {
        let mut open = vec![];
        let default: Vec<_> = self.roles.iter().filter(|role| is_default(role)).collect();
        let organizations = BTreeSet::from([Where::Home, Where::Away, Where::Blank]);
        for role in &default {
            self.opens(&mut open, &role.name, Some(&organizations), (true, false));
            for passed in self.passed_on(&role.name) {
                self.opens(&mut open, &passed, Some(&organizations), (false, false));
            }
        }
        for (_, role, place) in self.given.iter().filter(|(who, ..)| hands.contains(who)) {
            let place = place.as_deref().map(|slug| BTreeSet::from([self.place_of(slug)]));
            for passed in self.passed_on(role) {
                self.opens(&mut open, &passed, place.as_ref(), (false, false));
            }
        }
        // Whoever may assign restricted roles may assign those that there are.
        let may: BTreeSet<_> =
            held.iter().filter(|(name, ..)| *name == "countersign.roles.assign_restricted").map(|at| at.1).collect();
        let everywhere = may.contains(&Where::Nowhere);
        let restricted = self.roles.iter().filter(|role| !may.is_empty() && self.is_restricted(&role.name));
        for role in restricted {
            self.opens(&mut open, &role.name, (!everywhere).then_some(&may), (true, true));
        }
        Allowance { open, actor, team: self.team_of(actor).await }
    }

    fn opens(&self, open: &mut Vec<Open>, role: &str, place: Option<&BTreeSet<Where>>, what: (bool, bool)) {
        let (reserved, to_service) = what;
        for grant in self.closure(role).into_iter().flat_map(|role| &role.grants) {
            let (pattern, reach) = (Pattern::parse(&grant.pattern).unwrap(), grant.reach());
            open.push(Open { pattern, reach, place: place.cloned(), reserved, to_service });
        }
    }

    fn place_of(&self, slug: &str) -> Where {
        match slug {
            "home" => Where::Home,
            "away" => Where::Away,
            _ => Where::Blank,
        }
    }

    async fn team_of(&self, actor: usize) -> BTreeSet<usize> {
        let mut managers = vec![];
        for person in &self.people {
            let manager = self.portal.operator.user(&person.id).await.unwrap().manager;
            managers.push(manager.and_then(|manager| self.people.iter().position(|person| person.id == manager.id)));
        }
        // As in a CHAIN realm; where the team is DIRECT, what reaches further is not the actor's to open.
        let chain = self.is_chain().await;
        let led = |at: &usize| {
            let mut above = managers[*at];
            while let Some(manager) = above {
                if manager == actor {
                    return true;
                }
                above = managers[manager].filter(|_| chain);
            }
            false
        };
        (0..self.people.len()).filter(led).collect()
    }

    async fn is_chain(&self) -> bool {
        let answer = self.portal.operator.realms().get_realm(pb::GetRealmRequest::default()).await.unwrap();
        answer.into_inner().realm.unwrap().policy.unwrap().team() == pb::TeamDepth::Chain
    }

    /// What only restricted roles confer, as the realm is.
    pub(super) fn sealed(&self) -> Vec<&'static str> {
        let confers = |role: &pb::CreateRoleRequest, name: &str| self.covers(&role.name, name);
        let (restricted, open): (Vec<_>, Vec<_>) = self.roles.iter().partition(|role| self.is_restricted(&role.name));
        let sealed = |name: &&str| {
            restricted.iter().any(|role| confers(role, name)) && !open.iter().any(|role| confers(role, name))
        };
        OWN.into_iter().filter(sealed).collect()
    }

    /// Whom of these the realm let hold one of these permissions already, by a role, or would by default.
    pub(super) fn let_hold(&self, who: &str, permission: &str) -> bool {
        let given = self.given.iter().filter(|(holder, ..)| holder == who).map(|(_, role, _)| role);
        let default = self.roles.iter().filter(|role| is_default(role)).map(|role| &role.name);
        given.chain(default).any(|role| self.covers(role, permission))
    }

    /// Which of the permissions somebody holds somewhere, of whatever is whose.
    pub(super) async fn held_of(&self, principal: &str, permissions: &[&'static str]) -> BTreeSet<&'static str> {
        let mut asked = vec![];
        for permission in permissions {
            for (place, organization) in self.places() {
                for (whose, owner) in self.owners(principal) {
                    asked.push(((*permission, place, whose), organization.clone(), owner));
                }
            }
        }
        self.allowed(principal, &asked).await.into_iter().map(|(permission, ..)| permission).collect()
    }

    fn covers(&self, role: &str, name: &str) -> bool {
        let name = PermissionName::parse(name).unwrap();
        let mut grants = self.closure(role).into_iter().flat_map(|role| &role.grants);
        grants.any(|grant| Pattern::parse(&grant.pattern).unwrap().covers(&name))
    }

    fn is_restricted(&self, name: &str) -> bool {
        self.closure(name).iter().any(|role| role.restricted)
    }

    fn passed_on(&self, held: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut next = vec![held.to_owned()];
        while let Some(name) = next.pop() {
            for passed in self.closure(&name).into_iter().flat_map(|role| role.may_assign.clone()) {
                if found.insert(passed.clone()) {
                    next.push(passed);
                }
            }
        }
        found
    }

    fn closure(&self, name: &str) -> Vec<&pb::CreateRoleRequest> {
        let Some(role) = self.roles.iter().find(|role| role.name == name) else { return vec![] };
        let included = role.includes.iter().flat_map(|included| self.closure(included));
        [role].into_iter().chain(included).collect()
    }
}

fn is_default(role: &pb::CreateRoleRequest) -> bool {
    role.assignable.as_ref().is_some_and(|it| it.by_default)
}
