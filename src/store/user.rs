//! Users and their holds.

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::entity::{entries, holds, memberships, realms, users};
use super::error::Result;
use super::reach::Reach;
use super::rows::{Rows, matching, search_text, variant, word};
use crate::domain::account::{Approval, ApprovalState, Hold, Status, User, Verified};
use crate::domain::ids::{OrganizationId, PrincipalId, RoleId, UserId};
use crate::domain::time::Timestamp;

/// Users that one statement names.
const IDS_AT_ONCE: usize = 1_000;

/// What sign-in reads of an account beyond its facts.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub user: User,
    /// PHC string; absent where no password is set.
    pub password_hash: Option<String>,
}

/// A new account with its secret half.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    pub user: &'a User,
    pub password_hash: Option<&'a str>,
}

/// Which users to list. Empty fields do not narrow.
#[derive(Clone, Default, Debug)]
pub struct UserFilter {
    /// Part of the address, or the whole of it, in any case.
    pub email: Option<String>,
    /// Part of the name, in any case.
    pub name: Option<String>,
    pub status: Option<Status>,
    pub held: Option<bool>,
    pub unverified: Option<bool>,
    pub organization: Option<OrganizationId>,
    pub role: Option<RoleId>,
    pub manager: Option<UserId>,
    /// Only users with a PENDING membership, or pending without any.
    pub pending: bool,
    /// Only people whom a caller may reach; absent = everybody.
    pub reach: Option<Reach>,
    /// Only users after this one.
    pub after: Option<UserId>,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The account of that id, a deleted one among them.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn user(&self, id: UserId) -> Result<Option<User>> {
        let row = self.users().filter(users::Column::Id.eq(id.0)).one(self.conn).await?;
        Ok(self.with_holds(row.into_iter().collect()).await?.pop().map(|found| found.user))
    }

