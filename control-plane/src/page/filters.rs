//! What templates do with values.

#![allow(unreachable_pub, reason = "of what the attribute makes of it")]

use std::fmt::Display;

use askama::{Result, Values};

/// Words with dashes, for people: `discovery-failing` as `discovery failing`.
#[askama::filter_fn]
pub(super) fn words(name: impl Display, _: &dyn Values) -> Result<String> {
    Ok(name.to_string().replace('-', " "))
}
