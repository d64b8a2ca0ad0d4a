//! The schema of the database: which of the changes it has, and how the missing ones are made.
//!
//! A change and the row that records it are one transaction on both databases, so that a process that is killed, or a
//! disk that is full, leaves the version before it. Processes that upgrade one database at once take turns: the first
//! statement of each transaction waits for its turn (SQLite: the write lock; PostgreSQL: an advisory lock, which ends with
//! the transaction), and only then it is looked which change is missing. Called by `serve` and `command`; what the
//! changes are is the crate `migrations`'.

use std::collections::BTreeSet;
use std::vec::IntoIter;

use migrations::{CHANGES, Change, record};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter};

use super::Store;
use super::error::{Error, Result, corrupt};
use super::rows::{is_postgres, statement};

/// The key of the advisory lock under which PostgreSQL's schema is changed: `schema` in ASCII.
const TURN: i64 = 0x7363_6865_6d61;

/// How long a statement of a change waits for a table that somebody reads or writes. Whoever comes to the table after it
/// waits behind it, checks too, so that this bounds what an upgrade costs a database in use.
const TABLE_WAIT: &str = "3s";

/// What a role that serves needs on each table.
const RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE";

/// Whether the schema is the one that this binary was built with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schema {
    Current,
    /// So many changes are missing: run `migrate`.
    Behind(usize),
    /// So many changes are there that this binary does not know.
    Ahead(usize),
    /// Changes are missing, and others are there that this binary does not know: another branch of its history.
    Diverged {
        missing: usize,
        unknown: usize,
    },
}

/// Which changes a database records.
struct Recorded(BTreeSet<String>);

/// One change of the schema under way: statement by statement, then [`commit`](Self::commit). Dropped before that, it
/// has changed nothing.
#[derive(Debug)]
pub struct SchemaChange {
    tx: DatabaseTransaction,
    name: &'static str,
    statements: IntoIter<String>,
}

impl Store {
    /// Compares the schema with the one that this binary was built with. Reads only.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database can't be asked; [`Error::MissingRight`].
    pub async fn schema(&self) -> Result<Schema> {
        Ok(Recorded::read(&self.write).await?.compared())
    }

    /// Makes every change that is missing, waiting for other processes that do the same.
    ///
    /// # Errors
    /// [`Error::SchemaChange`] or [`Error::HalfChanged`] if a change can't be made, and then the ones before it are made;
    /// [`Error::Unavailable`]; [`Error::MissingRight`].
    pub async fn migrate(&self) -> Result<()> {
        while let Some(mut change) = self.next_change().await? {
            while change.step().await? {}
            change.commit().await?;
        }
        Ok(())
    }

    /// Begins the oldest change that is missing; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::SchemaDiverged`]; [`Error::Unavailable`]; [`Error::MissingRight`].
    pub async fn next_change(&self) -> Result<Option<SchemaChange>> {
        if Recorded::read(&self.write).await?.next()?.is_none() {
            return Ok(None);
        }
        let tx = self.write.begin().await?;
        take_turn(&tx).await?;
        // Those who had their turn before this one may have made it.
        let Some(change) = Recorded::read(&tx).await?.next()? else { return Ok(None) };
        Ok(Some(SchemaChange { name: change.name, statements: change.up(self.backend()).into_iter(), tx }))
    }

    /// Takes every change of the schema back. Everything in the database is lost.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; whatever a statement runs into.
    pub async fn unmigrate(&self) -> Result<()> {
        let tx = self.write.begin().await?;
        take_turn(&tx).await?;
        let recorded = Recorded::read(&tx).await?;
        for change in CHANGES.iter().rev().filter(|change| recorded.0.contains(change.name)) {
            for sql in change.down(self.backend()) {
                tx.execute_unprepared(&sql).await?;
            }
            record::Entity::delete_many().filter(record::Column::Version.eq(change.name)).exec(&tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// What the database's role lacks to serve on a schema that is current, as `INSERT on audit`. It needs no right to
    /// change the schema. SQLite knows no rights.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn missing_rights(&self) -> Result<Vec<String>> {
        if !self.is_shared() {
            return Ok(vec![]);
        }
        let tables: Vec<_> = migrations::tables().collect();
        let sql = "SELECT p.privilege || ' on ' || t.name AS missing \
             FROM unnest(string_to_array($1, ',')) AS t (name), unnest(string_to_array($2, ', ')) AS p (privilege) \
             WHERE to_regclass(t.name) IS NOT NULL AND NOT has_table_privilege(to_regclass(t.name), p.privilege)";
        let asked = statement(&self.read, sql, [tables.join(",").into(), RIGHTS.into()]);
        let rows = self.read.query_all_raw(asked).await?;
        rows.iter().map(|row| Ok(row.try_get("", "missing")?)).collect()
    }
}

impl Recorded {
    async fn read(conn: &impl ConnectionTrait) -> Result<Self> {
        if !is_recorded(conn).await? {
            return Ok(Self(BTreeSet::new()));
        }
        let rows = record::Entity::find().all(conn).await?;
        Ok(Self(rows.into_iter().map(|row| row.version).collect()))
    }

    fn missing(&self) -> impl Iterator<Item = &'static Change> {
        CHANGES.iter().filter(|change| !self.0.contains(change.name))
    }

    /// The change that is made next. None is made on top of what this binary does not know.
    fn next(&self) -> Result<Option<&'static Change>> {
        match self.compared() {
            Schema::Diverged { missing, unknown } => Err(Error::SchemaDiverged { missing, unknown }),
            Schema::Current | Schema::Behind(_) | Schema::Ahead(_) => Ok(self.missing().next()),
        }
    }

