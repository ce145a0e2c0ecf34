//! A small world around one backend, all of it real: BIND, certificates, the control plane, Envoy
//! with the filter in it, and a backend that tells what it received.
//!
//! ```text
//!  Caller ──mTLS──► Envoy (envoy/ingress.yaml, the filter) ──► Backend (brig, galley, cargohold)
//!                     │ lookups
//!                     ▼
//!                ControlPlane (`fedgate serve`) ──► Bind (zone files, nsupdate)
//! ```
//!
//! Each [`World`] lives on a loopback address of its own, so that worlds run side by side on
//! the same ports, and ends its processes when it is dropped. Two backends that share an authority and
//! a BIND can call each other, each through its own egress ([`local`]); a [`peer`] stands for another
//! backend's ingress where a test needs many, or a bad one. The end-to-end tests and the demo are
//! its two users.

#![allow(clippy::missing_panics_doc, reason = "a test's world panics where it cannot be built")]

pub mod address;
pub mod artifacts;
pub mod backend;
pub mod brig;
pub mod caller;
pub mod checkup;
pub mod clock;
pub mod control_plane;
pub mod disk;
pub mod dns;
pub mod envoy;
pub mod etcd;
pub mod explain;
pub mod http1;
pub mod http2;
pub mod linear;
pub mod link;
pub mod local;
pub mod peer;
pub mod pki;
pub mod process;
pub mod rng;
pub mod scenario;
pub mod scripted;
pub mod several;
pub mod signing;
pub mod witness;
pub mod world;

pub use world::{World, WorldBuilder};
