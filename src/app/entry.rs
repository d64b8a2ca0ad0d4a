//! Entries as callers see them: with the names of what they refer to.

use serde::{Deserialize, Serialize};

use super::Name;
use super::error::Result;
use super::user::names;
use crate::domain::catalogue::Catalogue;
use crate::domain::entry::EntryRow;
use crate::domain::snapshot::Confers;
use crate::store::{Connection, Rows};

/// An entry with the names of what it refers to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EntryView {
    pub row: EntryRow,
    /// Whose it is.
    pub principal: Option<Name>,
    /// Who made it; absent where the policy did.
    pub assigned_by: Option<Name>,
    /// The role's name, for an assignment whose role still is.
    pub role: Option<String>,
    /// The slug of the organization that it is scoped to.
    pub slug: Option<String>,
}

/// Entries with the names of what they refer to.
pub(super) async fn views<C: Connection>(
    rows: Rows<'_, C>,
    catalogue: &Catalogue,
    entries: Vec<EntryRow>,
) -> Result<Vec<EntryView>> {
    let referred: Vec<_> = entries.iter().flat_map(|row| row.assigned_by.into_iter().chain([row.principal])).collect();
    let names = names(rows, &referred).await?;
    let organizations: Vec<_> = entries.iter().filter_map(|row| row.entry.scope.organization()).collect();
    let slugs = rows.slugs(&organizations).await?;
    let view = |row: EntryRow| EntryView {
        principal: names.get(&row.principal).cloned(),
        assigned_by: row.assigned_by.and_then(|id| names.get(&id).cloned()),
        role: match &row.entry.confers {
            Confers::Role(role) => catalogue.role(*role).map(|role| role.name.clone()),
            Confers::Grant { .. } => None,
        },
        slug: row.entry.scope.organization().and_then(|id| slugs.get(&id).cloned()),
        row,
    };
    Ok(entries.into_iter().map(view).collect())
}
