//! What a listener does, one connection at a time: TCP, TLS, and a call over HTTP/2. Nothing is judged here.
//!
//! ```text
//!  connect ─► handshake(Hello) ─► call(Call) ─► Answer
//!                └─ Seen: their chain, whether they ask for ours; told of a handshake that fails also
//! ```
//!
//! Each step takes as long as it is given at most, and keeps a bounded part of what it hears.

mod alert;
mod connect;
mod http;
mod identity;
mod tls;
mod witness;

pub use connect::{ConnectTrouble, Connected, connect};
pub use http::{Answer, Call, CallTrouble, call};
pub use identity::{Identity, IdentityError};
pub use tls::{Agreed, Groups, Handshake, Hello, Session, TlsTrouble, Version, Versions, handshake};
pub use witness::{Asked, Seen};
