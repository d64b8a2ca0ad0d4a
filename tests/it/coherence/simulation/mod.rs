//! The cache over a record of paper, in thousands of seconds of simulated time that take none.
//!
//! Each schedule is a seed: writers, checkers and tails of one or several replicas take turns in one thread, in an order
//! and with delays that the seed decides. The record is slow, fails, or loses its newest changes; commits are applied
//! late, out of order, twice or not at all; callers hang up. [`actors`] holds every answer against what the record said
//! at the revision that the answer names, and against everything that had been acknowledged before the question.

mod actors;
mod lost;
mod world;

use std::sync::Arc;
use std::time::Duration;

use countersign::cache::{Options, Snapshots};
use tokio::task::JoinSet;

use actors::Replica;
use world::{Weather, Wire, World};

/// Schedules per scene: what a busy machine does in a few seconds. Thousands pass as well.
const SCHEDULES: u64 = 60;

/// Everything that differs between tests.
#[derive(Clone, Copy, Debug)]
struct Scene {
    replicas: usize,
    weather: Weather,
}

#[test]
fn a_process_alone_never_answers_from_before_an_acknowledgement() {
    let calm = every_schedule(Scene { replicas: 1, weather: Weather::CALM });
    assert!(calm.undecided * 500 < calm.answered, "too many checks chased a moving realm: {calm:?}");
    every_schedule(Scene { replicas: 1, weather: Weather::SLOW });
    every_schedule(Scene { replicas: 1, weather: Weather::FAILING });
}

#[test]
fn replicas_see_each_others_changes_within_a_second_and_at_once_when_asked_to() {
    let calm = every_schedule(Scene { replicas: 3, weather: Weather::CALM });
    assert!(calm.undecided * 50 < calm.answered, "too many checks chased a moving realm: {calm:?}");
    every_schedule(Scene { replicas: 3, weather: Weather::SLOW });
    every_schedule(Scene { replicas: 3, weather: Weather::FAILING });
}

#[test]
fn a_failover_that_loses_changes_leaves_nothing_of_them_behind() {
    every_schedule(Scene { replicas: 2, weather: Weather::CALM.with_a_failover() });
}

/// How the checks of many schedules ended.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    answered: u64,
    undecided: u64,
}

fn every_schedule(scene: Scene) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut tally = Tally::default();
    for seed in 0..SCHEDULES {
        let world = runtime.block_on(schedule(scene, seed));
        let (answered, undecided) = world.answers();
        tally.answered += answered;
        tally.undecided += undecided;
    }
    assert!(tally.answered > 0, "nothing was answered under {scene:?}");
    tally
}

async fn schedule(scene: Scene, seed: u64) -> Arc<World> {
    let world = Arc::new(World::new(seed, scene.weather));
    let options = Options { shared: scene.replicas > 1, database_lost_grace: Duration::ZERO, principals: 100 };
    let mut actors = JoinSet::new();
    for number in 0..scene.replicas {
        let snapshots = Arc::new(Snapshots::new(Arc::new(Wire(Arc::clone(&world))), options));
        let replica = Replica { number, world: Arc::clone(&world), snapshots };
        (0..2).for_each(|_| drop(actors.spawn(replica.clone().writes())));
        (0..3).for_each(|_| drop(actors.spawn(replica.clone().checks())));
        actors.spawn(replica.clone().authenticates());
        if options.shared {
            actors.spawn(replica.keeps_up());
        }
    }
    actors.spawn(actors::time_passes(Arc::clone(&world)));
    while let Some(ended) = actors.join_next().await {
        ended.unwrap();
    }
    world
}
