//! Loads what decisions are computed from: each snapshot in one statement, with the position that it was read at.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::{QueryResult, Value};

use super::access::grant;
use super::error::{Result, corrupt};
use super::lanes::Loading;
use super::rows::{Attributes, Rows, read, statement, variant};
use crate::domain::account::{AccountFacts, HoldCause};
use crate::domain::catalogue::CatalogueSource;
use crate::domain::change::Loaded;
use crate::domain::ids::{EntryId, Mark, OrganizationId, PrincipalId, RealmId, Revision, RoleId, SessionId, UserId};
use crate::domain::realm::{Position, SigningKeyRow};
use crate::domain::snapshot::{
    Confers, Entry, Membership, Organization, Principal, PrincipalKind, Resource, Scope, Window,
};
use crate::domain::time::Timestamp;

/// The arms of [`PRINCIPALS`], told apart by their first column.
const REALM: i64 = 0;
const USER: i64 = 1;
const SERVICE_ACCOUNT: i64 = 2;
const HOLD: i64 = 3;
const MEMBERSHIP: i64 = 4;
const ENTRY: i64 = 5;
const ENDED_SESSION: i64 = 6;

/// One statement, so that all of it is of one revision. $1 = realm, $2 = since when ended sessions count: one that got its
/// last tokens before has no live one. `{ids}` = the principals; `u4` says whose a row is.
const PRINCIPALS: &str = "
SELECT CAST(0 AS bigint) AS part, id AS u1, id AS u2, id AS u3, id AS u4, name AS t1, name AS t2, name AS t3, name AS t4,
       revision AS n1, mark AS n2, CAST(NULL AS bigint) AS n3, CAST(NULL AS bigint) AS n4,
       CAST(NULL AS bigint) AS n5, CAST(NULL AS bigint) AS n6
FROM realms WHERE id = $1
UNION ALL
SELECT 1, id, manager_id, NULL, id, approval, NULL, NULL, NULL, verified_at, deleted_at, valid_from, valid_until,
       session_epoch, CASE WHEN password_must_change THEN 1 ELSE 0 END
FROM users WHERE id IN ({ids}) AND realm_id = $1
UNION ALL
SELECT 2, id, organization_id, NULL, id, name, NULL, NULL, NULL, disabled_at, NULL, NULL, NULL, NULL, NULL
FROM service_accounts WHERE id IN ({ids}) AND realm_id = $1 AND deleted_at IS NULL
UNION ALL
SELECT 3, user_id, NULL, NULL, user_id, cause, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM holds WHERE user_id IN ({ids}) AND realm_id = $1
UNION ALL
SELECT 4, m.user_id, m.organization_id, NULL, m.user_id, m.state, m.attributes, o.kind, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL
FROM memberships m JOIN organizations o ON o.id = m.organization_id WHERE m.user_id IN ({ids}) AND m.realm_id = $1
UNION ALL
SELECT 6, id, NULL, NULL, user_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM sessions WHERE user_id IN ({ids}) AND realm_id = $1 AND ended_at IS NOT NULL AND COALESCE(rotated_at, created_at) >= $2";

/// What is left out of [`PRINCIPALS`] where entries do not matter.
const ENTRIES: &str = "
UNION ALL
SELECT 5, id, role_id, organization_id, principal_id, pattern, reach, resource_type, resource_id, not_before, expires_at,
       NULL, NULL, NULL, NULL
FROM entries WHERE principal_id IN ({ids}) AND realm_id = $1";

/// So many ids are named by one statement at the most.
const AT_ONCE: usize = 256;

const ORGANIZATIONS: &str = "
SELECT r.revision, r.mark, o.id, o.kind, o.suspended, o.entitlements
FROM realms r LEFT JOIN organizations o ON o.realm_id = r.id AND o.id IN ({ids}) WHERE r.id = $1";

