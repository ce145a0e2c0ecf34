//! What `fuzz/` reaches of us: the functions that octets from outside go through. No part of the product.

pub use crate::config::fuzzing::{Configuration, configuration};
pub use fedgate_discovery::fuzzing::{Finding, ID, Messages, SrvTarget, addresses, discover};
