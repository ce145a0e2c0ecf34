//! Octets from outside, against second readings of the same.
//!
//! Each target takes any octets, gives them to a function of the product, and holds what comes of it
//! against a law, or against another reading: one by a library of other authors, or the grammar said once
//! more, naively. It says whether the product accepted them, and panics where the two differ.
//!
//! | target | what is read | held against |
//! |---|---|---|
//! | [`discovery`] | DNS messages, to hosts that speak for a domain | `domain`, and the rules said again |
//! | [`addresses`] | DNS messages, to addresses of a host | the same |
//! | [`certificate`] | certificates: names, validity, purposes | `x509-cert` |
//! | [`origin`] | `Wire-Origin-Domain`, host names, presented identifiers | the grammar said again |
//! | [`forwarded`] | `X-Forwarded-Client-Cert` | a naive parser, and the way back |
//! | [`feed`] | a page of the feed, a verdict | its JSON as a tree, and the way back |
//! | [`configuration`] | the control plane's TOML, the filter's JSON | what holds of every configuration |

mod certificates;
mod configurations;
mod dns;
mod headers;
mod input;
mod names;
mod pages;

pub use certificates::certificate;
pub use configurations::configuration;
pub use dns::{addresses, discovery};
pub use headers::forwarded;
pub use names::origin;
pub use pages::feed;

/// All of them, by name.
pub const TARGETS: [(&str, fn(&[u8]) -> bool); 7] = [
    ("discovery", discovery),
    ("addresses", addresses),
    ("certificate", certificate),
    ("origin", origin),
    ("forwarded", forwarded),
    ("feed", feed),
    ("configuration", configuration),
];
