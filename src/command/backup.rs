//! `countersign backup` and `countersign restore`: the embedded record as one file, and back; and `countersign restored`,
//! the last step of a restore by the tools of PostgreSQL.
//!
//! A backup is made beside a running server, which notices nothing; a restore needs the server stopped. The root key is
//! in neither: without it a backup opens for nobody, also not for its owner.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, Settings, say};
use crate::app::clock::Clock;
use crate::config::{Config, DatabaseUrl};
use crate::serve;
use crate::store::{self, Location, Schema, Store};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to make. There must be none of that name.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The file that `backup` made.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(super) struct Restored {
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    settings: Settings,
}

/// What ends with a restore beyond sessions and mailed codes.
#[derive(Clone, Copy, Debug, Args)]
struct Ends {
    /// Revokes every API key too, since what was revoked after the copy was made is in it as if it were not. Then make an
    /// operator's by `key recover`.
    #[arg(long)]
    revoke_api_keys: bool,
}

impl Backup {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { to, settings } = self;
        let config = Config::load(&settings.flags)?;
        let record = embedded(&config)?;
        if !record.exists() {
            return Err(Failure::Other(format!("there is no record at {}", record.display())));
        }
        if to.exists() {
            return Err(taken(&to));
        }
        let draft = Draft::make(&to)?;
        let store = Store::open_to_read(record).await?;
        let copied = store.copy_into(&draft.0).await;
        store.close().await;
        copied?;
        // A copy that was never read is a hope.
        intact(&draft.0).await?;
        draft.becomes(&to)?;
        say(&format!("{} is made; the root key is not in it: keep both, apart from each other", to.display()))
    }
}

impl Restore {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { from, ends, settings } = self;
        let config = Config::load(&settings.flags)?;
        let record = embedded(&config)?;
        let _lock = serve::lock_beside(record)?;
        intact(&from).await?;
        let draft = Draft::make(record)?;
        // Not `fs::copy`, which would bring along who may read the copy.
        io::copy(&mut File::open(&from)?, &mut File::options().write(true).open(&draft.0)?)?;
        prepare(&config, &draft.0, ends).await?;
        let aside = record.exists().then(|| set_aside(record)).transpose()?;
        draft.replaces(record)?;
        if let Some(aside) = aside {
            say(&format!("what was there before is {}", aside.display()))?;
        }
        say(&format!("{} is restored; start the server", record.display()))
    }
}

impl Restored {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { ends, settings } = self;
        let config = Config::load(&settings.flags)?;
        let (store, _lock) = serve::open(&config).await?;
        serve::bring_schema_up(&store, false).await?;
        let app = serve::build_on(&config, store).await?;
        app.restored(ends.revoke_api_keys).await?;
        app.store().close().await;
        let keys = if ends.revoke_api_keys { "every API key is revoked" } else { "API keys are what they were then" };
        say(&format!("sessions, refresh tokens and mailed codes from before the restore have ended; {keys}"))
    }
}

/// The file of the embedded record.
fn embedded(config: &Config) -> Result<&Path, Failure> {
    match &config.database_url {
        DatabaseUrl::Sqlite(file) => Ok(file),
        DatabaseUrl::Postgres(_) => {
            let rule = "the record is in PostgreSQL, which has tools of its own for this: pg_dump, pg_basebackup; \
                        after a restore run `countersign restored`";
            Err(Failure::Other(rule.to_owned()))
        }
    }
}

/// Requires that a file is a record, whole and of a version that this one reads.
async fn intact(file: &Path) -> Result<(), Failure> {
    // SQLite would take an empty file for an empty database.
    if fs::metadata(file).map_err(|error| unusable(file, &error))?.len() == 0 {
        return Err(unusable(file, &"it is empty"));
    }
    let looked = async {
        let store = Store::open_to_read(file).await?;
        let outcome = async {
            store.require_intact().await?;
            store.fact(crate::app::ROOT_KEY).await?;
            store.schema().await
        };
        let outcome = outcome.await;
        store.close().await;
        outcome
    };
    match looked.await {
        Ok(Schema::Ahead(changes)) if changes > 1 => {
            Err(unusable(file, &format!("its schema is {changes} changes ahead of this version")))
        }
        Ok(_) => Ok(()),
        Err(store::Error::Corrupt(what)) => Err(unusable(file, &what)),
        Err(error) => Err(error.into()),
    }
}

/// Makes a copy what the server will begin with. Whatever goes wrong here has changed nothing but the copy.
async fn prepare(config: &Config, file: &Path, ends: Ends) -> Result<(), Failure> {
    let store = Store::open(Location::Sqlite(file), 1).await?;
    let prepared = async {
        let app = serve::build_on(config, store.clone()).await?;
        store.migrate().await?;
        app.restored(ends.revoke_api_keys).await?;
        store.fold_log().await?;
        Ok::<_, Failure>(())
    };
    let prepared = prepared.await;
    store.close().await;
    prepared
}

/// Puts another name beside the record that was there, and takes its log away: it would be taken for the new one's.
fn set_aside(record: &Path) -> io::Result<PathBuf> {
    let aside = beside(record, &format!(".replaced-{}", Clock::default().now().0));
    fs::hard_link(record, &aside)?;
    let (log, index) = (beside(record, "-wal"), beside(record, "-shm"));
    if log.exists() {
        fs::hard_link(&log, beside(&aside, "-wal"))?;
        fs::remove_file(&log)?;
    }
    if index.exists() {
        fs::remove_file(&index)?;
    }
    sync_folder(record)?;
    Ok(aside)
}

/// A file under another name until it is whole. Goes with this, unless it became what it was to be.
struct Draft(PathBuf);

impl Draft {
    /// For its owner alone: addresses and hashes lie in there.
    fn make(of: &Path) -> Result<Self, Failure> {
        let draft = beside(of, ".part");
        match File::options().write(true).create_new(true).mode(0o600).open(&draft) {
            Ok(_) => Ok(Self(draft)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken(&draft)),
            Err(error) => Err(unusable(&draft, &error)),
        }
    }

    /// A link, unlike a rename, never replaces what is there.
    fn becomes(self, file: &Path) -> io::Result<()> {
        File::open(&self.0)?.sync_all()?;
        fs::hard_link(&self.0, file)?;
        sync_folder(file)
    }

    fn replaces(self, file: &Path) -> io::Result<()> {
        File::open(&self.0)?.sync_all()?;
        fs::rename(&self.0, file)?;
        sync_folder(file)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        for leftover in [self.0.clone(), beside(&self.0, "-wal"), beside(&self.0, "-shm")] {
            // What is not there needs no removing; what can't be removed names itself at the next try.
            let _removed = fs::remove_file(leftover);
        }
    }
}

fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn taken(file: &Path) -> Failure {
    Failure::Other(format!("{} is there already", file.display()))
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::Other(format!("{} is no record that can be used: {why}", file.display()))
}
