//! Files that hold a secret: who may read one, who may change it, and how one is made.
//!
//! Read and made while starting, by the root key's file ([`super::key_file`]) and by the composition root. A file that
//! this service made is its user's alone. One that an operator made is often mounted, and the platform chose its mode:
//! Kubernetes 0644, Docker 0444. It may be readable by everybody, which is said in the log; it may not be writable by
//! anybody else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::random_bytes;

/// The most that is read of a file, in bytes. The longest secrets are passwords.
const MAX_FILE_BYTES: u64 = 4_096;
/// The widest mode of a file that this service made, and the mode it makes it with.
const OWNER_ONLY: u32 = 0o600;
/// The widest mode of a file that an operator made.
const ALL_READ: u32 = 0o644;
/// What a mode says of reading and writing. Whether a file may be executed is nothing to us.
const READ_AND_WRITE: u32 = 0o666;
const OTHERS_READ: u32 = 0o004;

/// Who made a file, and so chose its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Maker {
    Service,
    Operator,
}

/// Why a secret can't be had from its file. Holds nothing of the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("{path} has mode {given:04o}, a secret may have at most {limit:04o}")]
    TooOpen { path: PathBuf, given: u32, limit: u32 },
    #[error("can't use {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("there is nothing in the first line of {0}")]
    Empty(PathBuf),
}

/// Reads the text of a file.
///
/// # Errors
/// [`SecretFileError::TooOpen`] if anybody else may change it, or read what this service made; or the file can't be read.
pub fn read(path: &Path, maker: Maker) -> Result<Zeroizing<String>, SecretFileError> {
    let failed = |source| SecretFileError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    require_mode(path, file.metadata().map_err(failed)?.mode(), maker)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Reads the first line of a file that an operator made: a password.
///
/// # Errors
/// As [`read`]; [`SecretFileError::Empty`].
pub fn read_line(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let text = read(path, Maker::Operator)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => Err(SecretFileError::Empty(path.to_owned())),
    }
}

/// Requires of a file that somebody else reads that it is no more open than a secret may be.
///
/// # Errors
/// As [`read`].
pub fn require_closed(path: &Path) -> Result<(), SecretFileError> {
    let found = fs::metadata(path).map_err(|source| SecretFileError::File { path: path.to_owned(), source })?;
    require_mode(path, found.mode(), Maker::Operator)
}

fn require_mode(path: &Path, mode: u32, maker: Maker) -> Result<(), SecretFileError> {
    let given = mode & READ_AND_WRITE;
    let limit = if maker == Maker::Service { OWNER_ONLY } else { ALL_READ };
    if given & !limit != 0 {
        return Err(SecretFileError::TooOpen { path: path.to_owned(), given, limit });
    }
    if given & OTHERS_READ != 0 {
        tracing::warn!(
            file = %path.display(),
            mode = format!("{given:04o}"),
            "everybody on this machine may read this secret: chmod 0440 or less, or mount it so (Kubernetes: defaultMode \
             0440 with fsGroup; Docker: mode 0400 with uid)"
        );
    }
    Ok(())
}

/// Makes a file with a line of text, for this user alone, with the folders before it. It appears whole or not at all.
/// `false` = there is one already, which is left as it is.
///
/// # Errors
/// What kept it from being made.
pub fn create(path: &Path, line: &str) -> Result<bool, SecretFileError> {
    let created = try_create(path, line);
    created.map_err(|source| SecretFileError::File { path: path.to_owned(), source })
}

/// Writes a draft beside `path`, then links it there: a link, unlike a rename, never replaces another's secret.
fn try_create(path: &Path, line: &str) -> io::Result<bool> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let unique: String = random_bytes::<8>().map(|byte| format!("{byte:02x}")).concat();
    let draft = path.with_extension(unique);
    let linked = write(&draft, line).and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_mounted_secret_that_all_may_read_is_used_and_one_that_others_may_change_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/secret");
        assert!(create(&path, "hunter2").unwrap());
        assert!(!create(&path, "another").unwrap(), "what is there stays");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, OWNER_ONLY);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the draft is gone");
        for (mode, service, operator) in [
            (0o400, true, true),
            (0o440, false, true),
            (0o444, false, true),
            (0o644, false, true),
            (0o755, false, true),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path, Maker::Service).is_ok(), service, "{mode:o}");
            assert_eq!(read(&path, Maker::Operator).is_ok(), operator, "{mode:o}");
        }
        for mode in [0o660, 0o622, 0o646, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_line(&path).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("has mode {:04o}, a secret may have at most 0644", mode & 0o666)),
                "{error}"
            );
        }
    }

    #[test]
    fn a_password_is_the_first_line_and_a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "hunter 2\r\nnot this\n").unwrap();
        assert_eq!(*read_line(&path).unwrap(), "hunter 2");
        fs::write(&path, "\n").unwrap();
        assert!(matches!(read_line(&path), Err(SecretFileError::Empty(_))));
        let missing = read_line(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.ends_with("none"), "{missing}");
    }
}