    /// The live account of that identity, with its secret half.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn credentials(&self, identity: &str) -> Result<Option<Credentials>> {
        let live = users::Column::Identity.eq(identity).and(users::Column::DeletedAt.is_null());
        let row = self.users().filter(live).one(self.conn).await?;
        Ok(self.with_holds(row.into_iter().collect()).await?.pop())
    }

    /// The live account of that identity.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn user_by_identity(&self, identity: &str) -> Result<Option<User>> {
        Ok(self.credentials(identity).await?.map(|found| found.user))
    }

    /// The accounts of these ids, in the order of their ids; unknown ids are left out.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn users_of(&self, ids: &[UserId]) -> Result<Vec<User>> {
        let wanted = users::Column::Id.is_in(ids.iter().map(|id| id.0));
        let rows = self.users().filter(wanted).order_by_asc(users::Column::Id).all(self.conn).await?;
        Ok(self.with_holds(rows).await?.into_iter().map(|found| found.user).collect())
    }

    /// A page of users, by id.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_users(&self, filter: &UserFilter, limit: u64) -> Result<Vec<User>> {
        let rows = self
            .users()
            .filter(self.condition(filter)?)
            .order_by_asc(users::Column::Id)
            .limit(limit)
            .all(self.conn)
            .await?;
        Ok(self.with_holds(rows).await?.into_iter().map(|found| found.user).collect())
    }

    /// The natural handles of these principals of the realm and of the platform's accounts, which act in every realm, and
    /// whether each is a person; unknown ids are left out.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn names(&self, ids: &[PrincipalId]) -> Result<Vec<(PrincipalId, bool, String)>> {
        use super::entity::service_accounts;
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let wanted: Vec<_> = ids.iter().map(|id| id.0).collect();
        let people: Vec<(uuid::Uuid, String)> = self
            .users()
            .select_only()
            .columns([users::Column::Id, users::Column::Email])
            .filter(users::Column::Id.is_in(wanted.iter().copied()))
            .into_tuple()
            .all(self.conn)
            .await?;
        let platform = Query::select()
            .column(realms::Column::Id)
            .from(realms::Entity)
            .and_where(realms::Column::Platform.eq(true))
            .take();
        let platform = service_accounts::Column::RealmId.in_subquery(platform);
        let services: Vec<(uuid::Uuid, String)> = service_accounts::Entity::find()
            .select_only()
            .columns([service_accounts::Column::Id, service_accounts::Column::Name])
            .filter(service_accounts::Column::RealmId.eq(self.realm.0).or(platform))
            .filter(service_accounts::Column::Id.is_in(wanted))
            .into_tuple()
            .all(self.conn)
            .await?;
        let services = services.into_iter().map(|(id, name)| (id, super::service_account::as_it_was(name)));
        let named = |person| move |(id, handle)| (PrincipalId(id), person, handle);
        Ok(people.into_iter().map(named(true)).chain(services.map(named(false))).collect())
    }

    /// Those of these users that are somebody's manager.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn leaders_among(&self, users: &[UserId]) -> Result<Vec<UserId>> {
        self.leaders(users::Column::Id, users).await
    }

    /// The direct reports of these managers that are somebody's manager themselves: one look into an index for each
    /// report.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn leaders_below(&self, managers: &[UserId]) -> Result<Vec<UserId>> {
        self.leaders(users::Column::ManagerId, managers).await
    }

    async fn leaders(&self, by: users::Column, ids: &[UserId]) -> Result<Vec<UserId>> {
        let (leader, report) = (Alias::new("leader"), Alias::new("report"));
        let mut found = vec![];
        for some in ids.chunks(IDS_AT_ONCE) {
            // For EXISTS PostgreSQL joins, by whichever way is the shorter. Of one row, looked up by itself, it expects to find
            // it soon whichever way it goes, and reads the whole table for each user that leads nobody.
            let led = Query::select()
                .column((report.clone(), users::Column::Id))
                .from_as(users::Entity, report.clone())
                .and_where(Expr::col((report.clone(), users::Column::RealmId)).eq(self.realm.0))
                .and_where(
                    Expr::col((report.clone(), users::Column::ManagerId)).equals((leader.clone(), users::Column::Id)),
                )
                .take();
            let leaders = Query::select()
                .column((leader.clone(), users::Column::Id))
                .from_as(users::Entity, leader.clone())
                .and_where(Expr::col((leader.clone(), users::Column::RealmId)).eq(self.realm.0))
                .and_where(Expr::col((leader.clone(), by)).is_in(some.iter().map(|id| id.0)))
                .and_where(Expr::exists(led))
                .take();
            for row in self.conn.query_all(&leaders).await? {
                found.push(UserId(row.try_get("", "id")?));
            }
        }
        Ok(found)
    }

    /// The manager of this user.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn manager_of(&self, user: UserId) -> Result<Option<UserId>> {
        let own = self.users().select_only().column(users::Column::ManagerId).filter(users::Column::Id.eq(user.0));
        let manager: Option<Option<uuid::Uuid>> = own.into_tuple().one(self.conn).await?;
        Ok(manager.flatten().map(UserId))
    }

    /// Puts the whole team of a manager below another one, deleted accounts aside: each as a next version.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn move_team(&self, manager: UserId, after: UserId) -> Result<()> {
        users::Entity::update_many()
            .col_expr(users::Column::ManagerId, after.0.into())
            .col_expr(users::Column::Version, Expr::col(users::Column::Version).add(1))
            .filter(users::Column::RealmId.eq(self.realm.0))
            .filter(users::Column::ManagerId.eq(manager.0))
            .filter(users::Column::DeletedAt.is_null())
            .exec(self.conn)
            .await?;
        Ok(())
    }

    /// Whose direct manager this user is, deleted accounts aside.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn team_of(&self, manager: UserId) -> Result<Vec<UserId>> {
        let ids: Vec<uuid::Uuid> = self
            .users()
            .select_only()
            .column(users::Column::Id)
            .filter(users::Column::ManagerId.eq(manager.0).and(users::Column::DeletedAt.is_null()))
            .order_by_asc(users::Column::Id)
            .into_tuple()
            .all(self.conn)
            .await?;
        Ok(ids.into_iter().map(UserId).collect())
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`super::Constraint::Identity`] if the address is taken.
    pub async fn insert_user(&self, new: NewUser<'_>) -> Result<()> {
        self.row(new.user, Set(new.password_hash.map(str::to_owned)), Set(Some(new.user.created_at.0)))?
            .insert(self.conn)
            .await?;
        self.replace_holds(new.user).await
    }

    /// Writes an account's facts and holds; the password stays.
    ///
    /// # Errors
    /// [`super::Constraint::Identity`] if the address is taken.
    pub async fn update_user(&self, user: &User) -> Result<()> {
        use sea_orm::ActiveValue::NotSet;
        self.row(user, NotSet, NotSet)?.update(self.conn).await?;
        self.replace_holds(user).await
    }

    /// Notes a sign-in.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn signed_in(&self, user: UserId, now: Timestamp) -> Result<()> {
        users::Entity::update_many()
            .col_expr(users::Column::LastSignInAt, Some(now.0).into())
            .filter(users::Column::RealmId.eq(self.realm.0).and(users::Column::Id.eq(user.0)))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    pub(in crate::store) fn users(&self) -> sea_orm::Select<users::Entity> {
        users::Entity::find().filter(users::Column::RealmId.eq(self.realm.0))
    }

    fn condition(&self, filter: &UserFilter) -> Result<Condition> {
        let UserFilter { email, name, status, held, unverified, organization, role, manager, pending, reach, after } =
            filter;
        let held_at_all = Query::select()
            .column(holds::Column::UserId)
            .from(holds::Entity)
            .and_where(holds::Column::RealmId.eq(self.realm.0))
            .take();
        let mut all = Condition::all()
            // Of who is erased there is nothing to list.
            .add(users::Column::Email.ne(""))
            .add_option(email.as_ref().map(|part| users::Column::Search.like(matching("%", part))))
            .add_option(email.as_ref().map(|part| users::Column::Identity.like(matching("%", part))))
            .add_option(name.as_ref().map(|part| users::Column::Search.like(matching("%\n%", part))))
            .add_option(manager.map(|manager| users::Column::ManagerId.eq(manager.0)))
            .add_option(after.map(|after| users::Column::Id.gt(after.0)))
            .add_option(unverified.map(|wanted| match wanted {
                true => users::Column::VerifiedAt.is_null(),
                false => users::Column::VerifiedAt.is_not_null(),
            }))
            .add_option(held.map(|wanted| match wanted {
                true => users::Column::Id.in_subquery(held_at_all.clone()),
                false => users::Column::Id.not_in_subquery(held_at_all.clone()),
            }))
            .add_option(organization.map(|id| users::Column::Id.in_subquery(members(self.realm.0, id))))
            .add_option(role.map(|id| users::Column::Id.in_subquery(holders(self.realm.0, id))));
        if *pending {
            let waiting = Query::select()
                .column(memberships::Column::UserId)
                .from(memberships::Entity)
                .and_where(memberships::Column::RealmId.eq(self.realm.0))
                .and_where(memberships::Column::State.eq("Pending"))
                .take();
            let undecided = users::Column::Approval.eq(word(ApprovalState::Pending)?);
            all = all.add(Condition::any().add(undecided).add(users::Column::Id.in_subquery(waiting)));
        }
        all = all.add_option(reach.as_ref().map(|reach| users::Column::Id.in_subquery(self.people_in(reach))));
        all = match status {
            Some(status) => all.add(with_status(self.realm.0, *status)?),
            None => all.add(users::Column::DeletedAt.is_null()),
        };
        Ok(all)
    }

    pub(in crate::store) async fn with_holds(&self, rows: Vec<users::Model>) -> Result<Vec<Credentials>> {
        let ids = rows.iter().map(|row| row.id);
        let held = match rows.is_empty() {
            true => vec![],
            false => {
                holds::Entity::find()
                    .filter(holds::Column::UserId.is_in(ids))
                    .order_by_asc(holds::Column::Cause)
                    .all(self.conn)
                    .await?
            }
        };
        rows.into_iter()
            .map(|row| {
                let mine = held.iter().filter(|hold| hold.user_id == row.id).map(hold).collect::<Result<_>>()?;
                user(row, mine)
            })
            .collect()
    }

    async fn replace_holds(&self, user: &User) -> Result<()> {
        holds::Entity::delete_many().filter(holds::Column::UserId.eq(user.id.0)).exec(self.conn).await?;
        for hold in &user.holds {
            let row = holds::ActiveModel {
                user_id: Set(user.id.0),
                realm_id: Set(self.realm.0),
                cause: Set(word(hold.cause)?),
                at: Set(hold.at.0),
                set_by: Set(hold.by.map(|by| by.0)),
                note: Set(hold.note.clone()),
            };
            row.insert(self.conn).await?;
        }
        Ok(())
    }

    fn row(
        &self,
        user: &User,
        password_hash: sea_orm::ActiveValue<Option<String>>,
        password_set_at: sea_orm::ActiveValue<Option<i64>>,
    ) -> Result<users::ActiveModel> {
        Ok(users::ActiveModel {
            id: Set(user.id.0),
            realm_id: Set(self.realm.0),
            email: Set(user.email.clone()),
            identity: Set(user.identity.clone()),
            display_name: Set(user.display_name.clone()),
            search: Set(search_text(&user.identity, &user.display_name)),
            approval: Set(word(user.approval.state)?),
            approval_at: Set(user.approval.at.map(|at| at.0)),
            approval_by: Set(user.approval.by.map(|by| by.0)),
            approval_note: Set(user.approval.note.clone()),
            verified_at: Set(user.verified.map(|verified| verified.at.0)),
            verified_how: Set(user.verified.map(|verified| word(verified.how)).transpose()?),
            deleted_at: Set(user.deleted_at.map(|at| at.0)),
            deleted_by: Set(user.deleted_by.map(|by| by.0)),
            valid_from: Set(user.valid_from.map(|at| at.0)),
            valid_until: Set(user.valid_until.map(|at| at.0)),
            password_hash,
            password_set_at,
            password_must_change: Set(user.password_must_change),
            session_epoch: Set(user.session_epoch),
            manager_id: Set(user.manager.map(|manager| manager.0)),
            version: Set(user.version),
            created_at: Set(user.created_at.0),
            last_sign_in_at: Set(user.last_sign_in_at.map(|at| at.0)),
            registrations: Set(user.registrations),
        })
    }
}

