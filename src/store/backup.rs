//! Copies of an embedded database, and what a copy that is put back, of either database, must not bring back.

use std::path::Path;

use sea_orm::{ConnectionTrait, EntityTrait};

use super::entity::meta;
use super::error::{Error, Result, corrupt};
use super::rows::statement;
use super::{Store, Tx};
use crate::domain::ids::Mark;
use crate::domain::time::Timestamp;

impl Store {
    /// Opens the file of an embedded record for reading alone, beside whoever writes to it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can't be opened; [`Error::Corrupt`] if it is no database.
    pub async fn open_to_read(file: &Path) -> Result<Self> {
        Self::on_sqlite_untouched(file).await
    }

    /// Writes a copy of the embedded record, as of one instant, into an empty file. Those who write meanwhile go on. The
    /// system has not necessarily put the copy on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Corrupt`] if the record can't be read.
    pub async fn copy_into(&self, file: &Path) -> Result<()> {
        let file = file.to_str().ok_or_else(|| corrupt("path of the copy"))?;
        let conn = self.read.unhurried();
        conn.execute_raw(statement(conn, "VACUUM INTO $1", [file.into()])).await?;
        Ok(())
    }

    /// Reads an embedded record from end to end.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the first thing that is wrong.
    pub async fn require_intact(&self) -> Result<()> {
        let conn = self.read.unhurried();
        let row = conn.query_one_raw(statement(conn, "PRAGMA integrity_check(1)", [])).await?;
        let found: String = row.ok_or_else(|| corrupt("integrity"))?.try_get_by_index(0)?;
        if found == "ok" { Ok(()) } else { Err(Error::Corrupt(found)) }
    }

    /// Has everything in the one file of an embedded record, so that the file alone can be moved. For a record that
    /// nobody else has open.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if somebody has.
    pub async fn fold_log(&self) -> Result<()> {
        let conn = self.write.unhurried();
        let row = conn.query_one_raw(statement(conn, "PRAGMA wal_checkpoint(TRUNCATE)", [])).await?;
        let busy: i64 = row.ok_or_else(|| corrupt("checkpoint"))?.try_get_by_index(0)?;
        if busy == 0 { Ok(()) } else { Err(Error::Corrupt("the log of the record is in use".to_owned())) }
    }

    /// A fact of the whole record; `None` = it is not kept.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if this is no record of ours.
    pub async fn fact(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(meta::Entity::find_by_id(name.to_owned()).one(&self.read).await?.map(|row| row.value))
    }
}

impl Store {
    /// What tells a PostgreSQL database from one that its rows were copied into: the server's and the database's number.
    /// `None` = it can't be told, on SQLite or without the right to ask.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn identity(&self) -> Result<Option<Vec<u8>>> {
        if !self.is_shared() {
            return Ok(None);
        }
        let sql = "SELECT system_identifier || '/' || oid AS identity FROM pg_control_system(), pg_database \
             WHERE datname = current_database()";
        match self.write.query_one_raw(statement(&self.write, sql, [])).await.map_err(Error::from) {
            Ok(row) => Ok(row.map(|row| row.try_get::<String>("", "identity")).transpose()?.map(String::into_bytes)),
            Err(Error::MissingRight(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Tx {
    /// Ends every session of the realm and spends every code.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn void_what_may_be_spent(&self, now: Timestamp) -> Result<()> {
        self.set_all("UPDATE users SET session_epoch = session_epoch + $2 WHERE realm_id = $1", 1).await?;
        self.set_all("UPDATE sessions SET ended_at = $2 WHERE realm_id = $1 AND ended_at IS NULL", now.0).await?;
        self.set_all("UPDATE codes SET spent_at = $2 WHERE realm_id = $1 AND spent_at IS NULL", now.0).await
    }

    /// Revokes every API key of the realm.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_every_api_key(&self, now: Timestamp) -> Result<()> {
        self.set_all("UPDATE api_keys SET revoked_at = $2 WHERE realm_id = $1 AND revoked_at IS NULL", now.0).await
    }

    /// Marks the realm's whole log anew, so that whoever follows it finds another history and starts over.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn begin_another_history(&self, mark: Mark) -> Result<()> {
        self.set_all("UPDATE changes SET mark = $2 WHERE realm_id = $1", mark.0).await?;
        self.set_all("UPDATE realms SET mark = $2 WHERE id = $1", mark.0).await
    }

    async fn set_all(&self, sql: &str, value: i64) -> Result<()> {
        let rows = self.rows();
        rows.conn.execute_raw(statement(rows.conn, sql, [rows.realm.0.into(), value.into()])).await?;
        Ok(())
    }
}
