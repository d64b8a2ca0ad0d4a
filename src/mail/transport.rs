//! How mails leave this process.

use std::fs::{DirBuilder, File, OpenOptions, rename};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lettre::Message;
use uuid::Uuid;

use super::error::DeliveryError;
use super::smtp::Smtp;
use crate::domain::ids::MessageId;
use crate::domain::message::Template;

/// A carrier of mails.
#[derive(Debug)]
pub enum Transport {
    /// One file per mail in this directory, `{message id}.eml`, readable by its owner alone: it may hold a link.
    File(PathBuf),
    /// A mail server.
    Smtp(Box<Smtp>),
    /// Mails are dropped, and count as delivered.
    None,
}

impl Transport {
    /// Makes the transport ready: the directory is there, closed to others if it was made now.
    ///
    /// # Errors
    /// What kept the directory from being made.
    pub fn prepare(&self) -> io::Result<()> {
        match self {
            Self::File(dir) => DirBuilder::new().recursive(true).mode(0o700).create(dir),
            Self::Smtp(_) | Self::None => Ok(()),
        }
    }

    /// Delivers a message. Delivering it again is harmless: a file takes the place of the first one, and whoever gets
    /// two mails can tell that they are one.
    ///
    /// # Errors
    /// [`DeliveryError`], after which no file is visible that was not before.
    pub async fn deliver(&self, id: MessageId, template: Template, message: &Message) -> Result<(), DeliveryError> {
        match self {
            Self::File(dir) => {
                let (dir, bytes) = (dir.clone(), message.formatted());
                let written = tokio::task::spawn_blocking(move || write(&dir, id, &bytes)).await;
                written.map_err(io::Error::other).flatten().map_err(|error| DeliveryError::File(error.kind()))?;
                tracing::info!(mail = %id, template = template.name(), "a mail was written to its file");
            }
            Self::Smtp(server) => {
                server.deliver(message).await?;
                tracing::info!(mail = %id, template = template.name(), "a mail was handed to its server");
            }
            Self::None => tracing::debug!(mail = %id, template = template.name(), "a mail was dropped"),
        }
        Ok(())
    }

    /// Lets go of what was kept for a next mail.
    pub(super) async fn rest(&self) {
        match self {
            Self::Smtp(server) => server.hang_up().await,
            Self::File(_) | Self::None => {}
        }
    }
}

/// Writes the whole file or none: whoever reads the directory meets no half mail, and an outage after the return takes
/// nothing back.
fn write(dir: &Path, id: MessageId, bytes: &[u8]) -> io::Result<()> {
    // A name of its own, for another process may be delivering the same mail.
    let unfinished = dir.join(format!(".{}.tmp", Uuid::new_v4()));
    let done = fill(&unfinished, bytes).and_then(|()| rename(&unfinished, dir.join(format!("{id}.eml"))));
    if done.is_err() {
        // It may not have come into being at all; the first error is the one to tell.
        let _ = std::fs::remove_file(&unfinished);
    }
    done?;
    File::open(dir)?.sync_all()
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn message(words: &str) -> Message {
        let mailbox: lettre::message::Mailbox = "ann@example.com".parse().unwrap();
        let date = std::time::UNIX_EPOCH;
        Message::builder().from(mailbox.clone()).to(mailbox).date(date).body(words.to_owned()).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        dir.read_dir().unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_mail_is_one_file_that_its_owner_alone_reads() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data/mail");
        let transport = Transport::File(dir.clone());
        transport.prepare().unwrap();
        let id = MessageId(Uuid::from_u128(7));
        for _ in 0..2 {
            transport.deliver(id, Template::Suspended, &message("words")).await.unwrap();
            assert_eq!(names(&dir), [format!("{id}.eml")]);
        }
        let file = dir.join(format!("{id}.eml"));
        assert_eq!(std::fs::read(&file).unwrap(), message("words").formatted());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn a_failure_leaves_nothing_behind_and_names_no_path() {
        let home = tempfile::tempdir().unwrap();
        let id = MessageId(Uuid::from_u128(7));
        // A directory in the place of the file lets the last step fail.
        std::fs::create_dir(home.path().join(format!("{id}.eml"))).unwrap();
        let transport = Transport::File(home.path().to_owned());
        let error = transport.deliver(id, Template::Suspended, &message("words")).await.unwrap_err().to_string();
        assert_eq!(names(home.path()), [format!("{id}.eml")]);
        assert!(!error.contains('/') && !error.contains('@'), "{error}");
    }

    #[tokio::test]
    async fn dropping_every_mail_always_works() {
        let id = MessageId(Uuid::from_u128(7));
        Transport::None.prepare().unwrap();
        Transport::None.deliver(id, Template::Suspended, &message("words")).await.unwrap();
    }
}