impl<C: Loading> Rows<'_, C> {
    /// What decisions about a principal are computed from. Sessions that ended before `ended_since` are left out.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn principal(&self, id: PrincipalId, ended_since: Timestamp) -> Result<Loaded<Principal>> {
        let (as_of, mut parts) = self.parts(&[PRINCIPALS, ENTRIES], &[id], ended_since).await?;
        let value = parts.remove(&id).and_then(|parts| parts.assemble(self.realm, as_of, id));
        Ok(Loaded { as_of, value })
    }

    /// As [`Rows::principal`], as if it held nothing: costs the same however many entries there are.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn principal_but_entries(&self, id: PrincipalId, ended_since: Timestamp) -> Result<Option<Principal>> {
        let (as_of, mut parts) = self.parts(&[PRINCIPALS], &[id], ended_since).await?;
        Ok(parts.remove(&id).and_then(|parts| parts.assemble(self.realm, as_of, id)))
    }

    /// As [`Rows::principal`], of many distinct ones, in their order, a statement for each few hundred. All are of one
    /// position only in a transaction that holds the realm's row.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn principals(&self, ids: &[PrincipalId], ended_since: Timestamp) -> Result<Vec<Loaded<Principal>>> {
        let mut loaded = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            let (as_of, mut parts) = self.parts(&[PRINCIPALS, ENTRIES], some, ended_since).await?;
            let mut assemble = |id: &PrincipalId| parts.remove(id)?.assemble(self.realm, as_of, *id);
            loaded.extend(some.iter().map(|id| Loaded { as_of, value: assemble(id) }));
        }
        Ok(loaded)
    }

    async fn parts(
        &self,
        arms: &[&str],
        ids: &[PrincipalId],
        ended_since: Timestamp,
    ) -> Result<(Position, BTreeMap<PrincipalId, Parts>)> {
        let fixed = vec![self.realm.0.into(), ended_since.0.into()];
        let rows = self.of_ids(&arms.concat(), fixed, ids.iter().map(|id| id.0)).await?;
        let (mut as_of, mut parts) = (None, BTreeMap::<_, Parts>::new());
        for row in &rows {
            match row.try_get("", "part")? {
                REALM => as_of = Some(position(row, "n1", "n2")?),
                part => parts.entry(PrincipalId(row.try_get("", "u4")?)).or_default().take(part, row)?,
            }
        }
        Ok((as_of.ok_or_else(|| corrupt("realm"))?, parts))
    }

    /// What decisions about an organization are computed from.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn organization_facts(&self, id: OrganizationId) -> Result<Loaded<Organization>> {
        self.organizations_facts(&[id]).await?.pop().ok_or_else(|| corrupt("organization"))
    }

    /// As [`Rows::organization_facts`], of many distinct ones, in their order, a statement for each few hundred.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn organizations_facts(&self, ids: &[OrganizationId]) -> Result<Vec<Loaded<Organization>>> {
        let mut loaded = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            let rows = self.of_ids(ORGANIZATIONS, vec![self.realm.0.into()], some.iter().map(|id| id.0)).await?;
            let as_of = position(rows.first().ok_or_else(|| corrupt("realm"))?, "revision", "mark")?;
            let mut found = BTreeMap::new();
            for row in &rows {
                if let Some(id) = row.try_get::<Option<uuid::Uuid>>("", "id")?.map(OrganizationId) {
                    found.insert(id, organization(self.realm, id, as_of, row)?);
                }
            }
            loaded.extend(some.iter().map(|id| Loaded { as_of, value: found.remove(id) }));
        }
        Ok(loaded)
    }

    /// Asks about some ids, named after these parameters. Their number is rounded up to a power of two by naming the first
    /// ones again: statements of few sizes, so that each is prepared once.
    async fn of_ids(
        &self,
        sql: &str,
        mut values: Vec<Value>,
        ids: impl ExactSizeIterator<Item = uuid::Uuid> + Clone,
    ) -> Result<Vec<QueryResult>> {
        let (first, size) = (values.len() + 1, ids.len().next_power_of_two());
        values.extend(ids.clone().chain(ids.cycle()).take(size).map(Value::from));
        let places: Vec<_> = (first..first + size).map(|at| format!("${at}")).collect();
        Ok(self.conn.query_all_raw(statement(self.conn, sql.replace("{ids}", &places.join(",")), values)).await?)
    }

    /// What a catalogue is compiled from, the realm's signing keys, and the position that both were read at. Read again
    /// until the catalogue stood still meanwhile, which on a locked realm is at once.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn catalogue(&self) -> Result<(Position, CatalogueSource, Vec<SigningKeyRow>)> {
        let mut before = self.realm().await?.ok_or_else(|| corrupt("realm"))?;
        loop {
            let (permissions, roles) = (self.permissions().await?, self.roles().await?);
            let signing_keys = self.signing_keys().await?;
            let after = self.realm().await?.ok_or_else(|| corrupt("realm"))?;
            if after.catalogue_revision == before.catalogue_revision {
                let source = CatalogueSource {
                    realm: after.id,
                    realm_name: after.name,
                    suspended: after.suspended,
                    as_of: after.position.revision,
                    policy: Arc::new(after.policy),
                    permissions,
                    roles,
                    exclusions: vec![],
                };
                return Ok((after.position, source, signing_keys));
            }
            before = after;
        }
    }
}

/// What the arms have brought of a principal so far.
#[derive(Default)]
struct Parts {
    user: Option<(AccountFacts, Option<UserId>, i64)>,
    service_account: Option<PrincipalKind>,
    holds: Vec<HoldCause>,
    memberships: Vec<Membership>,
    entries: Vec<Entry>,
    ended_sessions: Vec<SessionId>,
}

