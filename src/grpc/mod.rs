//! The wire: the contract's services over the use cases, and what stands before them.
//!
//! A handler parses, calls one use case and prints; it decides nothing. Only this floor knows tonic and prost.

pub mod access;
mod api;
mod approval;
mod authorization;
mod convert;
mod entry;
mod layers;
pub mod pb;
mod registration;
mod role;
mod role_assignment;
pub mod server;
mod session;
mod status;
mod user;

pub use api::Api;
pub use layers::Door;
