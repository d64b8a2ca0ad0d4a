//! The tests that see the crate from outside, in one binary.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails where it stands")]

mod access;
mod architecture;
mod audit;
mod backup;
mod begin;
mod coherence;
mod conformance;
mod decisions;
mod first_start;
mod lock;
mod pages;
mod relay;
mod rights;
mod rpc;
mod security;
mod support;
mod systems;
mod tls;
mod tour;
mod upgrade;
