//! Countersign: who is this, and may they do this?

pub mod app;
pub mod cache;
pub mod command;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod grpc;
pub mod mail;
pub mod serve;
pub mod store;
pub mod tasks;
pub mod telemetry;
