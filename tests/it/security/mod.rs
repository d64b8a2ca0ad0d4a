//! Mistakes that other identity services shipped, and the tests that keep them out of this one.

mod bad_input;
mod fuzz;
mod lists;
mod metadata;
mod names;
mod refresh;
mod secrets;
mod tokens;
mod widening;
