//! The cache over a record of paper, in thousands of seconds of simulated time that take none.
//!
//! Each schedule is a seed: writers, checkers and tails of one or several replicas take turns in one thread, in an order
//! and with delays that the seed decides. The database is slow, fails, loses its newest changes, or is a standby; processes
//! are stopped half-way; commits are applied late, out of order, twice or not at all; callers hang up. [`judge`] holds
//! every answer against what the database said at the revision that the answer names, and against everything that had been
//! acknowledged before the question.

mod actors;
mod judge;
mod lost;
mod read;
mod wire;
mod world;

use std::sync::Arc;
use std::time::Duration;

use countersign::cache::{Options, Remembered, Snapshots};
use tokio::task::JoinSet;

use actors::Replica;
use wire::Wire;
use world::{Weather, World};

/// Schedules per scene: what a busy machine does in a few seconds. Thousands pass as well.
const SCHEDULES: u64 = 60;

/// Everything that differs between tests.
#[derive(Clone, Copy, Debug)]
struct Scene {
    replicas: usize,
    realms: usize,
    weather: Weather,
    remembered: Remembered,
}

impl Scene {
    fn of(replicas: usize, weather: Weather) -> Self {
        Self { replicas, realms: 2, weather, remembered: Remembered::default() }
    }
}

#[test]
fn a_process_alone_never_answers_from_before_an_acknowledgement() {
    let calm = every_schedule(Scene::of(1, Weather::CALM));
    assert!(calm.undecided * 500 < calm.answered, "too many checks chased a moving realm: {calm:?}");
    every_schedule(Scene::of(1, Weather::SLOW));
    every_schedule(Scene::of(1, Weather::FAILING));
}

#[test]
fn replicas_see_each_others_changes_within_a_second_and_at_once_when_asked_to() {
    let calm = every_schedule(Scene::of(3, Weather::CALM));
    assert!(calm.undecided * 50 < calm.answered, "too many checks chased a moving realm: {calm:?}");
    every_schedule(Scene::of(3, Weather::SLOW));
    every_schedule(Scene::of(3, Weather::FAILING));
}

#[test]
fn a_failover_that_loses_changes_leaves_nothing_of_them_behind() {
    every_schedule(Scene::of(2, Weather::FAILOVER));
    let remembered = Remembered { positions: 3, ..Remembered::default() };
    every_schedule(Scene { remembered, ..Scene::of(2, Weather::FAILOVER) });
}

#[test]
fn a_realm_first_seen_by_a_process_that_is_then_stopped_is_not_taken_for_fresh() {
    every_schedule(Scene::of(2, Weather::STOPPING));
    every_schedule(Scene { realms: 20, ..Scene::of(2, Weather::STOPPING) });
}

#[test]
fn a_process_that_is_turned_to_a_standby_never_goes_back() {
    every_schedule(Scene::of(3, Weather::STANDBY));
}

#[test]
fn a_key_of_a_newer_version_empties_its_realm() {
    let seen = every_schedule(Scene::of(2, Weather::NEWER));
    assert!(seen.undecided * 20 < seen.answered, "one realm's unknown key kept others from being answered: {seen:?}");
}

#[test]
fn many_realms_and_a_short_memory_are_slower_and_never_wrong() {
    let remembered = Remembered { positions: 2, keys: 3 };
    let seen = every_schedule(Scene { realms: 40, remembered, ..Scene::of(2, Weather::CALM) });
    assert!(seen.undecided * 5 < seen.answered, "a short memory kept checks from being answered: {seen:?}");
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
    let world = Arc::new(World::new(seed, scene.weather, scene.realms));
    let Scene { replicas, remembered, .. } = scene;
    let options = Options { shared: replicas > 1, database_lost_grace: Duration::ZERO, principals: 100, remembered };
    let mut actors = JoinSet::new();
    for number in 0..replicas {
        let wire = Arc::new(Wire::new(Arc::clone(&world), number));
        let snapshots = Arc::new(Snapshots::new(Arc::clone(&wire), options));
        let (world, answered_at) = (Arc::clone(&world), Arc::default());
        let replica = Replica { number, world, wire, snapshots, answered_at };
        (0..2).for_each(|_| drop(actors.spawn(replica.clone().writes())));
        (0..3).for_each(|_| drop(actors.spawn(replica.clone().checks())));
        actors.spawn(replica.clone().authenticates());
        if options.shared {
            // One of them is spared, so that somebody writes and knows meanwhile.
            if number > 0 {
                actors.spawn(replica.clone().suffers());
            }
            actors.spawn(replica.keeps_up());
        }
    }
    actors.spawn(actors::time_passes(Arc::clone(&world)));
    while let Some(ended) = actors.join_next().await {
        ended.unwrap();
    }
    world
}
