//! Lets a request pass whose token may make it.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem::Problem;
use crate::auth::{Guard, Refused, Role};
use crate::contract::Kind;
use crate::listener::{Listener, Peer};

/// Passes on the requests of those who may make them.
pub(super) async fn authorize(
    State((guard, listener)): State<(Guard, Listener)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let roles: &[Role] = match listener {
        Listener::Admin if [Method::GET, Method::HEAD].contains(request.method()) => {
            &[Role::Viewer, Role::Admin]
        }
        Listener::Admin => &[Role::Admin],
        Listener::Verdicts | Listener::Xds => &[Role::Filter],
    };
    let peer = request.extensions().get::<Peer>().cloned();
    let caller = guard.admit(request.headers(), roles, peer.as_ref()).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match &refused {
            Refused::NoToken | Refused::Unknown => Self::new(Kind::Unauthorized, refused.to_string())
                .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Refused::Role { .. } => Self::new(Kind::Forbidden, refused.to_string()),
        }
    }
}
