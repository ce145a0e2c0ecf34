//! Texts of a certain form, as documents describe them.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A backend domain: [`fedgate_policy::Domain`].
pub(crate) struct DomainText;

impl PartialSchema for DomainText {
    fn schema() -> RefOr<Schema> {
        let pattern = "^(localhost|([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)+\
                       [A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)$";
        let description = "A backend domain; an internationalized one in its A-label form.";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(description))
            .pattern(Some(pattern))
            .max_length(Some(253))
            .examples([serde_json::json!("a.com")])
            .into()
    }
}

impl ToSchema for DomainText {
    fn name() -> std::borrow::Cow<'static, str> {
        "Domain".into()
    }
}
