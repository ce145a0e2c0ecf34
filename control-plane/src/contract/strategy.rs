//! The strategy.

use fedgate_policy::Strategy;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// Which backend domains are allowed.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Strategy)]
pub(crate) struct StrategyBody {
    #[schema(schema_with = strategy_schema)]
    pub(crate) strategy: Strategy,
}

/// Which backend domains are to be allowed.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetStrategy {
    #[schema(schema_with = strategy_schema)]
    pub(crate) strategy: Strategy,
}

/// The JSON of a strategy.
pub(crate) fn strategy_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("Which backend domains are allowed: none, the listed ones, or all."))
        .enum_values(Some(Strategy::ALL.map(Strategy::name)))
        .build()
}
