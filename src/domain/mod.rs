//! The rules, pure: no I/O, no async, no clock, no randomness, no proto, no SQL.

pub mod account;
pub mod ids;
pub mod policy;
pub mod time;
