//! Mistakes that other identity services shipped, and the tests that keep them out of this one.

mod account_facts;
mod refresh;
mod tokens;
mod widening;