fn members(realm: uuid::Uuid, organization: OrganizationId) -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .column(memberships::Column::UserId)
        .from(memberships::Entity)
        .and_where(memberships::Column::RealmId.eq(realm))
        .and_where(memberships::Column::OrganizationId.eq(organization.0))
        .take()
}

fn holders(realm: uuid::Uuid, role: RoleId) -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .column(entries::Column::PrincipalId)
        .from(entries::Entity)
        .and_where(entries::Column::RealmId.eq(realm))
        .and_where(entries::Column::RoleId.eq(role.0))
        .take()
}

/// The rows whose derived status is this one; see `AccountFacts::status`.
fn with_status(realm: uuid::Uuid, status: Status) -> Result<Condition> {
    let suspending = Query::select()
        .column(holds::Column::UserId)
        .from(holds::Entity)
        .and_where(holds::Column::RealmId.eq(realm))
        .and_where(holds::Column::Cause.ne(word(crate::domain::account::HoldCause::Blocked)?))
        .take();
    let refused = [word(ApprovalState::Rejected)?, word(ApprovalState::Expired)?];
    let held = users::Column::Id.in_subquery(suspending.clone());
    let free = users::Column::Id.not_in_subquery(suspending);
    let live = Condition::all().add(users::Column::DeletedAt.is_null());
    Ok(match status {
        Status::Deleted => Condition::all().add(users::Column::DeletedAt.is_not_null()),
        Status::Suspended => live.add(Condition::any().add(users::Column::Approval.is_in(refused)).add(held)),
        Status::Initial => live.add(users::Column::Approval.eq(word(ApprovalState::Pending)?)).add(free),
        Status::Active => live.add(users::Column::Approval.eq(word(ApprovalState::Approved)?)).add(free),
    })
}