    fn compared(&self) -> Schema {
        let missing = self.missing().count();
        match (missing, self.0.len() + missing - CHANGES.len()) {
            (0, 0) => Schema::Current,
            (missing, 0) => Schema::Behind(missing),
            (0, unknown) => Schema::Ahead(unknown),
            (missing, unknown) => Schema::Diverged { missing, unknown },
        }
    }
}

impl SchemaChange {
    /// What the change is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the next statement; `false` if there is none left.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn step(&mut self) -> Result<bool> {
        let Some(sql) = self.statements.next() else { return Ok(false) };
        match self.tx.execute_unprepared(&sql).await {
            Ok(_) => Ok(true),
            Err(error) => Err(self.failed(&sql, error)),
        }
    }

    /// Records the change and commits.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn commit(self) -> Result<()> {
        let now = if is_postgres(&self.tx) { "extract(epoch FROM now())::bigint" } else { "unixepoch()" };
        let sql = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ($1, {now})");
        self.tx.execute_raw(statement(&self.tx, sql, [self.name.into()])).await?;
        Ok(self.tx.commit().await?)
    }

    fn failed(&self, sql: &str, error: DbErr) -> Error {
        let change = self.name;
        match Error::from(error) {
            Error::Corrupt(cause) if !is_postgres(&self.tx) && is_half_changed(&cause) => {
                Error::HalfChanged { change, cause }
            }
            Error::Corrupt(cause) => Error::SchemaChange { change, cause },
            Error::MissingRight(cause) if sql.contains("EXTENSION") => {
                Error::MissingRight(format!("{cause}; let an administrator of the database run: {sql}"))
            }
            other => other,
        }
    }
}

/// Whether SQLite says that what a statement makes is there, or that what it removes is gone.
fn is_half_changed(cause: &str) -> bool {
    ["already exists", "duplicate column", "no such"].iter().any(|text| cause.contains(text))
}

/// Whether the table that records changes is there.
async fn is_recorded(conn: &impl ConnectionTrait) -> Result<bool> {
    let sql = match conn.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT to_regclass('seaql_migrations') IS NOT NULL AS found, current_schema() IS NULL AS closed"
        }
        _ => {
            "SELECT count(*) > 0 AS found, 0 AS closed FROM sqlite_schema WHERE type = 'table' AND name = 'seaql_migrations'"
        }
    };
    let row = conn.query_one_raw(statement(conn, sql, [])).await?.ok_or_else(|| corrupt("schema"))?;
    if row.try_get("", "closed")? {
        let closed = "USAGE on a schema of its search_path (GRANT USAGE ON SCHEMA public TO …)";
        return Err(Error::MissingRight(closed.to_owned()));
    }
    Ok(row.try_get("", "found")?)
}

/// Waits until no other process changes the schema, and makes the table that records the changes.
async fn take_turn(tx: &DatabaseTransaction) -> Result<()> {
    if is_postgres(tx) {
        // Building an index takes as long as it takes, and so does another process' turn.
        for setting in ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"] {
            tx.execute_unprepared(&format!("SET LOCAL {setting} = 0")).await?;
        }
        tx.query_one_raw(statement(tx, "SELECT pg_advisory_xact_lock($1)::text", [TURN.into()])).await?;
        tx.execute_unprepared(&format!("SET LOCAL lock_timeout = '{TABLE_WAIT}'")).await?;
        reach_trigrams(tx).await?;
    }
    let made = "CREATE TABLE IF NOT EXISTS seaql_migrations (version varchar NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)";
    tx.execute_unprepared(made).await?;
    Ok(())
}

/// Lets the statements of this transaction find `pg_trgm` in whichever schema an administrator put it.
async fn reach_trigrams(tx: &DatabaseTransaction) -> Result<()> {
    let sql = "SELECT set_config('search_path', \
             concat_ws(', ', nullif(current_setting('search_path'), ''), quote_ident(n.nspname)), true) \
         FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'";
    tx.query_one_raw(statement(tx, sql, [])).await?;
    Ok(())
}
