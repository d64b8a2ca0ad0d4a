//! A policy on its way out.

use super::super::pb;
use super::words::{
    print_approval, print_code_format, print_fallback, print_founding, print_initial_password, print_organizations,
    print_reregistration, print_self_registration, print_team, print_topic_to, print_unknown_codes, print_verification,
};
use crate::domain::policy::{CodeScheme, Kind, MailText, Policy, Topic};

/// A policy on the wire.
pub(in crate::grpc) fn policy(policy: Policy) -> pb::Policy {
    let Policy {
        self_registration,
        unknown_codes,
        code_schemes,
        approval,
        approval_fallback_realm,
        founding,
        founding_role,
        organizations_per_user,
        administrators_create_users,
        team,
        basic_permission,
        verification_required,
        reregistration_after_delete,
        reregistration_after_reject,
        registration_days,
        retention_days,
        base_url,
        audience,
        kinds,
        topics,
        messages,
        mails,
        initial_password,
        inactivity_days,
        failed_sign_ins,
        refresh_retry_seconds,
    } = policy;
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let scheme = |CodeScheme { name, format, unique }: CodeScheme| {
        let format = print_code_format(format);
        pb::CodeScheme { name, format, unique }
    };
    let kind = |Kind { name, exclusive }: Kind| pb::Kind { name, exclusive };
    let topic = |Topic { name, title, to }: Topic| pb::Topic { name, title, to: print_topic_to(to) };
    let mail = |(name, MailText { subject, text }): (String, MailText)| (name, pb::MailText { subject, text });
    pb::Policy {
        self_registration: print_self_registration(self_registration),
        unknown_codes: print_unknown_codes(unknown_codes),
        code_schemes: code_schemes.into_iter().map(scheme).collect(),
        approval: print_approval(approval),
        approval_fallback: print_fallback(approval_fallback_realm),
        founding: print_founding(founding),
        founding_role: founding_role.unwrap_or_default(),
        organizations_per_user: print_organizations(organizations_per_user),
        administrators_create_users,
        team: print_team(team),
        basic_permission: basic_permission.unwrap_or_default(),
        email_verification: print_verification(verification_required),
        reregistration_after_delete: print_reregistration(reregistration_after_delete),
        reregistration_after_reject: print_reregistration(reregistration_after_reject),
        registration_days: number(registration_days),
        retention_days: number(retention_days),
        base_url,
        audience,
        kinds: kinds.into_iter().map(kind).collect(),
        topics: topics.into_iter().map(topic).collect(),
        messages,
        mails: mails.into_iter().map(mail).collect(),
        initial_password: print_initial_password(initial_password),
        inactivity_days: number(inactivity_days),
        failed_sign_ins: number(failed_sign_ins),
        refresh_retry_seconds: number(refresh_retry_seconds),
    }
}
