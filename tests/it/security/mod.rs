//! Mistakes that other identity services shipped, and the tests that keep them out of this one.

mod account_facts;
mod bad_input;
mod before_proof;
mod enumeration;
mod floods;
mod fuzz;
mod links;
mod lists;
mod metadata;
mod names;
mod refresh;
mod reset;
mod secrets;
mod throttle;
mod tokens;
mod widening;

pub(crate) use widening::dice::Dice;
