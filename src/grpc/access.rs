//! What each RPC needs, read from the contract at start.
//!
//! An RPC of ours that declares nothing keeps the server from starting. For services whose contract is not ours the same
//! declaration stands in [`FOREIGN`].

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use rustc_hash::FxBuildHasher;

use super::pb;
use crate::app::Requirement;
use crate::domain::permission::reserved::{PLATFORM, RESERVED};

/// Services of others that are served here, by their path's prefix; all public.
pub const FOREIGN: [&str; 3] =
    ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

const OPTION: &str = "countersign.v1.access";

/// One RPC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Method {
    /// Its place among all, for counting.
    pub index: usize,
    /// `ApproveRegistration`.
    pub name: &'static str,
    /// `countersign.v1.ApprovalService/ApproveRegistration`.
    pub full_name: String,
    pub needs: Requirement,
    pub writes: bool,
    /// Whether its calls count against the limit of public calls per source.
    pub counted: bool,
    /// Whether it answers with a stream.
    pub streams: bool,
}

/// Every RPC of ours, by its path. Nobody can fill the table, so that a fast hash will do.
#[derive(Clone, Debug)]
pub struct Methods(HashMap<String, &'static Method, FxBuildHasher>);

/// Why the contract can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    #[error("the descriptor set can't be read")]
    Descriptors(#[source] prost_reflect::DescriptorError),
    #[error("the method option {OPTION} is not in the descriptor set")]
    OptionMissing,
    #[error("{0} does not declare what it needs")]
    Undeclared(String),
    #[error("{0} declares neither public, own nor a permission, or public beside others")]
    Contradictory(String),
    #[error("{0} declares that it is not counted, and is not public")]
    UncountedOfWhom(String),
    #[error("{0} declares that it changes the own password, and something else that it needs")]
    PasswordOfWhom(String),
    #[error("{0} takes a stream; every RPC takes one message")]
    StreamsIn(String),
    #[error("{0} does not declare whether it writes")]
    EffectMissing(String),
    #[error("{rpc} declares {permission:?}, which is no permission that the service knows")]
    PermissionUnknown { rpc: String, permission: String },
}

impl Methods {
    /// Reads the contract that this binary was built from.
    ///
    /// # Errors
    /// [`ContractError`].
    pub fn read() -> Result<Self, ContractError> {
        Self::from_descriptors(pb::FILE_DESCRIPTOR_SET)
    }

    /// Reads an encoded descriptor set.
    ///
    /// # Errors
    /// [`ContractError`] naming the RPC that declares too little.
    pub fn from_descriptors(encoded: &[u8]) -> Result<Self, ContractError> {
        let pool = DescriptorPool::decode(encoded).map_err(ContractError::Descriptors)?;
        let services = pool.services().filter(|service| service.package_name() == "countersign.v1");
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let read = |(index, method): (usize, MethodDescriptor)| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            Ok((path, read_method(&pool, index, &method)?))
        };
        Ok(Self(methods.enumerate().map(read).collect::<Result<_, ContractError>>()?))
    }

    /// The RPC of a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&'static Method> {
        self.0.get(path).copied()
    }

    /// Every RPC with its path, in the order of their places.
    #[must_use]
    pub fn all(&self) -> Vec<(&str, &'static Method)> {
        let mut all: Vec<_> = self.0.iter().map(|(path, method)| (path.as_str(), *method)).collect();
        all.sort_by_key(|(_, method)| method.index);
        all
    }
}

/// The table lives as long as the process, so that a call can hold on to its line without counting.
fn read_method(
    pool: &DescriptorPool,
    index: usize,
    method: &MethodDescriptor,
) -> Result<&'static Method, ContractError> {
    let full_name = format!("{}/{}", method.parent_service().full_name(), method.name());
    if method.is_client_streaming() {
        return Err(ContractError::StreamsIn(full_name));
    }
    let extension = pool.get_extension_by_name(OPTION).ok_or(ContractError::OptionMissing)?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return Err(ContractError::Undeclared(full_name));
    }
    let declared = options.get_extension(&extension);
    let declared = declared.as_message().ok_or_else(|| ContractError::Undeclared(full_name.clone()))?;
    let public = flag(declared, "public");
    let own = flag(declared, "own");
    let permissions = texts(declared, "permission");
    if let Some(unknown) = permissions.iter().find(|name| !is_known(name)) {
        return Err(ContractError::PermissionUnknown { rpc: full_name, permission: unknown.clone() });
    }
    let own_alone = own && !public && permissions.is_empty();
    let needs = match (public, own || !permissions.is_empty()) {
        _ if flag(declared, "changes_password") && !own_alone => return Err(ContractError::PasswordOfWhom(full_name)),
        (false, true) if flag(declared, "changes_password") => Requirement::OwnPassword,
        (true, false) => Requirement::Public,
        (false, true) => Requirement::Any { permissions, own },
        _ => return Err(ContractError::Contradictory(full_name)),
    };
    let (is_public, uncounted) = (needs == Requirement::Public, flag(declared, "uncounted"));
    if uncounted && !is_public {
        return Err(ContractError::UncountedOfWhom(full_name));
    }
    let writes = match declared.get_field_by_name("effect").and_then(|effect| effect.as_enum_number()) {
        Some(1) => false,
        Some(2) => true,
        _ => return Err(ContractError::EffectMissing(full_name)),
    };
    let name = Box::leak(method.name().to_owned().into_boxed_str());
    Ok(Box::leak(Box::new(Method {
        index,
        name,
        full_name,
        needs,
        writes,
        counted: is_public && !uncounted,
        streams: method.is_server_streaming(),
    })))
}

fn is_known(permission: &str) -> bool {
    RESERVED.iter().chain(PLATFORM).any(|known| known.name == permission)
}

fn flag(message: &DynamicMessage, field: &str) -> bool {
    message.get_field_by_name(field).and_then(|value| value.as_bool()).unwrap_or(false)
}

fn texts(message: &DynamicMessage, field: &str) -> Vec<String> {
    let value = message.get_field_by_name(field);
    let list = value.as_deref().and_then(Value::as_list).unwrap_or_default();
    list.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
