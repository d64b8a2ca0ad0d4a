//! Mistakes that other identity services shipped, and the tests that keep them out of this one.

mod account_facts;
mod enumeration;
mod links;
mod refresh;
mod reset;
mod throttle;
mod tokens;
mod widening;
