//! The decision core against a second evaluator, and the laws that it must keep, over random worlds.

mod laws;
mod naive;
mod worlds;