impl Parts {
    fn take(&mut self, part: i64, row: &QueryResult) -> Result<()> {
        let id: uuid::Uuid = row.try_get("", "u1")?;
        let second: Option<uuid::Uuid> = row.try_get("", "u2")?;
        match part {
            USER => self.user = Some((account(row)?, second.map(UserId), row.try_get("", "n5")?)),
            SERVICE_ACCOUNT => {
                let disabled = row.try_get::<Option<i64>>("", "n1")?.is_some();
                let organization = second.map(OrganizationId);
                self.service_account = Some(PrincipalKind::ServiceAccount { organization, disabled });
            }
            HOLD => self.holds.push(variant(&row.try_get::<String>("", "t1")?, "hold")?),
            MEMBERSHIP => self.memberships.push(Membership {
                organization: OrganizationId(second.ok_or_else(|| corrupt("membership"))?),
                kind: row.try_get("", "t3")?,
                state: variant(&row.try_get::<String>("", "t1")?, "membership")?,
                attributes: read::<Attributes>(&row.try_get::<String>("", "t2")?, "attributes")?,
            }),
            ENTRY => self.entries.push(entry(EntryId(id), second.map(RoleId), row)?),
            ENDED_SESSION => self.ended_sessions.push(SessionId(id)),
            _ => return Err(corrupt("part of a principal")),
        }
        Ok(())
    }

    fn assemble(mut self, realm: RealmId, as_of: Position, id: PrincipalId) -> Option<Principal> {
        self.holds.sort_unstable();
        self.entries.sort_unstable_by_key(|entry| entry.id);
        let (kind, manager, session_epoch) = match (self.user, self.service_account) {
            (Some((facts, manager, epoch)), _) => {
                (PrincipalKind::User(AccountFacts { holds: self.holds, ..facts }), manager, epoch)
            }
            (None, Some(kind)) => (kind, None, 0),
            (None, None) => return None,
        };
        Some(Principal {
            id,
            realm,
            as_of: as_of.revision,
            kind,
            memberships: self.memberships,
            manager,
            entries: self.entries,
            session_epoch,
            ended_sessions: self.ended_sessions,
        })
    }
}

fn organization(realm: RealmId, id: OrganizationId, as_of: Position, row: &QueryResult) -> Result<Organization> {
    Ok(Organization {
        id,
        realm,
        as_of: as_of.revision,
        kind: row.try_get("", "kind")?,
        suspended: row.try_get("", "suspended")?,
        entitlements: read(&row.try_get::<String>("", "entitlements")?, "entitlements")?,
    })
}

fn position(row: &QueryResult, revision: &str, mark: &str) -> Result<Position> {
    Ok(Position { revision: Revision(row.try_get("", revision)?), mark: Mark(row.try_get("", mark)?) })
}

fn account(row: &QueryResult) -> Result<AccountFacts> {
    Ok(AccountFacts {
        approval: variant(&row.try_get::<String>("", "t1")?, "approval")?,
        holds: vec![],
        email_verified: row.try_get::<Option<i64>>("", "n1")?.is_some(),
        deleted: row.try_get::<Option<i64>>("", "n2")?.is_some(),
        valid_from: row.try_get::<Option<i64>>("", "n3")?.map(Timestamp),
        valid_until: row.try_get::<Option<i64>>("", "n4")?.map(Timestamp),
        password_must_change: row.try_get::<i64>("", "n6")? != 0,
    })
}

fn entry(id: EntryId, role: Option<RoleId>, row: &QueryResult) -> Result<Entry> {
    let pattern: Option<String> = row.try_get("", "t1")?;
    let reach: Option<String> = row.try_get("", "t2")?;
    let confers = match (role, pattern, reach) {
        (Some(role), _, _) => Confers::Role(role),
        (None, Some(pattern), Some(reach)) => grant(&pattern, &reach)?,
        _ => return Err(corrupt("entry")),
    };
    let resource: (Option<String>, Option<String>) = (row.try_get("", "t3")?, row.try_get("", "t4")?);
    let organization: Option<uuid::Uuid> = row.try_get("", "u3")?;
    let window: (Option<i64>, Option<i64>) = (row.try_get("", "n1")?, row.try_get("", "n2")?);
    Ok(Entry {
        id,
        confers,
        scope: organization.map_or(Scope::Realm, |id| Scope::Organization(OrganizationId(id))),
        resource: resource.0.zip(resource.1).map(|(kind, id)| Box::new(Resource { kind, id })),
        window: Window::new(window.0.map(Timestamp), window.1.map(Timestamp)),
    })
}
