//! What must hold among the settings of the `smtp` transport.

use std::time::Duration;

use super::{Config, ConfigError, MailTransport, ONE_OF, SmtpSecurity};

/// Shorter, and a healthy server may be given up.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Longer, and the last mail of a batch could outlive the batch's claim, which is the relay's: 60 s, of which 30 s may
/// have passed when that mail begins.
const TIMEOUT_MAX: Duration = Duration::from_secs(25);

impl Config {
    /// # Errors
    /// The first contradiction.
    pub(super) fn check_smtp(&self) -> Result<(), ConfigError> {
        if self.mail_transport == MailTransport::Smtp { self.check_server() } else { self.check_unused() }
    }

    fn check_server(&self) -> Result<(), ConfigError> {
        let Some(host) = &self.smtp_host else {
            return Err(self.contradiction("mail_transport", "smtp_host", "smtp needs a host"));
        };
        if self.smtp_password.is_some() && self.smtp_password_file.is_some() {
            return Err(self.contradiction("smtp_password", "smtp_password_file", ONE_OF));
        }
        let password = match (&self.smtp_password, &self.smtp_password_file) {
            (Some(_), _) => Some("smtp_password"),
            (None, Some(_)) => Some("smtp_password_file"),
            (None, None) => None,
        };
        match (&self.smtp_username, password) {
            (Some(_), None) => {
                return Err(self.contradiction("smtp_username", "smtp_password", "a name needs a password"));
            }
            (None, Some(password)) => {
                return Err(self.contradiction(password, "smtp_username", "a password needs a name"));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if self.smtp_security == SmtpSecurity::None {
            self.check_plaintext(host.is_loopback(), password)?;
        }
        if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&self.smtp_timeout) {
            return Err(ConfigError::Invalid {
                name: "smtp_timeout",
                from: self.source("smtp_timeout"),
                problem: format!("expected 1s to 25s, got {:?}", self.smtp_timeout),
            });
        }
        Ok(())
    }

    fn check_plaintext(&self, loopback: bool, password: Option<&'static str>) -> Result<(), ConfigError> {
        let clash = |second, rule| Err(self.contradiction("smtp_security", second, rule));
        match password {
            Some(password) if !loopback => clash(password, "beyond loopback no password goes out unencrypted"),
            _ if self.smtp_ca_file.is_some() => clash("smtp_ca_file", "without TLS no certificate is looked at"),
            _ if !loopback && !self.smtp_allow_plaintext => {
                clash("smtp_allow_plaintext", "beyond loopback unencrypted mail must be allowed")
            }
            _ => Ok(()),
        }
    }

    /// A mail server that nobody would use is a mistake, and its password was given away for nothing.
    fn check_unused(&self) -> Result<(), ConfigError> {
        let given = [
            ("smtp_host", self.smtp_host.is_some()),
            ("smtp_port", self.smtp_port.is_some()),
            ("smtp_username", self.smtp_username.is_some()),
            ("smtp_password", self.smtp_password.is_some()),
            ("smtp_password_file", self.smtp_password_file.is_some()),
            ("smtp_ca_file", self.smtp_ca_file.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(self.contradiction(name, "mail_transport", "it is for the smtp transport alone")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refusal};
    use super::*;

    const SERVER: &str = "mail_transport = 'smtp'\nsmtp_host = 'mail.example.org'\n";

    fn with(lines: &str) -> String {
        refusal(&format!("{SERVER}{lines}"), &[], &[])
    }

    #[test]
    fn a_mail_server_needs_a_host_alone() {
        let refused = refusal("", &[], &["--mail-transport", "smtp"]);
        assert!(
            refused.starts_with("mail_transport (flag --mail-transport) contradicts smtp_host (default)"),
            "{refused}"
        );
        let config = load(SERVER, &[], &[]).unwrap();
        assert_eq!((config.smtp_security, config.smtp_security.port()), (SmtpSecurity::StartTls, 587));
        for host in ["127.0.0.1", "::1", "mail"] {
            load("mail_transport = 'smtp'", &[("COUNTERSIGN_SMTP_HOST", host)], &[]).unwrap();
        }
        for host in ["mail.example.org:25", "smtp://mail", "mail .org", "a..b", "ann@mail"] {
            let refused = refusal("mail_transport = 'smtp'", &[("COUNTERSIGN_SMTP_HOST", host)], &[]);
            assert!(refused.contains("without a port"), "{host}: {refused}");
        }
    }

    #[test]
    fn a_name_and_a_password_come_together() {
        assert!(with("smtp_username = 'portal'").contains("smtp_username (file "));
        assert!(with("smtp_password = 'hunter2'").contains("contradicts smtp_username (default)"));
        assert!(with("smtp_password_file = 'password'").contains("contradicts smtp_username (default)"));
        let both = with("smtp_username = 'portal'\nsmtp_password = 'hunter2'\nsmtp_password_file = 'password'");
        assert!(both.contains("contradicts smtp_password_file") && !both.contains("hunter2"), "{both}");
        let config = load(&format!("{SERVER}smtp_username = 'portal'\nsmtp_password = 'hunter2'"), &[], &[]).unwrap();
        assert!(!config.describe().join(" ").contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn unencrypted_mail_leaves_loopback_where_it_is_allowed_and_a_password_never_does() {
        let plain = with("smtp_security = 'none'");
        assert!(plain.contains("contradicts smtp_allow_plaintext (default)"), "{plain}");
        let allowed = "smtp_security = 'none'\nsmtp_allow_plaintext = true\n";
        load(&format!("{SERVER}{allowed}"), &[], &[]).unwrap();
        let password = with(&format!("{allowed}smtp_username = 'portal'\nsmtp_password = 'hunter2'"));
        assert!(password.contains("contradicts smtp_password (file "), "{password}");
        assert!(with(&format!("{allowed}smtp_ca_file = 'ca.pem'")).contains("contradicts smtp_ca_file"));
        let here = "mail_transport = 'smtp'\nsmtp_host = 'localhost'\nsmtp_security = 'none'\n";
        load(&format!("{here}smtp_username = 'portal'\nsmtp_password = 'hunter2'"), &[], &[]).unwrap();
    }

    #[test]
    fn a_mail_takes_no_longer_than_its_claim_allows() {
        assert!(with("smtp_timeout = '26s'").contains("expected 1s to 25s"));
        assert!(with("smtp_timeout = '999ms'").contains("expected 1s to 25s"));
        load(&format!("{SERVER}smtp_timeout = '25s'"), &[], &[]).unwrap();
    }

    #[test]
    fn a_mail_server_that_nobody_uses_is_refused() {
        for (setting, value) in [("SMTP_HOST", "mail"), ("SMTP_PASSWORD", "hunter2"), ("SMTP_CA_FILE", "ca.pem")] {
            let refused = refusal("", &[(&format!("COUNTERSIGN_{setting}"), value)], &[]);
            assert!(refused.contains("contradicts mail_transport (default)"), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
