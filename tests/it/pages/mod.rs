//! Every list of the contract in pages: whatever the page size, the pages together are exactly what the caller may see,
//! each once, in order; also while rows come and go in between.
//!
//! `world` fills a realm at random, `readable` says of each list what is in it, by checks and not by lists. A list that
//! neither knows fails the test, so that who adds one says what it lists.

mod readable;
mod world;

use countersign::grpc::access::{Method, Methods};
use countersign::grpc::pb;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};

use crate::access::{Carried, Wire};
use crate::support::{Backend, TestApp};
use world::World;

const SIZES: std::ops::RangeInclusive<i32> = 1..=60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_keeps_every_readable_row_whatever_the_page_size_on_sqlite() {
    on_random_worlds(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_keeps_every_readable_row_whatever_the_page_size_on_postgres() {
    on_random_worlds(Backend::Postgres).await;
}

async fn on_random_worlds(backend: Backend) {
    for seed in [1, 2] {
        let app = TestApp::start(backend).await;
        let world = Box::pin(World::populated(&app, seed)).await;
        for list in lists() {
            Box::pin(whatever_the_page_size(&world, &list)).await;
        }
        for list in lists() {
            Box::pin(while_rows_come_and_go(&world, &list)).await;
        }
        app.finish().await;
    }
}

async fn whatever_the_page_size(world: &World<'_>, list: &List) {
    let readable = world.readable(&list.method).await;
    // Half of the sizes in either world: together all of them.
    for size in SIZES.filter(|size| size % 2 == world.seed % 2) {
        let pages = list.pages(world, size, async || {}).await;
        assert!(pages.iter().all(|page| i32::try_from(page.len()).unwrap() <= size), "{} of {size}", list.name());
        assert_eq!(pages.concat(), readable, "{} in pages of {size}, seed {}", list.name(), world.seed);
    }
}

async fn while_rows_come_and_go(world: &World<'_>, list: &List) {
    let before = world.readable(&list.method).await;
    let changes = tokio::sync::Mutex::new(world.changes());
    let listed = list.pages(world, 7, async || changes.lock().await.next(world).await).await.concat();
    let after = world.readable(&list.method).await;
    let name = list.name();
    let stood: Vec<_> = before.into_iter().filter(|row| after.contains(row)).collect();
    let of_those: Vec<_> = listed.iter().filter(|row| stood.contains(row)).cloned().collect();
    assert_eq!(of_those, stood, "{name} misses, repeats or reorders what stood throughout, seed {}", world.seed);
}

/// A list of the contract.
struct List {
    path: String,
    method: Method,
    descriptor: MethodDescriptor,
}

/// Every RPC that answers in pages.
fn lists() -> Vec<List> {
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let methods = Methods::read().unwrap();
    let described = |full_name: &str| {
        let (service, method) = full_name.split_once('/').unwrap();
        let service = pool.get_service_by_name(service).unwrap();
        service.methods().find(|it| it.name() == method).unwrap()
    };
    let all = methods.all().into_iter().map(|(path, method)| List {
        path: path.to_owned(),
        method: method.clone(),
        descriptor: described(&method.full_name),
    });
    let mut all: Vec<_> =
        all.filter(|list| list.descriptor.output().get_field_by_name("next_page_token").is_some()).collect();
    all.sort_by(|one, two| one.path.cmp(&two.path));
    assert!(all.len() >= 17, "{} lists", all.len());
    all
}

impl List {
    fn name(&self) -> &str {
        self.method.name
    }

    /// The rows of every page, each by what names it; `between` happens after each page but the last.
    async fn pages(&self, world: &World<'_>, size: i32, between: impl AsyncFn()) -> Vec<Vec<String>> {
        let (mut pages, mut token) = (vec![], String::new());
        loop {
            let (rows, next) = self.page(world, size, &token).await;
            pages.push(rows);
            if next.is_empty() {
                return pages;
            }
            token = next;
            assert!(pages.len() < 1_000, "{} never ends", self.name());
            between().await;
        }
    }

    async fn page(&self, world: &World<'_>, size: i32, token: &str) -> (Vec<String>, String) {
        let mut request = DynamicMessage::new(self.descriptor.input());
        for (field, value) in world.query(&self.method) {
            request.set_field_by_name(field, Value::String(value));
        }
        request.set_field_by_name("page_size", Value::I32(size));
        request.set_field_by_name("page_token", Value::String(token.to_owned()));
        let (wire, carried): (&Wire, &Carried) = world.asks(&self.method);
        let answer = wire.call(carried, &self.path, request.encode_to_vec()).await;
        let answer = answer.unwrap_or_else(|refused| panic!("{}: {refused:?}", self.name()));
        let answer = DynamicMessage::decode(self.descriptor.output(), answer.as_slice()).unwrap();
        let next = answer.get_field_by_name("next_page_token").unwrap().as_str().unwrap().to_owned();
        let rows = answer.descriptor().fields().find(|field| field.is_list()).unwrap();
        let rows = answer.get_field(&rows);
        (rows.as_list().unwrap().iter().map(|row| name_of(row.as_message().unwrap())).collect(), next)
    }
}

/// What names a row: its id, its name, or whom and which organization it is about.
fn name_of(row: &DynamicMessage) -> String {
    let text = |field: &str| row.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned));
    let id_in = |field: &str| {
        let within = row.get_field_by_name(field)?;
        let id = within.as_message()?.get_field_by_name("id")?;
        id.as_str().filter(|id| !id.is_empty()).map(str::to_owned)
    };
    text("id").or_else(|| text("name")).unwrap_or_else(|| {
        let place = id_in("organization").map(|id| format!(" in {id}")).unwrap_or_default();
        id_in("user").unwrap() + &place
    })
}
