//! What is in each list: asked one row at a time, of the checks and not of the lists.

use countersign::domain::account::{ApprovalState, User};
use countersign::domain::ids::{OrganizationId, PrincipalId};
use countersign::domain::organization::Member;
use countersign::domain::snapshot::{MembershipState, PrincipalKind};
use countersign::grpc::access::Method;
use countersign::grpc::pb;
use countersign::store::{self, ApiKeyFilter, EntryQuery, ReadRows};
use uuid::Uuid;

use super::world::{APPROVE, LIST, MANAGE_ACCOUNTS, MANAGE_MAIL, READ_ORGANIZATIONS, READ_USERS, SHIP, World};

/// As many as there can be.
const ALL: u64 = 10_000;

/// A question about the lister: what, where, whose.
type Asked = (&'static str, Option<Uuid>, Option<Uuid>);

impl World<'_> {
    /// What a list is asked beside its page.
    pub(super) fn query(&self, method: &Method) -> Vec<(&'static str, String)> {
        let (home, lister) = (self.home[0].to_string(), self.lister.id.clone());
        match method.name {
            "ListMembers" => vec![("organization", home)],
            "ListApiKeys" => vec![("service_account", self.key_holder.to_string())],
            "ListEffectivePermissions" => vec![("principal", lister), ("organization", home)],
            "ListAllowedOrganizations" => vec![("principal", lister), ("permission", READ_USERS.to_owned())],
            "ListPrincipalsWithPermission" => vec![("permission", SHIP.to_owned()), ("organization", home)],
            _ => vec![],
        }
    }

    /// Every row that the list has for who asks, in order, each by what names it.
    pub(super) async fn readable(&self, method: &Method) -> Vec<String> {
        match method.name {
            "ListUsers" => self.users().await,
            "ListMembers" => self.members().await,
            "ListOrganizations" => self.places(READ_ORGANIZATIONS, &[]).await,
            "ListAllowedOrganizations" => self.places(READ_USERS, &[LIST]).await,
            "ListRegistrations" => self.registrations().await,
            "ListMessages" => self.messages().await,
            "ListAssignments" => self.entries(false).await,
            "ListGrants" => self.entries(true).await,
            "ListServiceAccounts" => self.service_accounts().await,
            "ListEffectivePermissions" => self.effective().await,
            "ListPrincipalsWithPermission" => self.holders().await,
            "ListEvents" => self.events().await,
            "ListApiKeys" => {
                let filter = ApiKeyFilter { account: Some(self.key_holder), ..ApiKeyFilter::default() };
                let keys = self.rows().list_api_keys(&filter, ALL).await.unwrap();
                keys.iter().map(|key| key.id.to_string()).collect()
            }
            "ListSessions" => self.sessions().await,
            "ListRoles" => {
                let mut roles: Vec<_> = self.rows().roles().await.unwrap().iter().map(|role| role.id).collect();
                roles.sort_unstable();
                roles.iter().map(ToString::to_string).collect()
            }
            "ListPermissions" => self.names(),
            "ListRealms" => {
                let realms = self.app.inner().app.store().list_realms(None, ALL).await.unwrap();
                realms.iter().map(|realm| realm.id.to_string()).collect()
            }
            unknown => panic!("{unknown} answers in pages: say here what it lists, and in `query` how it is asked"),
        }
    }

    fn rows(&self) -> ReadRows<'_> {
        self.app.inner().app.store().rows(self.realm)
    }

    fn me(&self) -> Uuid {
        self.lister.id.parse().unwrap()
    }

    /// Whether the lister may each of these.
    async fn may(&self, asked: &[Asked]) -> Vec<bool> {
        let me = self.me();
        self.are_allowed(asked.iter().map(|(what, place, owner)| (me, (*what).to_owned(), *place, *owner))).await
    }

    /// Whether each of these is allowed: who, what, where, whose.
    async fn are_allowed(&self, asked: impl Iterator<Item = (Uuid, String, Option<Uuid>, Option<Uuid>)>) -> Vec<bool> {
        let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let items: Vec<_> = asked
            .map(|(who, permission, organization, owner)| pb::BatchCheckItem {
                subject: Some(pb::batch_check_item::Subject::Principal(who.to_string())),
                permission,
                organization: text(organization),
                owner: text(owner),
                resource: None,
            })
            .collect();
        let mut allowed = vec![];
        for items in items.chunks(1_000) {
            let request = pb::BatchCheckPermissionsRequest { items: items.to_vec(), ..Default::default() };
            let answer = self.portal.operator.authorization().batch_check_permissions(request).await.unwrap();
            let is_allowed = |result: &pb::BatchCheckResult| {
                let yes = pb::batch_check_result::Outcome::Decision(pb::Decision::Allowed.into());
                result.outcome == Some(yes)
            };
            allowed.extend(answer.into_inner().results.iter().map(is_allowed));
        }
        allowed
    }

    async fn memberships(&self, users: &[User]) -> Vec<Member> {
        let ids: Vec<_> = users.iter().map(|user| user.id).collect();
        self.rows().memberships_of(&ids).await.unwrap()
    }

    /// Accounts that are not deleted, by id, with whether the lister reads each.
    async fn readers(&self) -> Vec<(User, bool)> {
        let mut living: Vec<_> = self.people().await.into_iter().filter(|user| user.deleted_at.is_none()).collect();
        living.sort_by_key(|user| user.id);
        self.read(living).await
    }

    async fn read(&self, users: Vec<User>) -> Vec<(User, bool)> {
        let memberships = self.memberships(&users).await;
        let (mut asked, mut of) = (vec![], vec![]);
        for user in &users {
            let held = memberships.iter().filter(|member| member.user == user.id);
            let here = held.map(|member| match member.state {
                MembershipState::Active => (READ_USERS, Some(member.organization.0)),
                MembershipState::Pending | MembershipState::Rejected => (APPROVE, Some(member.organization.0)),
            });
            for (what, place) in here.chain([(READ_USERS, None), (APPROVE, None)]) {
                asked.push((what, place, Some(user.id.0)));
                of.push(user.id);
            }
        }
        let allowed = self.may(&asked).await;
        let me = self.me();
        let reads =
            |user: &User| user.id.0 == me || of.iter().zip(&allowed).any(|(id, allowed)| *id == user.id && *allowed);
        users.into_iter().map(|user| (reads(&user), user)).map(|(reads, user)| (user, reads)).collect()
    }

    async fn users(&self) -> Vec<String> {
        self.readers().await.into_iter().filter(|(_, reads)| *reads).map(|(user, _)| user.id.to_string()).collect()
    }

    async fn members(&self) -> Vec<String> {
        let living: Vec<_> = self.readers().await.into_iter().map(|(user, _)| user).collect();
        let mut members = self.memberships(&living).await;
        members.retain(|member| member.organization == self.home[0]);
        let asked = members.iter().map(|member| {
            let what = if member.state == MembershipState::Active { READ_USERS } else { APPROVE };
            (what, Some(member.organization.0), Some(member.user.0))
        });
        let asked: Vec<_> = asked.collect();
        let seen = members.into_iter().zip(self.may(&asked).await).filter(|(_, may)| *may);
        seen.map(|(member, _)| member.user.to_string()).collect()
    }

    /// The organizations in which the lister may all of these.
    async fn places(&self, permission: &'static str, further: &[&'static str]) -> Vec<String> {
        let mut places = self.organizations.clone();
        places.sort_unstable();
        for what in [&[permission], further].concat() {
            let asked: Vec<_> = places.iter().map(|place| (what, Some(place.0), None)).collect();
            let may = self.may(&asked).await;
            places = places.into_iter().zip(may).filter(|(_, may)| *may).map(|(place, _)| place).collect();
        }
        places.iter().map(ToString::to_string).collect()
    }

    async fn registrations(&self) -> Vec<String> {
        let living: Vec<_> = self.readers().await.into_iter().map(|(user, _)| user).collect();
        let memberships = self.memberships(&living).await;
        let mut waiting: Vec<(Uuid, Option<OrganizationId>)> = vec![];
        for user in &living {
            let own: Vec<_> = memberships.iter().filter(|member| member.user == user.id).collect();
            let in_state = |state| own.iter().filter(move |member| member.state == state);
            let pending: Vec<_> = in_state(MembershipState::Pending).map(|member| Some(member.organization)).collect();
            let undecided = user.approval.state == ApprovalState::Pending;
            let places = match (undecided, own.is_empty(), pending.is_empty()) {
                (true, true, _) => vec![None],
                (true, false, true) => {
                    in_state(MembershipState::Active).map(|member| Some(member.organization)).collect()
                }
                _ => pending,
            };
            waiting.extend(places.into_iter().map(|place| (user.id.0, place)));
        }
        let asked: Vec<_> = waiting.iter().map(|(user, place)| (APPROVE, place.map(|id| id.0), Some(*user))).collect();
        let decided = waiting.iter().zip(self.may(&asked).await).filter(|(_, may)| *may);
        let name = |(user, place): &(Uuid, Option<OrganizationId>)| match place {
            Some(place) => format!("{user} in {place}"),
            None => user.to_string(),
        };
        decided.map(|(waits, _)| name(waits)).collect()
    }

    /// Mails of those whom the lister reads and whose mails it manages wherever they are ACTIVE members; of those who are
    /// nowhere, wherever they wait and the lister approves.
    async fn messages(&self) -> Vec<String> {
        let messages = self.rows().list_messages(&store::MessageFilter::default(), ALL).await.unwrap();
        let people = self.read(self.people().await).await;
        let users: Vec<_> = people.iter().map(|(user, _)| user.clone()).collect();
        let memberships = self.memberships(&users).await;
        let mut named = vec![];
        for message in messages {
            let Some((user, true)) = people.iter().find(|(user, _)| Some(user.id) == message.user) else { continue };
            let own = |state| memberships.iter().filter(move |member| member.user == user.id && member.state == state);
            let ask = |what: &'static str| move |member: &Member| (what, Some(member.organization.0), Some(user.id.0));
            let mut here: Vec<_> = own(MembershipState::Active).map(ask(MANAGE_MAIL)).collect();
            if here.is_empty() {
                let waits = || own(MembershipState::Pending);
                here = waits().map(ask(APPROVE)).chain(waits().map(ask(MANAGE_MAIL))).collect();
            }
            let everywhere = self.may(&[(MANAGE_MAIL, None, Some(user.id.0))]).await[0];
            if everywhere || (!here.is_empty() && self.may(&here).await.into_iter().all(|may| may)) {
                named.push(message.id.to_string());
            }
        }
        named
    }

    async fn entries(&self, grants: bool) -> Vec<String> {
        let query = EntryQuery { grants, ..EntryQuery::default() };
        let rows = self.rows().list_entries(&query, ALL).await.unwrap();
        let mut asked = vec![];
        for row in &rows {
            let holder = self.kind_of(row.principal).await;
            asked.push(match holder {
                PrincipalKind::User(_) => {
                    (READ_USERS, row.entry.scope.organization().map(|id| id.0), Some(row.principal.0))
                }
                PrincipalKind::ServiceAccount { organization, .. } => {
                    (MANAGE_ACCOUNTS, organization.map(|id| id.0), None)
                }
            });
        }
        let seen = rows.iter().zip(self.may(&asked).await).filter(|(_, may)| *may);
        seen.map(|(row, _)| row.entry.id.to_string()).collect()
    }

    async fn kind_of(&self, principal: PrincipalId) -> PrincipalKind {
        let loads = self.app.inner().app.store().loads(self.realm);
        let loaded = loads.principal(principal, self.app.clock().now()).await.unwrap();
        loaded.value.unwrap().kind
    }

    async fn service_accounts(&self) -> Vec<String> {
        let filter = store::ServiceAccountFilter::default();
        let accounts = self.rows().list_service_accounts(&filter, ALL).await.unwrap();
        let asked: Vec<_> =
            accounts.iter().map(|account| (MANAGE_ACCOUNTS, account.organization.map(|id| id.0), None)).collect();
        let seen = accounts.iter().zip(self.may(&asked).await).filter(|(_, may)| *may);
        seen.map(|(account, _)| account.id.to_string()).collect()
    }

    fn names(&self) -> Vec<String> {
        let own = (1..super::world::OTHERS).map(|n| format!("shop.orders.do-{n}")).chain([SHIP.to_owned()]);
        let reserved = countersign::domain::permission::reserved::RESERVED.iter().map(|row| row.name.to_owned());
        let mut names: Vec<_> = own.chain(reserved).collect();
        names.sort();
        names
    }

    async fn effective(&self) -> Vec<String> {
        let names = self.names();
        let asked = names.iter().map(|name| (self.me(), name.clone(), Some(self.home[0].0), None));
        let allowed = self.are_allowed(asked).await;
        names.into_iter().zip(allowed).filter(|(_, allowed)| *allowed).map(|(name, _)| name).collect()
    }

    async fn holders(&self) -> Vec<String> {
        let people = self.people().await.into_iter().map(|user| user.id.0);
        let filter = store::ServiceAccountFilter::default();
        let accounts = self.rows().list_service_accounts(&filter, ALL).await.unwrap();
        let mut principals: Vec<_> = people.chain(accounts.iter().map(|account| account.id.0)).collect();
        principals.sort_unstable();
        let asked = principals.iter().map(|who| (*who, SHIP.to_owned(), Some(self.home[0].0), None));
        let allowed = self.are_allowed(asked).await;
        principals.into_iter().zip(allowed).filter(|(_, allowed)| *allowed).map(|(who, _)| who.to_string()).collect()
    }

    /// Which events one may see is tested where events are; here, that pages lose none.
    async fn events(&self) -> Vec<String> {
        let caller = &self.lister.caller;
        let request = pb::ListEventsRequest { page_size: 1_000, ..Default::default() };
        let answer = caller.audit().list_events(request).await.unwrap().into_inner();
        assert!(answer.next_page_token.is_empty() && !answer.events.is_empty());
        answer.events.into_iter().map(|event| event.id).collect()
    }

    async fn sessions(&self) -> Vec<String> {
        let user = countersign::domain::ids::UserId(self.me());
        let live = store::LiveSessions {
            user,
            epoch: self.rows().user(user).await.unwrap().unwrap().session_epoch,
            now: self.app.clock().now(),
        };
        let sessions = self.rows().list_sessions(live, None, ALL).await.unwrap();
        sessions.iter().map(|session| session.id.to_string()).collect()
    }
}
