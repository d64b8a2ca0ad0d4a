//! The wire: the contract's services over the use cases, and what stands before them.
//!
//! A handler parses, calls one use case and prints; it decides nothing. Only this floor knows tonic and prost.

pub mod access;
mod account;
mod answer;
mod api;
mod approval;
mod assignment;
mod audit;
mod authorization;
pub mod codec;
mod connection;
mod convert;
mod direct;
mod entry;
pub mod health;
mod layers;
mod mask;
mod notification;
mod organization;
mod password;
pub mod pb;
mod policy;
mod quota;
mod realm;
mod receive;
mod registration;
mod role;
mod role_assignment;
mod role_definition;
pub mod server;
mod service_account;
mod serving;
mod session;
mod sessions;
mod status;
pub mod tls;
mod user;

pub use api::Api;
pub use layers::Door;
