//! What a test expects of a request, and whether it came so.

use fedgate_tests::World;
use fedgate_tests::caller::{Answer, CallError, Caller, Header};

/// The end of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// It reached the backend, which saw exactly this origin.
    Permit(&'static str),
    /// It was refused with this status and label.
    Refuse(u16, &'static str),
    /// Envoy itself refused it, before the filter, with this status.
    Reject(u16),
    /// There was no answer: the handshake, or the connection, failed.
    Fail,
}

/// Calls over HTTP/1.1 and over HTTP/2, and checks both.
pub(crate) fn check(world: &World, caller: &Caller, name: &str, headers: &[Header<'_>], expect: Expect) {
    check_http1(world, caller, name, headers, expect);
    check_http2(world, caller, name, headers, expect);
}

/// Calls over HTTP/1.1.
pub(crate) fn check_http1(
    world: &World,
    caller: &Caller,
    name: &str,
    headers: &[Header<'_>],
    expect: Expect,
) {
    let rpc = format!("{}-h1", name.replace('_', "-"));
    let answer = world.run(async { caller.http1().await?.call(&rpc, headers).await });
    assert_expected(world, &rpc, answer, expect);
}

/// Calls over HTTP/2.
pub(crate) fn check_http2(
    world: &World,
    caller: &Caller,
    name: &str,
    headers: &[Header<'_>],
    expect: Expect,
) {
    let rpc = format!("{}-h2", name.replace('_', "-"));
    let answer = world.run(async { caller.call(&rpc, headers).await });
    assert_expected(world, &rpc, answer, expect);
}

/// Compares what came with what was to come, at the caller and at the backend.
pub(crate) fn assert_expected(
    world: &World,
    rpc: &str,
    answer: Result<Answer, CallError>,
    expect: Expect,
) {
    match (answer, expect) {
        (Ok(answer), Expect::Permit(origin)) => {
            assert_eq!(answer.status, 200, "{rpc}: {}", String::from_utf8_lossy(&answer.body));
            assert_eq!(received(&answer, "wire-origin-domain"), [origin], "{rpc}");
        }
        (Ok(answer), Expect::Refuse(status, label)) => {
            let body = answer.json();
            assert_eq!((answer.status, answer.label().as_str()), (status, label), "{rpc}: {body}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{rpc}");
            assert_eq!(body["code"], status, "{rpc}: {body}");
            assert!(
                body["message"].as_str().is_some_and(|message| !message.is_empty()),
                "{rpc}: {body}"
            );
            assert!(body["error"].as_str().is_some_and(|error| !error.is_empty()), "{rpc}: {body}");
        }
        (Ok(answer), Expect::Reject(status)) => assert_eq!(answer.status, status, "{rpc}: {answer:?}"),
        (Err(_), Expect::Fail) => {}
        (answer, expect) => panic!("{rpc}: expected {expect:?}, got {answer:?}"),
    }
    let reached = matches!(expect, Expect::Permit(_));
    assert_eq!(world.backend.saw(rpc), reached, "{rpc}: only what is permitted reaches the backend");
}

/// The values of a header that the backend says it received.
pub(crate) fn received(answer: &Answer, header: &str) -> Vec<String> {
    let request = answer.json();
    let headers = request["headers"].as_array().cloned().unwrap_or_default();
    headers
        .iter()
        .filter(|pair| pair[0].as_str().is_some_and(|name| name.eq_ignore_ascii_case(header)))
        .filter_map(|pair| pair[1].as_str().map(str::to_owned))
        .collect()
}

/// The one header that makes a federated request.
pub(crate) fn origin(domain: &str) -> Header<'_> {
    ("wire-origin-domain", domain.as_bytes())
}
