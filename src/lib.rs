//! Countersign: who is this, and may they do this?

pub mod config;
pub mod crypto;
pub mod domain;
pub mod telemetry;
