//! A mail server of a test: a process of its own, with certificates of its own. How it behaves stands in
//! `mail_server.py`, which it runs.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::app::{GLANCE, PATIENCE};
use super::letters::Letters;

const VARIABLE: &str = "COUNTERSIGN_TEST_AIOSMTPD";
/// The password of `portal`.
pub(crate) const MAIL_PASSWORD: &str = "a tin whistle in the attic";

/// A mail server on `localhost`. Ends when this does.
pub(crate) struct MailServer {
    home: TempDir,
    security: &'static str,
    port: u16,
    running: Option<Child>,
}

impl MailServer {
    /// Starts one that offers `starttls`, `tls` or `none`.
    pub(crate) fn start(security: &'static str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("mail")).unwrap();
        std::fs::write(home.path().join("password"), format!("{MAIL_PASSWORD}\n")).unwrap();
        write_certificates(home.path());
        let mut server = Self { home, security, port: 0, running: None };
        server.start_again();
        server
    }

    /// Starts it on the port that it had.
    pub(crate) fn start_again(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/mail_server.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args([&self.port.to_string(), self.security])
            .arg(self.home.path())
            .env("PYTHONPATH", packages())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.port = line.trim().parse().unwrap_or_else(|_| panic!("the mail server did not start: {line:?}"));
        self.running = Some(child);
    }

    /// Ends it; what was sent to it stays.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of the authority that signed the server's.
    pub(crate) fn ca(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    /// The file of the password of `portal`.
    pub(crate) fn password_file(&self) -> PathBuf {
        self.home.path().join("password")
    }

    /// From now on it takes what it put off.
    pub(crate) fn relent(&self) {
        std::fs::write(self.home.path().join("relent"), "").unwrap();
    }

    /// What happened, in its words.
    pub(crate) fn log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// The mails that it took, as they came, once there are so many.
    pub(crate) async fn taken(&self, count: usize) -> Vec<String> {
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.files().len() < count {
                tokio::time::sleep(GLANCE).await;
            }
        });
        assert!(waited.await.is_ok(), "{} mails came, not {count}: {:?}", self.files().len(), self.log());
        self.files().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }

    /// The mails that it took.
    pub(super) fn letters(&self) -> Letters {
        Letters::new(self.home.path().join("mail"))
    }

    fn files(&self) -> Vec<PathBuf> {
        let dir = self.home.path().join("mail").read_dir().unwrap();
        let mut files: Vec<_> = dir.map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn packages() -> String {
    #[expect(clippy::disallowed_methods, reason = "what a test run hands to its tests is no setting of the server")]
    let packages = std::env::var(VARIABLE);
    packages.unwrap_or_else(|_| panic!("{VARIABLE} is not set: run the tests by ./tests/run, which installs aiosmtpd"))
}

/// An authority, and what it signed for `localhost` alone.
fn write_certificates(home: &Path) {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    std::fs::write(home.join("ca.pem"), root.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let signed = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    std::fs::write(home.join("certificate.pem"), signed.pem()).unwrap();
    std::fs::write(home.join("key.pem"), key.serialize_pem()).unwrap();
}
