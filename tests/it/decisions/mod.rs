//! The decision core against a second evaluator, and the laws that it must keep, over random worlds.

mod agreement;
mod conferring;
mod laws;
mod naive;
mod reasons;
mod scenes;
mod worlds;
