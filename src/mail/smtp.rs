//! Mails by SMTP: one connection, used for every mail of a batch, then given back.
//!
//! What is trusted, how long a mail may take and what a refusal means is decided here; when to try again is the relay's
//! business. No text that leaves here repeats the words of a server, which have addresses in them.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::{Category, Code, Severity};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::error::DeliveryError;
use super::text::one_line;

/// How long a server may take to say goodbye; what it was given is its own by then.
const FAREWELL: Duration = Duration::from_secs(1);
/// A cause is cut off after so many characters.
const CAUSE_CHARS_MAX: usize = 200;

/// How a connection is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Security {
    /// TLS from the server's greeting on, or no mail at all.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Not at all.
    None,
}

/// Where mails are handed over, and how.
#[derive(Clone, Debug)]
pub struct SmtpOptions {
    /// A name or an address. With TLS, what the certificate must be for.
    pub host: String,
    pub port: u16,
    pub security: Security,
    /// Presented by PLAIN or LOGIN, after the connection is protected.
    pub login: Option<Credentials>,
    /// Certificates that are trusted besides those of Mozilla's list, as PEM.
    pub ca: Option<Vec<u8>>,
    /// The domain that this client says it is of.
    pub hello: String,
    /// How long one mail may take, connecting included.
    pub timeout: Duration,
}

/// Why there can be no such transport.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    #[error("a password must not cross a network in the clear")]
    LoginInClear,
    #[error("there is no certificate in the file")]
    NoCertificate,
    #[error("its certificates can't be used")]
    Certificates(#[source] Error),
}

/// A mail server.
pub struct Smtp {
    host: String,
    port: u16,
    security: Security,
    tls: Option<TlsParameters>,
    login: Option<Credentials>,
    hello: ClientId,
    timeout: Duration,
    /// The connection that the mail before this one left; nobody is in a mail on it.
    open: Mutex<Option<AsyncSmtpConnection>>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({}:{}, {:?})", self.host, self.port, self.security)
    }
}

/// How far a mail came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Sender,
    Recipient,
    Content,
}

/// Why a server did not take a mail.
#[derive(Debug)]
enum Failed {
    /// It takes no address beyond ASCII.
    Alphabet,
    At(Step, Error),
}

impl Smtp {
    /// A transport that connects when the first mail is there.
    ///
    /// # Errors
    /// [`SmtpError`].
    pub fn new(options: SmtpOptions) -> Result<Self, SmtpError> {
        let SmtpOptions { host, port, security, login, ca, hello, timeout } = options;
        if security == Security::None && login.is_some() && !is_loopback(&host) {
            return Err(SmtpError::LoginInClear);
        }
        let tls = match security {
            Security::StartTls | Security::Tls => Some(trust(&host, ca.as_deref())?),
            Security::None => None,
        };
        let hello = ClientId::Domain(hello);
        Ok(Self { host, port, security, tls, login, hello, timeout, open: Mutex::default() })
    }

    /// Hands a message over: when this returns well, the server has taken it on itself.
    ///
    /// # Errors
    /// [`DeliveryError`]. Whoever drops this future leaves no half mail on a connection that is used again.
    pub(super) async fn deliver(&self, message: &Message) -> Result<(), DeliveryError> {
        let connected = AtomicBool::new(false);
        match timeout(self.timeout, self.hand_over(message, &connected)).await {
            Ok(outcome) => outcome,
            Err(_) if connected.load(Ordering::Relaxed) => Err(DeliveryError::Deferred("it took too long".to_owned())),
            Err(_) => Err(DeliveryError::Server("it took too long to answer".to_owned())),
        }
    }

    /// Says goodbye on the connection that is left.
    pub(super) async fn hang_up(&self) {
        let open = self.open.lock().take();
        if let Some(mut connection) = open {
            // Whether it was heard changes nothing.
            let _ = timeout(FAREWELL, connection.quit()).await;
        }
    }

