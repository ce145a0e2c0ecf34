//! What the control plane says to whoever asks it over plain HTTP.

use fedgate_tests::control_plane::ControlPlane;
use fedgate_tests::process::http;
use serde_json::Value;

/// A call with a token, if it is not empty; status and body.
pub(crate) fn call(url: &str, token: &str, method: &str, body: Option<&Value>) -> (u16, Value) {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut answer = http().run(request.body(body).unwrap()).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
}

/// What a token, if it is not empty, gets of `/metrics` in a form that `accept` names: status, type, text.
pub(crate) fn metrics(control_plane: &ControlPlane, token: &str, accept: &str) -> (u16, String, String) {
    let request = http().get(format!("{}/metrics", control_plane.url())).header("accept", accept);
    let request = match token {
        "" => request,
        token => request.header("authorization", format!("Bearer {token}")),
    };
    let mut answer = request.call().unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), kind, answer.body_mut().read_to_string().unwrap())
}
