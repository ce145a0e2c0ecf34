//! The plugin: reads its configuration, makes a context for each request, keeps the gate going.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::config::{Config, Mode, Role};
use crate::egress::Egress;
use crate::gate::Gate;
use crate::host::{self, Call};
use crate::ingress::Ingress;

/// The root context. Without a configuration there is no gate, and without a gate no request is
/// handled: Envoy refuses a plugin whose `on_configure` says no.
pub(crate) struct Plugin {
    id: u32,
    gate: Option<Rc<Gate>>,
}

// === impl Plugin ===

impl Plugin {
    /// The root context `id`.
    pub(crate) fn new(id: u32) -> Self {
        Self { id, gate: None }
    }
}

impl Context for Plugin {
    fn on_http_call_response(&mut self, call: u32, _: usize, body_size: usize, _: usize) {
        if let Some(gate) = &self.gate {
            gate.answered(Call(call), body_size);
        }
    }
}

impl RootContext for Plugin {
    fn on_configure(&mut self, size: usize) -> bool {
        let json = host::configuration(size);
        match Config::parse(&json, host::environment) {
            Ok(config) => {
                // On one line. The token is not in it, but only the name of its variable.
                let given: Vec<_> =
                    json.split(u8::is_ascii_whitespace).filter(|it| !it.is_empty()).collect();
                let given = given.join(&b' ');
                let given = String::from_utf8_lossy(&given);
                let told = concat!("fedgate ", env!("CARGO_PKG_VERSION"), ", configured as ").to_owned()
                    + &given;
                if host::is_said_first(&told) {
                    log::info!("{told}");
                }
                if config.mode == Mode::Shadow {
                    log::warn!("mode is shadow: refusals are logged, and NOTHING IS REFUSED");
                }
                self.gate = Some(Rc::new(Gate::new(config, self.id)));
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
        if let Some(gate) = &self.gate {
            gate.tick();
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let gate = Rc::clone(self.gate.as_ref()?);
        match &gate.config.role {
            Role::Ingress => Some(Box::new(Ingress::new(id, gate))),
            Role::Egress { own_domain } => {
                let own_domain = Rc::clone(own_domain);
                Some(Box::new(Egress::new(id, gate, own_domain)))
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
