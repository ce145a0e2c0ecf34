//! The plugin: reads its configuration, makes a context for each request, keeps the gate going.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext, StreamContext};
use proxy_wasm::types::ContextType;

use crate::config::{Mode, Plan, Role};
use crate::egress::Egress;
use crate::gate::Gate;
use crate::host::{self, Call};
use crate::ingress::Ingress;
use crate::lobby::{Guest, Lobby};

/// The root context. Without a configuration there is no part, and without one nothing is handled: Envoy
/// refuses a plugin whose `on_configure` says no.
pub(crate) struct Plugin {
    id: u32,
    part: Part,
}

/// What the plugin is: for requests, or for connections.
enum Part {
    None,
    Gate(Rc<Gate>),
    Lobby(Rc<Lobby>),
}

// === impl Plugin ===

impl Plugin {
    /// The root context `id`.
    pub(crate) fn new(id: u32) -> Self {
        Self { id, part: Part::None }
    }
}

impl Context for Plugin {
    fn on_http_call_response(&mut self, call: u32, _: usize, body_size: usize, _: usize) {
        if let Part::Gate(gate) = &self.part {
            gate.answered(Call(call), body_size);
        }
    }
}

impl RootContext for Plugin {
    fn on_configure(&mut self, size: usize) -> bool {
        let json = host::configuration(size);
        match Plan::parse(&json, host::environment) {
            Ok(Plan::Gate(config)) => {
                tell(&json);
                if config.mode == Mode::Shadow {
                    log::warn!("mode is shadow: refusals are logged, and NOTHING IS REFUSED");
                }
                self.part = Part::Gate(Rc::new(Gate::new(config, self.id)));
                true
            }
            Ok(Plan::Lobby(config)) => {
                tell(&json);
                self.part = Part::Lobby(Rc::new(Lobby::new(config, self.id)));
                true
            }
            Err(errors) => {
                for error in errors {
                    log::error!("configuration: {error}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        match &self.part {
            Part::Gate(gate) => gate.tick(),
            Part::Lobby(lobby) => lobby.tick(),
            Part::None => {}
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let Part::Gate(gate) = &self.part else { return None };
        let gate = Rc::clone(gate);
        match &gate.config.role {
            Role::Ingress => Some(Box::new(Ingress::new(id, gate))),
            Role::Egress { own_domain } => {
                let own_domain = Rc::clone(own_domain);
                Some(Box::new(Egress::new(id, gate, own_domain)))
            }
        }
    }

    fn create_stream_context(&self, id: u32) -> Option<Box<dyn StreamContext>> {
        let Part::Lobby(lobby) = &self.part else { return None };
        Some(Box::new(Guest::new(id, Rc::clone(lobby))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(match &self.part {
            Part::Lobby(_) => ContextType::StreamContext,
            Part::Gate(_) | Part::None => ContextType::HttpContext,
        })
    }
}

/// Logs version and configuration, on one line, once for all workers. The token is not in it, but only the
/// name of its variable.
fn tell(json: &[u8]) {
    // What was read as JSON is UTF-8.
    let given = str::from_utf8(json).unwrap_or_default();
    let given: Vec<_> = given.split_ascii_whitespace().collect();
    let told =
        concat!("fedgate ", env!("CARGO_PKG_VERSION"), ", configured as ").to_owned() + &given.join(" ");
    if host::is_said_first(&told) {
        log::info!("{told}");
    }
}
