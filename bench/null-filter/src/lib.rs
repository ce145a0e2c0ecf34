//! A filter that does nothing, built as the SDK builds any filter: the yardstick for Fedgate's.
//!
//! All callbacks are the SDK's defaults; Envoy calls those that the SDK exports, which is all of them.

#![allow(missing_docs, reason = "the only export is the entry point that the SDK's macro writes")]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

/// The root context.
struct Plugin;

/// One request.
struct Nothing;

impl Context for Plugin {}

impl RootContext for Plugin {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Nothing))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Nothing {}

impl HttpContext for Nothing {}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Plugin));
}}
