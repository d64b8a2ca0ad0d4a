//! SeaORM models, one file per table, and nothing else: what a column means is said by the queries beside this folder.
#![expect(unreachable_pub, reason = "the derives of SeaORM want public models; the module keeps them inside `store`")]

pub(in crate::store) mod answers;
pub(in crate::store) mod api_keys;
pub(in crate::store) mod audit;
pub(in crate::store) mod changes;
pub(in crate::store) mod codes;
pub(in crate::store) mod entries;
pub(in crate::store) mod holds;
pub(in crate::store) mod identifiers;
pub(in crate::store) mod memberships;
pub(in crate::store) mod meta;
pub(in crate::store) mod organizations;
pub(in crate::store) mod outbox;
pub(in crate::store) mod permissions;
pub(in crate::store) mod realms;
pub(in crate::store) mod roles;
pub(in crate::store) mod service_accounts;
pub(in crate::store) mod sessions;
pub(in crate::store) mod signing_keys;
pub(in crate::store) mod throttles;
pub(in crate::store) mod tombstone_keys;
pub(in crate::store) mod tombstones;
pub(in crate::store) mod users;
