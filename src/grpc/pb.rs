//! The generated code of package `countersign.v1`, and the descriptor set it was generated from.
//!
//! No `impl` block on a generated type lives here or elsewhere: conversions are functions beside the handlers. Only
//! `grpc` and the tests use these types.

pub use v1::*;

/// Every proto of ours with its imports, encoded, with source info and with the method options, which the decoded prost
/// form lacks.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::large_futures,
    reason = "tonic and prost write this code"
)]
mod v1 {
    tonic::include_proto!("countersign.v1");
}
