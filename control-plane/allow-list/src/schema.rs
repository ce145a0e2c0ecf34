//! Texts of a certain form, as documents describe them: what is described is what is read.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat,
    Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::terms::{MAX_TEAMS, Restriction};

/// A moment in UTC: [`crate::Moment`].
pub struct MomentText;

/// A host: [`fedgate_policy::HostName`].
pub struct HostText;

fn text(pattern: &str, description: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .examples([serde_json::json!(example)])
}

impl PartialSchema for MomentText {
    fn schema() -> RefOr<Schema> {
        // Every month has its days, and every fourth year another one.
        let pattern = "^((19[7-9][0-9]|[2-9][0-9]{3})-\
             ((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))\
             |(19(7[26]|8[048]|9[26])|[2-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[3579][26])00)-02-29)\
             T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z$";
        let description = "A moment in UTC as RFC 3339 writes it, from 1970 on.";
        text(pattern, description, "2030-01-31T12:00:00Z").into()
    }
}

impl ToSchema for MomentText {
    fn name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }
}

impl PartialSchema for HostText {
    fn schema() -> RefOr<Schema> {
        let pattern = "^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)*\
             [A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.?$";
        text(pattern, "A host's name.", "federator.infra.a.com").max_length(Some(253)).into()
    }
}

impl ToSchema for HostText {
    fn name() -> std::borrow::Cow<'static, str> {
        "HostName".into()
    }
}

/// Wire's shape, in which everybody may have a value, if it is none.
impl PartialSchema for Restriction {
    fn schema() -> RefOr<Schema> {
        let variant = |tag: &str, value: RefOr<Schema>| {
            let tag = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([tag]));
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .property("tag", tag)
                .property("value", value)
                .required("tag")
                .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        };
        let team = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
        let teams = ArrayBuilder::new().items(team).max_items(Some(MAX_TEAMS));
        let everybody = variant("allow_all", ObjectBuilder::new().schema_type(Type::Null).into());
        let by_team = variant("restrict_by_team", teams.into()).required("value");
        OneOfBuilder::new()
            .description(Some("Wire's: with which of their teams ours may talk; at most 1000."))
            .item(everybody)
            .item(by_team)
            .into()
    }
}

impl ToSchema for Restriction {}
