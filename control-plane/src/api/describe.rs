//! What each listener says of itself (OpenAPI): what all operations have in common is added here, once.

use axum::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ComponentsBuilder, Schema};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Response, ResponseBuilder, SecurityRequirement,
};

use super::number;
use super::wire::WireError;
use crate::contract::{Details, DomainText, Kind};
use crate::listener::Listener;

/// What holds for a listener as a whole.
pub(super) fn about(listener: Listener) -> OpenApi {
    let (title, description) = match listener {
        Listener::Admin => (
            "Fedgate: admin API",
            "Who may federate with us. Roles: `viewer` reads, `admin` reads and writes. A write that needs nobody to \
             have been there in between carries `If-Match` with the `ETag` that was read; what would come of a write \
             is said with `dry_run=true`. Each answer carries `X-Request-Id`.",
        ),
        Listener::Wire => (
            "Fedgate: Wire's list API",
            "Our list by the API that brig has for its own. Roles: `viewer` reads, `admin` reads and writes; where \
             `wire_list.open` is true, no token is needed.",
        ),
        Listener::Verdicts | Listener::Xds => (
            "Fedgate: verdict API",
            "Which hosts speak for a backend domain, for the filters in Envoy. Role: `filter`.",
        ),
    };
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = ComponentsBuilder::new()
        .security_scheme("token", SecurityScheme::Http(bearer))
        .schema_from::<Details>()
        .schema_from::<DomainText>()
        .build();
    let version = env!("CARGO_PKG_VERSION");
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title(title).version(version).description(Some(description)).build())
        .components(Some(components))
        .security(Some([SecurityRequirement::new("token", [""; 0])]))
        .build()
}

/// Adds the answers that an operation has in common with all others of its kind.
pub(super) fn complete(openapi: &mut OpenApi, listener: Listener) {
    for operation in openapi.paths.paths.values_mut().flat_map(operations) {
        let (reads_body, is_open) = (operation.request_body.is_some(), operation.security.is_some());
        let has_input = reads_body || operation.parameters.is_some();
        let is_ours = listener != Listener::Wire;
        let is_write = reads_body || operation.responses.responses.contains_key("204");
        for kind in Kind::ALL {
            let is_due = match kind {
                Kind::BadRequest => has_input,
                Kind::Unauthorized | Kind::Forbidden => !is_open,
                Kind::MethodNotAllowed | Kind::TimedOut => true,
                Kind::TooManyRequests => !is_open && listener == Listener::Admin,
                Kind::RequestTimeout
                | Kind::ContentTooLarge
                | Kind::UnsupportedMediaType
                | Kind::Conflict => reads_body,
                Kind::UnprocessableContent => reads_body && is_ours,
                Kind::PreconditionFailed | Kind::PreconditionRequired => is_write && is_ours,
                Kind::StoreFull | Kind::OwnedByFile => is_write,
                // Where one of these may come, the operation says so itself; or it stands beside another.
                Kind::NoSuchResource
                | Kind::NotListed
                | Kind::NotAllowed
                | Kind::NoSuchToken
                | Kind::BrigFailed
                | Kind::InvalidConfiguration
                | Kind::StoreFailed
                | Kind::NotReady => false,
            };
            if is_due {
                let answer = || RefOr::T(if is_ours { problem(kind) } else { wires(kind) });
                operation.responses.responses.entry(kind.status().to_string()).or_insert_with(answer);
            }
        }
        for (status, answer) in &mut operation.responses.responses {
            let RefOr::T(answer) = answer else { continue };
            if answer.description.is_empty() {
                answer.description = in_words(status);
            }
            if [Listener::Admin, Listener::Wire].contains(&listener) {
                let text = ObjectBuilder::new().schema_type(utoipa::openapi::Type::String);
                let header = HeaderBuilder::new()
                    .schema(Some(text))
                    .description(Some("The number of the request: its own, or one made up."));
                answer.headers.insert(number::HEADER.to_string(), header.build().into());
            }
        }
    }
    // Where their members stand among others, those are no mistake.
    let schemas = openapi.components.iter_mut().flat_map(|components| components.schemas.iter_mut());
    for (name, schema) in schemas {
        if name == "Terms"
            && let RefOr::T(Schema::Object(object)) = schema
        {
            object.additional_properties = None;
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = item;
    [get, put, post, delete].into_iter().flatten()
}

fn problem(kind: Kind) -> Response {
    let details = ContentBuilder::new().schema(Some(Ref::from_schema_name(Details::name()))).build();
    ResponseBuilder::new().description(kind.title()).content("application/problem+json", details).build()
}

/// The same in the shape of Wire's errors.
fn wires(kind: Kind) -> Response {
    let error = ContentBuilder::new().schema(Some(Ref::from_schema_name(WireError::name()))).build();
    ResponseBuilder::new().description(kind.title()).content("application/json", error).build()
}

fn in_words(status: &str) -> String {
    let status = status.parse::<StatusCode>().ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("an answer").to_owned()
}
