//! Makes the filter that is released out of the one that cargo built.
//!
//! The SDK exports every callback of proxy-wasm, and Envoy calls what is exported: for each request
//! half a dozen times into the VM, for nothing. Here the module keeps the exports that it has a use
//! for, and the code that these can reach.
//!
//! And a request that pauses is made to pause as a whole. The SDK knows one way to pause, which Envoy
//! can be told (`allow_on_headers_stop_iteration`) to take for the headers alone; the first of the body
//! would then let the request go on. A callback for the body could hold it, at the price of a call
//! into the VM for each of its pieces. Envoy also knows a pause of headers, body and trailers.
//!
//! `fedgate-trim built.wasm trimmed.wasm`

use std::env;
use std::error::Error;
use std::path::PathBuf;

use walrus::ir::BinaryOp;
use walrus::{ExportItem, FunctionBuilder, Module, ValType, passes};

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
    REQUEST_HEADERS,
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_delete",
    // A connection.
    "proxy_on_new_connection",
];

/// The callback whose answer decides whether a request goes on.
const REQUEST_HEADERS: &str = "proxy_on_request_headers";
/// What the answer is shifted by: 0, to go on, stays; 1, the SDK's pause, becomes 4, which in Envoy's
/// proxy-wasm host is `FilterHeadersStatus::StopAllIterationAndWatermark`.
const PAUSE_ALL: i32 = 2;

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
    pause_whole_requests(&mut module)?;
    passes::gc::run(&mut module);
    module.emit_wasm_file(trimmed)?;
    Ok(())
}

/// Puts a function in the place of [`REQUEST_HEADERS`] that answers as it, shifted by [`PAUSE_ALL`].
fn pause_whole_requests(module: &mut Module) -> Result<(), Box<dyn Error>> {
    let Module { exports, funcs, locals, types, .. } = module;
    let callback = exports.get_func(REQUEST_HEADERS)?;
    let signature = [ValType::I32; 3];
    let mut function = FunctionBuilder::new(types, &signature, &[ValType::I32]);
    let arguments = signature.map(|argument| locals.add(argument));
    let mut body = function.func_body();
    for argument in arguments {
        body.local_get(argument);
    }
    body.call(callback).i32_const(PAUSE_ALL).binop(BinaryOp::I32Shl);
    let function = ExportItem::Function(function.finish(arguments.to_vec(), funcs));
    for export in exports.iter_mut().filter(|export| export.name == REQUEST_HEADERS) {
        export.item = function;
    }
    Ok(())
}
