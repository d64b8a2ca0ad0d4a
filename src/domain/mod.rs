//! The rules, pure: no I/O, no async, no clock, no randomness, no proto, no SQL.

pub mod account;
pub mod assignment;
pub mod audit;
pub mod catalogue;
pub mod change;
pub mod containment;
pub mod decision;
pub mod email;
pub mod entry;
pub mod event;
pub mod explain;
pub mod handle;
pub mod ids;
pub mod message;
pub mod organization;
pub mod permission;
pub mod policy;
pub mod policy_rules;
pub mod realm;
pub mod registration;
pub mod service_account;
pub mod session;
pub mod setting;
pub mod snapshot;
pub mod time;
pub mod topic;
