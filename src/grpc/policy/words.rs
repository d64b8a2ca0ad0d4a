//! The words of a policy, one of a few each: two ways between the contract's and ours.

use super::super::convert::Fields;
use super::super::pb;
use crate::domain::policy::{
    ApprovalBy, CodeFormat, Founding, InitialPassword, OrganizationsPerUser, SelfRegistration, Team, TopicTo,
    UnknownCodes,
};

/// Two ways each: from the wire, where unspecified is an error, and back.
macro_rules! words {
    ($($read:ident $print:ident $ours:ident = $wire:ident { $($variant:ident = $theirs:ident,)* })*) => {$(
        pub(in crate::grpc) fn $read(fields: &mut Fields, field: &str, given: i32) -> Option<$ours> {
            match pb::$wire::try_from(given) {
                $(Ok(pb::$wire::$theirs) => Some($ours::$variant),)*
                Ok(pb::$wire::Unspecified) | Err(_) => {
                    let allowed = [$(pb::$wire::$theirs.as_str_name()),*].join(", ");
                    fields.wrong(field, format!("is {given}, allowed are {allowed}"));
                    None
                }
            }
        }

        pub(in crate::grpc) fn $print(value: $ours) -> i32 {
            match value { $($ours::$variant => pb::$wire::$theirs.into(),)* }
        }
    )*};
}

words! {
    read_self_registration print_self_registration SelfRegistration = SelfRegistration {
        Closed = Closed, Open = Open, ByOrganizationCode = ByOrganizationCode,
    }
    read_unknown_codes print_unknown_codes UnknownCodes = UnknownCodes {
        Refuse = Refuse, CreateOrganization = CreateOrganization,
    }
    read_code_format print_code_format CodeFormat = CodeFormat { Uei = Uei, Cage = Cage, Domain = Domain, Text = Text, }
    read_approval print_approval ApprovalBy = ApprovalAuthority { Nobody = None, Organization = Organization, Realm = Realm, }
    read_founding print_founding Founding = Founding {
        Nobody = None, ListedContact = ListedContact, FirstVerified = FirstVerified,
    }
    read_organizations print_organizations OrganizationsPerUser = OrganizationsPerUser { One = One, Many = Many, }
    read_team print_team Team = TeamDepth { Direct = Direct, Chain = Chain, }
    read_topic_to print_topic_to TopicTo = TopicRecipients { Roles = Roles, Contact = Contact, Both = Both, }
    read_initial_password print_initial_password InitialPassword = InitialPassword {
        SetByLink = SetByLink, SetByAdministrator = SetByAdministrator,
    }
}

/// What on the wire is a word of two, and here a flag.
macro_rules! flags {
    ($($read:ident $print:ident $wire:ident { $yes:ident or $no:ident })*) => {$(
        pub(in crate::grpc) fn $read(fields: &mut Fields, field: &str, given: i32) -> Option<bool> {
            match pb::$wire::try_from(given) {
                Ok(pb::$wire::$yes) => Some(true),
                Ok(pb::$wire::$no) => Some(false),
                Ok(pb::$wire::Unspecified) | Err(_) => {
                    let allowed = [pb::$wire::$yes.as_str_name(), pb::$wire::$no.as_str_name()].join(", ");
                    fields.wrong(field, format!("is {given}, allowed are {allowed}"));
                    None
                }
            }
        }

        pub(in crate::grpc) fn $print(value: bool) -> i32 {
            if value { pb::$wire::$yes.into() } else { pb::$wire::$no.into() }
        }
    )*};
}

flags! {
    read_fallback print_fallback ApprovalFallback { Realm or None }
    read_verification print_verification EmailVerificationRule { Required or Optional }
    read_reregistration print_reregistration Reregistration { Allowed or Blocked }
}
