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
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let roles: &[Role] = match listener {
        Listener::Admin | Listener::Wire if [Method::GET, Method::HEAD].contains(request.method()) => {
            &[Role::Viewer, Role::Admin]
        }
        Listener::Admin | Listener::Wire => &[Role::Admin],
        Listener::Verdicts | Listener::Xds => &[Role::Filter],
    };
    pass(&guard, roles, request, next).await
}

/// Passes on requests that write nothing, whatever their method is.
pub(super) async fn authorize_reading(
    State(guard): State<Guard>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    pass(&guard, &[Role::Viewer, Role::Admin], request, next).await
}

async fn pass(
    guard: &Guard,
    roles: &[Role],
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let peer = request.extensions().get::<Peer>().cloned();
    let caller = guard.admit(request.headers(), roles, peer.as_ref()).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match &refused {
            Refused::NoToken | Refused::Unknown | Refused::Expired { .. } => {
                Self::new(Kind::Unauthorized, refused.to_string())
                    .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            Refused::Role { .. } => Self::new(Kind::Forbidden, refused.to_string()),
        }
    }
}
