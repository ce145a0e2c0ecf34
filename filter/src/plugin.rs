//! The plugin: reads its configuration and makes a context for each request.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::config::{Config, Mode, Role};
use crate::gate::Gate;
use crate::host;
use crate::ingress::Ingress;

/// The root context. Without a configuration there is no gate, and without a gate no request is
/// handled: Envoy refuses a plugin whose `on_configure` says no.
#[derive(Default)]
pub(crate) struct Plugin {
    gate: Option<Rc<Gate>>,
}

// === impl Plugin ===

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, size: usize) -> bool {
        match Config::parse(&host::configuration(size), host::environment) {
            Ok(config) => {
                if config.mode == Mode::Shadow {
                    log::warn!("mode is shadow: refusals are logged, and NOTHING IS REFUSED");
                }
                self.gate = Some(Rc::new(Gate::new(config)));
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

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let gate = Rc::clone(self.gate.as_ref()?);
        match gate.config.role {
            Role::Ingress => Some(Box::new(Ingress::new(gate))),
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
