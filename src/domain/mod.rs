//! The rules, pure: no I/O, no async, no clock, no randomness, no proto, no SQL.

pub mod ids;
pub mod time;
