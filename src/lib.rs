//! Countersign: who is this, and may they do this?
//!
//! Every floor uses the same noun for the same thing: knowing `grpc/approval.rs`, you can guess `app/approval.rs`,
//! `proto/countersign/v1/approval.proto` and `tests/it/rpc/approval.rs`.
//!
//! # Who may import whom
//!
//! | module | what it is | may import |
//! |---|---|---|
//! | [`domain`] | the rules, pure | nothing of ours |
//! | [`crypto`], [`store`], [`cache`], [`mail`] | secrets; the record; snapshots; words | `domain` |
//! | [`app`] | use cases | those, and `domain` |
//! | [`grpc`] | the wire | `app`, `domain` |
//! | [`tasks`] | what runs beside the calls | `app`, `store`, `cache`, `mail`, `domain` |
//! | [`config`], [`dial`] | settings; connecting over TLS | nothing of ours |
//! | [`telemetry`] | logs, traces, metrics | `dial` |
//! | [`mod@serve`], [`command`] | the composition root; the command | everything |
//!
//! [`telemetry`] is a leaf that every floor but `domain` may use. tonic and prost stay inside `grpc`, SeaORM inside
//! `store`; `tests/it/architecture.rs` holds all of this.
//!
//! # One approval, from wire to row
//!
//! Ann, an administrator of Acme, approves Bob: `ApprovalService/ApproveRegistration { user: "bob@acme.example" }`.
//!
//! 1. **The door** ([`grpc::Door`]). The call gets an id and is counted. Its bearer token is looked up: verified once, then
//!    remembered by its hash ([`app::App::authenticate`]). The token says which realm the call is of. Ann's snapshot is in
//!    the cache; she passes her gates and holds `countersign.users.approve` somewhere, which is what the RPC's option in
//!    `approval.proto` asks for ([`app::App::admit`]). Because the option also says that the call writes, it goes on in a
//!    task of its own: if Ann hangs up now, nothing stops half-way.
//! 2. **The handler** (`grpc/approval.rs`) parses the request into a command, all violated fields at once, and calls one
//!    use case.
//! 3. **The use case** (`app/approval.rs`) tells its story inside `App::write`, which has begun a transaction and locked
//!    the realm's row, so that from here on nothing of the realm moves. Bob is found by his address; Ann's right is
//!    decided again, about Bob, in Acme, by the same evaluator as everybody's checks ([`domain::decision`]) on facts read
//!    under the lock. Had she no right to know of him, he would not be found; had she read him but not reached him, she
//!    would be told the nearest miss. Then the rules: not oneself, still undecided. The account becomes APPROVED, the
//!    membership ACTIVE, the default roles come with it, and each is recorded as an [`domain::event::Event`].
//! 4. **The consequences** of the events are written in the same transaction: the audit lines, Bob's mail in the outbox,
//!    the answer under Ann's `request_id`, and the realm's next revision with its change-log line `principal:<Bob>`
//!    ([`store::Tx::commit`]).
//! 5. **After the commit**, Bob's snapshot is dropped from this process's cache before Ann hears "OK"
//!    ([`cache::Snapshots::committed`]), so a check that begins now sees him approved; other processes on the same
//!    PostgreSQL read the change log and drop theirs. Ann's answer carries a consistency token that names the revision.
//! 6. **The outbox task** ([`tasks`]) delivers the mail, deriving codes at that moment: the database never held one.

pub mod app;
pub mod cache;
pub mod command;
pub mod config;
pub mod crypto;
pub mod dial;
pub mod domain;
pub mod grpc;
pub mod mail;
pub mod serve;
pub mod store;
pub mod tasks;
pub mod telemetry;
