//! The plugin: reads its configuration and makes a context for each request.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use crate::config::{Config, Role};
use crate::gate::Gate;
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
        let bytes = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten();
        match Config::parse(&bytes.unwrap_or_default(), |name| std::env::var(name).ok()) {
            Ok(config) => {
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