    async fn hand_over(&self, message: &Message, connected: &AtomicBool) -> Result<(), DeliveryError> {
        let content = message.formatted();
        let open = self.open.lock().take();
        if let Some(mut connection) = open {
            connected.store(true, Ordering::Relaxed);
            match converse(&mut connection, message, &content).await {
                // A server may close what it thinks was used enough; nothing of this mail has left then.
                Err(Failed::At(Step::Sender, error)) if is_lost(&error) => connected.store(false, Ordering::Relaxed),
                outcome => return self.settle(connection, outcome).await,
            }
        }
        let mut connection = self.connect().await?;
        connected.store(true, Ordering::Relaxed);
        let outcome = converse(&mut connection, message, &content).await;
        self.settle(connection, outcome).await
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, DeliveryError> {
        let at_once = self.tls.clone().filter(|_| self.security == Security::Tls);
        let server = (self.host.as_str(), self.port);
        // A name may have several addresses, and the first one be dead.
        let each = Some(self.timeout / 3);
        let connecting = AsyncSmtpConnection::connect_tokio1(server, each, &self.hello, at_once, None);
        let mut connection = connecting.await.map_err(|error| server_fault("connecting", &error))?;
        if let Some(tls) = self.tls.clone().filter(|_| self.security == Security::StartTls) {
            connection.starttls(tls, &self.hello).await.map_err(|error| server_fault("encrypting", &error))?;
        }
        if let Some(login) = &self.login {
            let signed_in = connection.auth(DEFAULT_MECHANISMS, login).await;
            signed_in.map_err(|error| server_fault("signing in", &error))?;
        }
        Ok(connection)
    }

    /// Keeps the connection for the next mail if this one ended by an answer, and says what the answer means.
    async fn settle(
        &self,
        mut connection: AsyncSmtpConnection,
        outcome: Result<(), Failed>,
    ) -> Result<(), DeliveryError> {
        let (goes_on, outcome) = match outcome {
            Ok(()) => (true, Ok(())),
            Err(Failed::Alphabet) => {
                (true, Err(DeliveryError::Refused("it takes no address beyond ASCII (SMTPUTF8)".to_owned())))
            }
            Err(Failed::At(step, error)) => {
                let goes_on = !is_lost(&error) && connection.command(Rset).await.is_ok();
                (goes_on, Err(meaning(step, &error)))
            }
        };
        if goes_on {
            *self.open.lock() = Some(connection);
        }
        outcome
    }
}

/// Tells a server one mail. Speaks the commands itself, for a refusal means another thing at each.
async fn converse(connection: &mut AsyncSmtpConnection, message: &Message, content: &[u8]) -> Result<(), Failed> {
    let at = |step| move |error| Failed::At(step, error);
    let (envelope, server) = (message.envelope(), connection.server_info());
    let mut parameters = vec![];
    let addresses = envelope.to().iter().chain(envelope.from());
    if !addresses.into_iter().all(|address| AsRef::<str>::as_ref(address).is_ascii()) {
        if !server.supports_feature(Extension::SmtpUtfEight) {
            return Err(Failed::Alphabet);
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !content.is_ascii() && server.supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let sender = Mail::new(envelope.from().cloned(), parameters);
    connection.command(sender).await.map_err(at(Step::Sender))?;
    for recipient in envelope.to() {
        let recipient = Rcpt::new(recipient.clone(), vec![]);
        connection.command(recipient).await.map_err(at(Step::Recipient))?;
    }
    connection.command(Data).await.map_err(at(Step::Content))?;
    connection.message(content).await.map_err(at(Step::Content))?;
    Ok(())
}

/// What a failure means for the mail.
fn meaning(step: Step, error: &Error) -> DeliveryError {
    match error.status() {
        Some(_) if is_lost(error) => server_fault("sending", error),
        Some(code) if code.severity == Severity::PermanentNegativeCompletion && is_of_policy(&words(error)) => {
            DeliveryError::Policy(cause(error))
        }
        Some(code) if is_final(step, code) => DeliveryError::Refused(cause(error)),
        Some(_) | None => DeliveryError::Deferred(cause(error)),
    }
}

/// What is trusted of a server of that name.
fn trust(host: &str, ca: Option<&[u8]>) -> Result<TlsParameters, SmtpError> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let mut tls = TlsParameters::builder(host.to_owned());
    if let Some(pem) = ca {
        if !pem.windows(BEGIN.len()).any(|part| part == BEGIN) {
            return Err(SmtpError::NoCertificate);
        }
        tls = tls.add_root_certificate(Certificate::from_pem(pem).map_err(SmtpError::Certificates)?);
    }
    tls.build().map_err(SmtpError::Certificates)
}

/// Whether what is sent to that host stays on this machine.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a server's words say that it refuses by a policy of its own, and not for what the mail is: 5.7.x, "security or
/// policy" (RFC 3463 section 3.8), such as a relay that does not know this client.
fn is_of_policy(words: &str) -> bool {
    enhanced(words).is_some_and(|code| code.starts_with("5.7."))
}

/// What a server said beside its code.
fn words(error: &Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

/// Whether a refusal is about this very mail and stands: 55x (RFC 5321 section 4.2.1, "mail system") of a recipient or
/// of the content. A full mailbox, 552 of a recipient, may be emptied (section 4.5.3.1.10).
fn is_final(step: Step, code: Code) -> bool {
    let about_the_mail =
        code.severity == Severity::PermanentNegativeCompletion && code.category == Category::MailSystem;
    match step {
        Step::Sender => false,
        Step::Recipient => about_the_mail && code.to_string() != "552",
        Step::Content => about_the_mail,
    }
}

/// Whether the connection is gone, or the server says that it goes: 421.
fn is_lost(error: &Error) -> bool {
    error.status().is_none_or(|code| code.to_string() == "421")
}

fn server_fault(doing: &str, error: &Error) -> DeliveryError {
    DeliveryError::Server(format!("{doing}: {}", cause(error)))
}

/// Why it failed, without a word of the server's but its codes.
fn cause(error: &Error) -> String {
    if let Some(code) = error.status() {
        return match enhanced(&words(error)) {
            Some(enhanced) => format!("{code} {enhanced}"),
            None => code.to_string(),
        };
    }
    if error.is_response() {
        return "it hung up, or answered what is not SMTP".to_owned();
    }
    let (mut next, mut found) = (error.source(), None);
    while let Some(source) = next {
        found = match source.downcast_ref::<io::Error>() {
            Some(fault) => Some(fault.get_ref().map_or_else(|| fault.kind().to_string(), ToString::to_string)),
            None => found.or_else(|| Some(source.to_string())),
        };
        next = source.source();
    }
    one_line(&found.unwrap_or_else(|| "no cause is known".to_owned()), CAUSE_CHARS_MAX)
}

/// The enhanced code (RFC 3463), such as `5.1.1`, that a server's words may begin with.
fn enhanced(words: &str) -> Option<String> {
    let first = words.split_ascii_whitespace().next()?;
    let parts: Vec<_> = first.split('.').collect();
    let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit());
    (parts.len() == 3 && parts.iter().all(number)).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use lettre::transport::smtp::response::Detail;

    use super::*;

    fn code(severity: Severity, category: Category, detail: Detail) -> Code {
        Code { severity, category, detail }
    }

    #[test]
    fn a_refusal_of_the_mail_itself_stands_and_others_may_pass() {
        use Category::{Connections, MailSystem, Unspecified3};
        use Severity::{PermanentNegativeCompletion as Permanent, TransientNegativeCompletion as Transient};
        let (unknown, full) = (code(Permanent, MailSystem, Detail::Zero), code(Permanent, MailSystem, Detail::Two));
        assert!(is_final(Step::Recipient, unknown) && is_final(Step::Content, unknown));
        assert!(!is_final(Step::Sender, unknown), "the sender is every mail's");
        assert!(!is_final(Step::Recipient, full) && is_final(Step::Content, full));
        assert!(!is_final(Step::Recipient, code(Transient, MailSystem, Detail::One)));
        assert!(!is_final(Step::Recipient, code(Permanent, Unspecified3, Detail::Zero)), "530: not signed in");
        assert!(!is_final(Step::Recipient, code(Permanent, Connections, Detail::One)));
    }

    #[test]
    fn of_a_servers_words_the_enhanced_code_alone_is_kept() {
        assert_eq!(enhanced("5.1.1 <ann@example.com>: unknown").as_deref(), Some("5.1.1"));
        assert!(is_of_policy("5.7.1 relay access denied") && !is_of_policy("5.1.1 unknown") && !is_of_policy("no"));
        for words in ["", "ann@example.com 5.1.1", "5.1", "5.1.1.1", "5.1.x", "5..1", "10.0.0.1234", "a.b.c"] {
            assert_eq!(enhanced(words), None, "{words}");
        }
    }

    #[test]
    fn a_password_leaves_in_the_clear_to_this_machine_alone() {
        let options = |host: &str, security| SmtpOptions {
            host: host.to_owned(),
            port: 25,
            security,
            login: Some(Credentials::new("portal".to_owned(), "hunter2".to_owned())),
            ca: None,
            hello: "example.org".to_owned(),
            timeout: Duration::from_secs(1),
        };
        for here in ["localhost", "127.0.0.1", "::1"] {
            let smtp = Smtp::new(options(here, Security::None)).unwrap();
            assert!(!format!("{smtp:?}").contains("hunter2"));
        }
        let refused = Smtp::new(options("mail.example.org", Security::None)).unwrap_err();
        assert!(matches!(refused, SmtpError::LoginInClear));
        Smtp::new(options("mail.example.org", Security::StartTls)).unwrap();
        assert!(!format!("{:?}", options("localhost", Security::None)).contains("hunter2"));
    }

    #[test]
    fn a_file_without_a_certificate_is_none_of_certificates() {
        assert!(matches!(trust("localhost", Some(b"nothing")), Err(SmtpError::NoCertificate)));
        let torn = b"-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n";
        assert!(matches!(trust("localhost", Some(torn)), Err(SmtpError::Certificates(_))));
    }
}
