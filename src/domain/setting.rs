//! One setting of a policy: its name in the contract, and its new value.
//!
//! What a value must look like is checked where it is read; whether the policy that comes of it can work, in
//! [`super::policy_rules`].

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::policy::{
    ApprovalBy, CodeScheme, Founding, InitialPassword, Kind, MailText, OrganizationsPerUser, Policy, SelfRegistration,
    Team, Topic, UnknownCodes,
};

macro_rules! settings {
    ($($name:literal $variant:ident = $field:ident: $type:ty;)*) => {
        /// A new value of one setting.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Setting { $($variant($type),)* }

        impl Setting {
            /// Every setting, by its name in the contract.
            pub const NAMES: &[&str] = &[$($name,)*];

            /// The name in the contract.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// The name as a field of the realm.
            #[must_use]
            pub fn path(&self) -> &'static str {
                match self { $(Self::$variant(_) => concat!("policy.", $name),)* }
            }

            /// Writes the value into a policy; answers what was there before and what is there now, if that is another
            /// value.
            pub fn apply(&self, policy: &mut Policy) -> Option<(Value, Value)> {
                match self {
                    $(Self::$variant(value) => {
                        let before = std::mem::replace(&mut policy.$field, value.clone());
                        (before != *value).then(|| difference(json!(before), json!(value)))
                    })*
                }
            }
        }

        // A field of the policy that is no setting does not compile.
        const _: fn(Policy) = |Policy { $($field: _,)* }| {};
    };
}

settings! {
    "self_registration" SelfRegistration = self_registration: SelfRegistration;
    "unknown_codes" UnknownCodes = unknown_codes: UnknownCodes;
    "code_schemes" CodeSchemes = code_schemes: Vec<CodeScheme>;
    "approval" Approval = approval: ApprovalBy;
    "approval_fallback" ApprovalFallback = approval_fallback_realm: bool;
    "founding" Founding = founding: Founding;
    "founding_role" FoundingRole = founding_role: Option<String>;
    "organizations_per_user" OrganizationsPerUser = organizations_per_user: OrganizationsPerUser;
    "administrators_create_users" AdministratorsCreateUsers = administrators_create_users: bool;
    "team" Team = team: Team;
    "basic_permission" BasicPermission = basic_permission: Option<String>;
    "email_verification" EmailVerification = verification_required: bool;
    "reregistration_after_delete" ReregistrationAfterDelete = reregistration_after_delete: bool;
    "reregistration_after_reject" ReregistrationAfterReject = reregistration_after_reject: bool;
    "registration_days" RegistrationDays = registration_days: u32;
    "retention_days" RetentionDays = retention_days: u32;
    "base_url" BaseUrl = base_url: String;
    "audience" Audience = audience: String;
    "kinds" Kinds = kinds: Vec<Kind>;
    "topics" Topics = topics: Vec<Topic>;
    "messages" Messages = messages: BTreeMap<String, String>;
    "mails" Mails = mails: BTreeMap<String, MailText>;
    "initial_password" InitialPassword = initial_password: InitialPassword;
    "inactivity_days" InactivityDays = inactivity_days: u32;
    "failed_sign_ins" FailedSignIns = failed_sign_ins: u32;
    "refresh_retry_seconds" RefreshRetrySeconds = refresh_retry_seconds: u32;
}

/// Of two maps, what differs; of anything else, all.
fn difference(before: Value, after: Value) -> (Value, Value) {
    let (Value::Object(mut was), Value::Object(mut is)) = (before.clone(), after.clone()) else {
        return (before, after);
    };
    let same: Vec<_> =
        was.iter().filter(|(name, value)| is.get(*name) == Some(value)).map(|(name, _)| name.clone()).collect();
    for name in same {
        was.remove(&name);
        is.remove(&name);
    }
    (Value::Object(was), Value::Object(is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applying_says_whether_anything_changed() {
        let mut policy = Policy::default();
        assert_eq!(Setting::FailedSignIns(5).apply(&mut policy), Some((json!(0), json!(5))));
        assert_eq!(Setting::FailedSignIns(5).apply(&mut policy), None);
        assert_eq!(policy.failed_sign_ins, 5);
        policy.messages = [("BLOCKED".to_owned(), "no".to_owned()), ("DELETED".to_owned(), "gone".to_owned())].into();
        let messages = [("BLOCKED".to_owned(), "never".to_owned()), ("DELETED".to_owned(), "gone".to_owned())];
        let (before, after) = Setting::Messages(messages.into()).apply(&mut policy).unwrap();
        assert_eq!((before, after), (json!({ "BLOCKED": "no" }), json!({ "BLOCKED": "never" })), "what differs");
        assert!(Setting::NAMES.contains(&Setting::FailedSignIns(5).name()));
    }
}
