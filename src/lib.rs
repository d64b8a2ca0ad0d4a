//! Countersign: who is this, and may they do this?

pub mod app;
pub mod cache;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod grpc;
pub mod mail;
pub mod store;
pub mod tasks;
pub mod telemetry;
