//! An RPC that does not declare what it needs keeps the server from starting: the contract, with a declaration taken
//! away or spoiled.

use countersign::grpc::access::{ContractError, Methods};
use countersign::grpc::pb;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

/// The descriptor set of the contract in which one RPC's declaration was changed, or taken away.
fn with_declaration(rpc: &str, change: impl Fn(&mut DynamicMessage) -> bool) -> Vec<u8> {
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let option = pool.get_extension_by_name("countersign.v1.access").unwrap();
    let set = pool.get_message_by_name("google.protobuf.FileDescriptorSet").unwrap();
    let mut set = DynamicMessage::decode(set, pb::FILE_DESCRIPTOR_SET).unwrap();
    let mut found = 0;
    for_each(&mut set, "file", &mut |file| {
        for_each(file, "service", &mut |service| {
            for_each(service, "method", &mut |method| {
                if method.get_field_by_name("name").unwrap().as_str() != Some(rpc) {
                    return;
                }
                found += 1;
                let options = method.get_field_by_name_mut("options").unwrap().as_message_mut().unwrap();
                let declared = options.get_extension_mut(&option).as_message_mut().unwrap();
                if !change(declared) {
                    options.clear_extension(&option);
                }
            });
        });
    });
    assert_eq!(found, 1, "{rpc} is one RPC of the contract");
    set.encode_to_vec()
}

fn for_each(message: &mut DynamicMessage, field: &str, change: &mut dyn FnMut(&mut DynamicMessage)) {
    let field = message.descriptor().get_field_by_name(field).unwrap();
    for item in message.get_field_mut(&field).as_list_mut().unwrap() {
        change(item.as_message_mut().unwrap());
    }
}

fn set(field: &'static str, value: Value) -> impl Fn(&mut DynamicMessage) -> bool {
    move |declared| {
        declared.set_field_by_name(field, value.clone());
        true
    }
}

fn read(rpc: &str, change: impl Fn(&mut DynamicMessage) -> bool) -> Result<Methods, ContractError> {
    Methods::from_descriptors(&with_declaration(rpc, change))
}

#[test]
fn the_contract_as_it_is_can_be_served() {
    assert_eq!(read("SuspendUser", |_| true).unwrap().all().len(), Methods::read().unwrap().all().len());
}

#[test]
fn each_rpc_that_declares_nothing_keeps_the_server_from_starting() {
    for (_, method) in Methods::read().unwrap().all() {
        let refused = read(method.name, |_| false).unwrap_err();
        assert!(matches!(&refused, ContractError::Undeclared(rpc) if *rpc == method.full_name), "{refused}");
    }
}

#[test]
fn a_public_rpc_that_needs_something_keeps_the_server_from_starting() {
    for (rpc, change) in
        [("SuspendUser", set("public", Value::Bool(true))), ("GetMe", set("public", Value::Bool(true)))]
    {
        let refused = read(rpc, change).unwrap_err();
        assert!(matches!(refused, ContractError::Contradictory(_)), "{refused}");
    }
}

#[test]
fn an_rpc_that_needs_nothing_and_is_not_public_keeps_the_server_from_starting() {
    for (rpc, change) in [
        ("SignIn", set("public", Value::Bool(false))),
        ("GetMe", set("own", Value::Bool(false))),
        ("SuspendUser", set("permission", Value::List(vec![]))),
    ] {
        let refused = read(rpc, change).unwrap_err();
        assert!(matches!(refused, ContractError::Contradictory(_)), "{refused}");
    }
}

#[test]
fn an_rpc_that_does_not_say_whether_it_writes_keeps_the_server_from_starting() {
    for effect in [0, 3] {
        let refused = read("SuspendUser", set("effect", Value::EnumNumber(effect))).unwrap_err();
        assert!(matches!(refused, ContractError::EffectMissing(_)), "{refused}");
    }
}

#[test]
fn a_permission_that_nobody_can_hold_keeps_the_server_from_starting() {
    for name in ["countersign.users.suspendd", "shop.orders.ship", "countersign.*", ""] {
        let typo = Value::List(vec![Value::String(name.to_owned())]);
        let refused = read("SuspendUser", set("permission", typo)).unwrap_err();
        assert!(matches!(refused, ContractError::PermissionUnknown { .. }), "{refused}");
    }
}
