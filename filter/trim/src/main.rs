//! Takes out of the built filter what Envoy need not call.
//!
//! The SDK exports every callback of proxy-wasm, and Envoy calls what is exported: for each request
//! half a dozen times into the VM, for nothing. Here the module keeps the exports that it has a use
//! for, and the code that these can reach.
//!
//! `fedgate-trim built.wasm trimmed.wasm`

use std::env;
use std::error::Error;
use std::path::PathBuf;

use walrus::{Module, passes};

/// What stays. A callback that the filter begins to use has to be added here; without it, Envoy
/// passes it over in silence.
const EXPORTS: &[&str] = &[
    // The module itself: its memory, start, version of the ABI, and memory for what the host returns.
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
    // The plugin.
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_http_call_response",
    // A request.
    "proxy_on_context_create",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_delete",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let (Some(built), Some(trimmed), None) = (paths.next(), paths.next(), paths.next()) else {
        return Err("usage: fedgate-trim BUILT.wasm TRIMMED.wasm".into());
    };
    let mut module = Module::from_file(built)?;
    for name in EXPORTS {
        if !module.exports.iter().any(|export| export.name == *name) {
            return Err(format!("the filter does not export {name}").into());
        }
    }
    let superfluous: Vec<_> = module
        .exports
        .iter()
        .filter(|export| !EXPORTS.contains(&export.name.as_str()))
        .map(walrus::Export::id)
        .collect();
    for export in superfluous {
        module.exports.delete(export);
    }
    passes::gc::run(&mut module);
    module.emit_wasm_file(trimmed)?;
    Ok(())
}
