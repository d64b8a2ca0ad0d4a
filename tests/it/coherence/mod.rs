//! Fast answers that are never wrong for long: the cache's guarantees, by model and by construction.

mod simulation;
