//! Each RPC over a real channel, by persona. One file per noun; `process` has what concerns the server as a whole.

mod approval;
mod authorization;
mod expiry;
mod grant;
mod join;
mod member;
mod notification;
mod organization;
mod password;
mod process;
mod realm;
mod registration;
mod registration_form;
mod role;
mod role_assignment;
mod service_account;
mod session;
mod session_end;
mod session_introspection;
mod session_refresh;
mod transport;
mod user;
mod user_lifecycle;
mod watch;
