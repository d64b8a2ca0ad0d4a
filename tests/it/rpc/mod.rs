//! Each RPC over a real channel, by persona. One file per noun; `process` has what concerns the server as a whole.

mod approval;
mod process;
mod session;
