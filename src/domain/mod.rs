//! The rules, pure: no I/O, no async, no clock, no randomness, no proto, no SQL.

pub mod account;
pub mod catalogue;
pub mod containment;
pub mod decision;
pub mod explain;
pub mod ids;
pub mod permission;
pub mod policy;
pub mod snapshot;
pub mod time;
