//! Who may call what, of whom, and what everybody else is told: the contract's own list of RPCs against personas,
//! targets and credentials.
//!
//! `requests` has one request for each RPC, `world` the realm that they are sent to, `matrix` sends them and compares
//! the answers with `golden/access_matrix.txt`, a table for people to review. Nothing here names what an answer should
//! be but that table.

mod contract;
mod errors;
mod fields;
mod golden;
mod matrix;
mod order;
mod personas;
mod promises;
mod requests;
mod wire;
mod world;

pub(crate) use personas::{Cast, Persona, cast, leaver, signed_in_again};
pub(crate) use requests::{Aim, forms, request};
pub(crate) use wire::{Carried, Wire};
pub(crate) use world::{Target, World};
