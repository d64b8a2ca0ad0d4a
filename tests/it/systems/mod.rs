//! Systems that must run on this service, each as a story through its public RPCs, mail by mail.
//!
//! A realm is made by CreateRealm and UpdateRealm; nothing of a system is known to the service.

mod contracts;
mod support_center;
mod teams;
