//! The words that a realm starts with. They stay within ASCII, so that a text without a foreign name is sent as it is.
//!
//! A mail that a stranger can make the service send to any address (verify, received, taken, reset, expired) shows
//! nothing that the stranger typed: not the name, not the address.

use crate::domain::message::Template;

/// The subject and the text of a mail.
pub(super) fn words(template: Template) -> (&'static str, &'static str) {
    match template {
        Template::VerifyEmail => (
            "Verify your e-mail address",
            "Hello,

somebody registered at {{ realm }} with this e-mail address. If it was you, open this link to prove that the mailbox \
is yours:

{{ link }}

The link works once, within 24 hours, and no longer once you have asked for a newer one.

If it was not you, ignore this mail. Nobody gets in without your confirmation.",
        ),
        Template::ApprovalRequired => (
            "Registration: Admin Approval Required",
            "Hello,

your registration at {{ realm }}{% if organization %} for {{ organization }}{% endif %} was received. An \
administrator has to approve it. You get another mail as soon as that is decided.

If you did not register, ignore this mail.",
        ),
        Template::NewUserWaiting => (
            "A New User Is Waiting for your Approval",
            "Hello{% if name %} {{ name }}{% endif %},

somebody registered at {{ realm }} and waits for your approval:

Name: {{ newcomer_name }}
E-mail: {{ newcomer_email }}
{%- if organization %}
Organization: {{ organization }}
{%- endif %}
{%- if again %}

The address was registered again since you heard of it, maybe by somebody else: read the registration anew before you \
decide.
{%- endif %}

Approve only whom you know. You decide at {{ portal }}",
        ),
        Template::Approved => (
            "Your registration was approved",
            "Hello{% if name %} {{ name }}{% endif %},

your registration at {{ realm }}{% if organization %} for {{ organization }}{% endif %} was approved.

You can sign in now at {{ portal }}",
        ),
        Template::Rejected => (
            "Your registration was rejected",
            "Hello{% if name %} {{ name }}{% endif %},

your registration at {{ realm }}{% if organization %} for {{ organization }}{% endif %} was rejected.
{%- if reason %}

Reason: {{ reason }}
{%- endif %}",
        ),
        Template::AddressTaken => (
            "Somebody registered with your e-mail address",
            "Hello,

somebody tried to register at {{ realm }} with this e-mail address, which can't be registered again. Nothing was \
changed.

If it was you and you have an account, sign in at {{ portal }}

If it was not you, ignore this mail.",
        ),
        Template::Suspended => (
            "Your account was suspended",
            "Hello{% if name %} {{ name }}{% endif %},

your account at {{ realm }} was suspended. You can't sign in until an administrator reinstates it.
{%- if reason %}

Reason: {{ reason }}
{%- endif %}",
        ),
        Template::SuspendedForFailures => (
            "Your account was suspended",
            "Hello{% if name %} {{ name }}{% endif %},

your account at {{ realm }} was suspended because somebody entered a wrong password too often. You are let in again \
once you have set a new password, or an administrator has reinstated your account.

To set a new password, ask for a password reset at {{ portal }}

If it was not you who mistyped, somebody may be guessing: choose a password that you use nowhere else.",
        ),
        Template::PasswordReset => (
            "Reset your password",
            "Hello,

somebody asked to reset the password of the account with this e-mail address at {{ realm }}. If it was you, open this \
link to set a new one:

{{ link }}

The link works once, within 30 minutes, and no longer once a newer one was asked for.

If it was not you, ignore this mail. Your password stays as it is.",
        ),
        Template::SetPassword => (
            "Set your password",
            "Hello,

{% if approved %}an administrator approved the registration of this e-mail address at {{ realm }}{% else %}\
an administrator of {{ realm }} confirmed the registration of this e-mail address{% endif %}. A password that was \
chosen with the registration does not count. Open this link to prove that the mailbox is yours and to set a password:

{{ link }}

The link works once, within 24 hours, and no longer once a newer one was asked for.

If you did not register, ignore this mail. Nobody gets in without the link.",
        ),
        Template::PasswordChanged => (
            "Your password was changed",
            "Hello{% if name %} {{ name }}{% endif %},

the password of your account at {{ realm }} was changed, and everybody who was signed in with the old one was signed \
out.

If it was not you, ask for a password reset at {{ portal }} at once, and tell an administrator.",
        ),
        Template::Reinstated => (
            "Your account was reinstated",
            "Hello{% if name %} {{ name }}{% endif %},

your account at {{ realm }} is no longer suspended: {{ portal }}",
        ),
        Template::Deleted => (
            "Your account was deleted",
            "Hello{% if name %} {{ name }}{% endif %},

your account at {{ realm }} was deleted. You can't sign in any more.",
        ),
        Template::Restored => (
            "Your account was restored",
            "Hello{% if name %} {{ name }}{% endif %},

your account at {{ realm }} was deleted and is there again, as it was: {{ portal }}",
        ),
        Template::Expired => (
            "Your registration expired",
            "Hello,

nobody decided in time on your registration at {{ realm }}{% if organization %} for {{ organization }}{% endif %}, so \
that it expired. You can register again at {{ portal }}

If you did not register, ignore this mail.",
        ),
        Template::RoleAssigned => (
            "A role was assigned to you",
            "Hello{% if name %} {{ name }}{% endif %},

at {{ realm }} you were assigned a role{% if organization %} in {{ organization }}{% endif %}: {{ role }}",
        ),
        Template::RoleRevoked => (
            "A role was revoked from you",
            "Hello{% if name %} {{ name }}{% endif %},

at {{ realm }} a role{% if organization %} in {{ organization }}{% endif %} was revoked from you: {{ role }}",
        ),
    }
}

/// What a template of that mail may name: what its event gives, and what every mail knows.
pub(in crate::mail) fn variables(template: Template) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match template {
        Template::VerifyEmail => &["name", "email", "link"],
        Template::ApprovalRequired => &["name", "email", "organization"],
        Template::NewUserWaiting => &["name", "email", "newcomer_name", "newcomer_email", "organization", "again"],
        Template::Approved => &["name", "email", "organization"],
        Template::Rejected => &["name", "email", "organization", "reason"],
        Template::AddressTaken => &["name", "email"],
        Template::Suspended => &["name", "email", "reason"],
        Template::PasswordReset => &["name", "email", "link"],
        Template::SetPassword => &["name", "email", "link", "approved"],
        Template::SuspendedForFailures
        | Template::PasswordChanged
        | Template::Reinstated
        | Template::Deleted
        | Template::Restored => &["name", "email"],
        Template::Expired => &["name", "email", "organization"],
        Template::RoleAssigned | Template::RoleRevoked => &["name", "email", "role", "organization"],
    };
    own.iter().copied().chain(["realm", "portal"])
}