fn hold(row: &holds::Model) -> Result<Hold> {
    Ok(Hold {
        cause: variant(&row.cause, "hold")?,
        at: Timestamp(row.at),
        by: row.set_by.map(PrincipalId),
        note: row.note.clone(),
    })
}

fn user(row: users::Model, holds: Vec<Hold>) -> Result<Credentials> {
    let approval = Approval {
        state: variant(&row.approval, "approval")?,
        at: row.approval_at.map(Timestamp),
        by: row.approval_by.map(PrincipalId),
        note: row.approval_note,
    };
    let how = row.verified_how.map(|how| variant(&how, "verification")).transpose()?;
    let user = User {
        id: UserId(row.id),
        email: row.email,
        identity: row.identity,
        display_name: row.display_name,
        approval,
        holds,
        verified: row.verified_at.zip(how).map(|(at, how)| Verified { at: Timestamp(at), how }),
        deleted_at: row.deleted_at.map(Timestamp),
        deleted_by: row.deleted_by.map(PrincipalId),
        valid_from: row.valid_from.map(Timestamp),
        valid_until: row.valid_until.map(Timestamp),
        password_set: row.password_hash.is_some(),
        password_must_change: row.password_must_change,
        session_epoch: row.session_epoch,
        manager: row.manager_id.map(UserId),
        version: row.version,
        created_at: Timestamp(row.created_at),
        last_sign_in_at: row.last_sign_in_at.map(Timestamp),
        registrations: row.registrations,
    };
    Ok(Credentials { user, password_hash: row.password_hash })
}
