//! The JSON of the policy's verdicts, which it writes and reads itself, as documents describe it.

/// What the control plane says of one backend domain: either `hosts`, or a `failure`.
#[derive(utoipa::ToSchema)]
#[schema(as = Verdict)]
#[allow(dead_code, reason = "documents the JSON of the policy's Verdict, and a test holds it to it")]
pub(crate) struct VerdictSchema {
    /// The backend domain.
    #[schema(example = "a.com")]
    domain: String,
    /// The infrastructure domains that may speak for it: 1 to 64, in alphabetical order.
    #[schema(nullable = false, example = json!(["federator.infra.a.com"]))]
    hosts: Option<Vec<String>>,
    /// Why none may.
    #[schema(nullable = false)]
    failure: Option<FailureSchema>,
    /// For how long this holds, in milliseconds from now.
    #[schema(example = 599_000)]
    ttl_ms: u64,
    /// Whether what discovery and names would refuse is only told, and passes; absent where it is not.
    #[schema(nullable = false)]
    shadow: Option<bool>,
}

/// Why nobody may speak for a backend domain.
#[derive(utoipa::ToSchema)]
#[schema(as = Failure)]
#[allow(dead_code, reason = "documents the JSON of the policy's Failure")]
pub(crate) struct FailureSchema {
    /// `federation-denied`, `invalid-domain` or `discovery-failure`.
    #[schema(example = "invalid-domain")]
    label: String,
    /// One sentence for whoever has to mend it.
    #[schema(example = "srv record not found: _wire-server-federator._tcp.a.com")]
    message: String,
}
