//! One of our own services: calls other backends through the egress, in plain HTTP.

use std::net::SocketAddr;

use ureq::http::Response;
use ureq::{Agent, Body};

use crate::caller::{Answer, CallError, Header};

/// Where a service finds the egress. Each call is made on a connection of its own.
#[derive(Clone, Debug)]
pub struct Local {
    egress: SocketAddr,
    agent: Agent,
}

// === impl Local ===

impl Local {
    /// A service beside this egress.
    pub fn new(egress: SocketAddr) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections(0)
            .timeout_global(Some(std::time::Duration::from_secs(40)))
            .build();
        Self { egress, agent: config.into() }
    }

    /// Calls a remote procedure of the brig of `domain`.
    pub fn call(&self, domain: &str, rpc: &str) -> Result<Answer, CallError> {
        self.request("POST", &format!("/rpc/{domain}/brig/{rpc}"), &[])
    }

    /// Calls it without a body.
    pub fn call_without_body(&self, domain: &str, rpc: &str) -> Result<Answer, CallError> {
        let url = format!("http://{}/rpc/{domain}/brig/{rpc}", self.egress);
        read(self.agent.post(url).send_empty().map_err(|error| CallError(error.to_string()))?)
    }

    /// Sends a request of any method and path.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
    ) -> Result<Answer, CallError> {
        read(self.open(method, path, headers)?)
    }

    /// Sends a request, and gives the answer as it comes.
    pub fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[Header<'_>],
    ) -> Result<Response<Body>, CallError> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.egress))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body("{}").map_err(|error| CallError(error.to_string()))?;
        self.agent.run(request).map_err(|error| CallError(error.to_string()))
    }
}

fn read(response: Response<Body>) -> Result<Answer, CallError> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let (head, mut body) = response.into_parts();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
            .collect(),
        body: body.read_to_vec().map_err(|error| CallError(error.to_string()))?,
    })
}
