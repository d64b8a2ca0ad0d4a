//! Each RPC over a real channel, by persona. One file per noun; `process` has what concerns the server as a whole.

mod approval;
mod authorization;
mod organization;
mod password;
mod process;
mod realm;
mod registration;
mod role;
mod role_assignment;
mod service_account;
mod session;
mod session_end;
mod session_introspection;
mod session_refresh;
mod transport;
mod user;
