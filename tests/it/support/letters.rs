//! The mails that the file transport wrote.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

/// The directory of the mails, and which of them were looked at.
#[derive(Debug)]
pub(super) struct Letters {
    dir: PathBuf,
    read: Mutex<BTreeSet<String>>,
}

/// One mail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Letter {
    /// The name of its file, which is in the order of time.
    name: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    /// The plain part.
    pub(crate) text: String,
}

impl Letters {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, read: Mutex::default() }
    }

    /// Every mail to an address, the oldest first.
    pub(super) fn to(&self, address: &str) -> Vec<Letter> {
        self.all().into_iter().filter(|letter| letter.to == address).collect()
    }

    /// The mails that this has not answered yet.
    pub(super) fn unread(&self) -> Vec<Letter> {
        let mut read = self.read.lock().unwrap();
        self.all().into_iter().filter(|letter| read.insert(letter.name.clone())).collect()
    }

    fn all(&self) -> Vec<Letter> {
        let files = self.dir.read_dir().unwrap().map(|file| file.unwrap().path());
        let mut letters: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).map(letter).collect();
        letters.sort_by(|a, b| a.name.cmp(&b.name));
        letters
    }
}

impl Letter {
    /// `address: subject`.
    pub(crate) fn line(&self) -> String {
        format!("{}: {}", self.to, self.subject)
    }

    /// The code of its link.
    pub(crate) fn code(&self) -> Option<String> {
        let (_, rest) = self.text.split_once("?code=")?;
        rest.split_ascii_whitespace().next().map(str::to_owned)
    }
}

fn letter(path: PathBuf) -> Letter {
    let mail = std::fs::read_to_string(&path).unwrap();
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    // RFC 5322 section 2.2.3: a line that begins with a space goes on with the one before.
    let head = head.replace("\r\n ", " ");
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("a mail without {name}: {head}")).to_owned()
    };
    Letter {
        name: path.file_name().unwrap().to_str().unwrap().to_owned(),
        to: field("To"),
        subject: field("Subject"),
        text: plain_part(body).unwrap_or_else(|| panic!("a mail whose plain part is encoded: {body}")),
    }
}

/// The first part, which goes out as it is unless a foreign name is in it.
fn plain_part(body: &str) -> Option<String> {
    let (boundary, rest) = body.trim_start().split_once("\r\n")?;
    let (part, _) = rest.split_once(boundary)?;
    let (head, text) = part.split_once("\r\n\r\n")?;
    head.contains("7bit").then(|| text.replace("\r\n", "\n"))
}
