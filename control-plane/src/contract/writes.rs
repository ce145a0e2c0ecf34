//! Many domains in one write, and what a write comes to.

use std::fmt;

use fedgate_allow_list::terms::Change;
use fedgate_policy::{Domain, Strategy};
use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::domains::ListedDomain;
use super::strategy::{StrategyBody, strategy_schema};
use super::text::DomainText;

/// Domains, and the terms on which to list them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutDomains {
    /// Each domain once.
    pub(crate) domains: Vec<PutDomain>,
    /// The strategy to set with them.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(schema_with = strategy_schema, required = false)]
    pub(crate) strategy: Option<Strategy>,
}

/// What is there is given, and not null.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Strategy>, D::Error> {
    Strategy::deserialize(from).map(Some)
}

/// A domain, and the terms on which to list it; what is left out stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PutDomain {
    pub(crate) domain: Domain,
    #[serde(flatten)]
    pub(crate) change: Change,
}

/// What a write comes to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Outcome {
    /// Whether this was only asked about: nothing was written.
    pub(crate) dry_run: bool,
    /// Domains that were not listed, in alphabetical order, as the following.
    #[schema(value_type = Vec<DomainText>)]
    pub(crate) added: Vec<Domain>,
    /// Domains whose terms change.
    pub(crate) changed: Vec<ChangedDomain>,
    /// Domains that are not listed any more.
    #[schema(value_type = Vec<DomainText>)]
    pub(crate) removed: Vec<Domain>,
    /// How many of the domains that were named are as they were.
    pub(crate) unchanged: usize,
    /// The strategy, where it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) strategy: Option<ChangedStrategy>,
    /// Who may federate since then, and might not before.
    pub(crate) gain_access: Access,
    /// Who might federate before, and may not any more.
    pub(crate) lose_access: Access,
}

/// What changes of a domain's terms: only what differs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangedDomain {
    #[schema(value_type = DomainText)]
    pub(crate) domain: Domain,
    pub(crate) before: Change,
    pub(crate) after: Change,
}

/// The strategy before and after a write.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangedStrategy {
    #[schema(schema_with = strategy_schema)]
    pub(crate) before: Strategy,
    #[schema(schema_with = strategy_schema)]
    pub(crate) after: Strategy,
}

/// Domains whose access changes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Access {
    /// How many domains that are or were listed.
    pub(crate) count: usize,
    /// The first of them, 1000 at most.
    #[schema(value_type = Vec<DomainText>)]
    pub(crate) domains: Vec<Domain>,
    /// Whether all domains that are not listed are among them.
    pub(crate) unlisted: bool,
    /// The same for people, where it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "every domain that is not listed loses access")]
    pub(crate) detail: Option<String>,
}

/// What a write of one domain is answered with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PutAnswer {
    /// It was done.
    Done(ListedDomain),
    /// It was asked about.
    DryRun(Outcome),
}

/// What a write of the strategy is answered with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum StrategyAnswer {
    /// It was done.
    Done(StrategyBody),
    /// It was asked about.
    DryRun(Box<Outcome>),
}

// === impl PutDomain ===

/// As [`Change`], with one member more.
impl PartialSchema for PutDomain {
    fn schema() -> RefOr<Schema> {
        let mut schema = Change::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            let text = Ref::from_schema_name(DomainText::name());
            object.properties.insert("domain".to_owned(), text.into());
            object.required.push("domain".to_owned());
        }
        schema
    }
}

impl ToSchema for PutDomain {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Change::schemas(schemas);
        schemas.push((DomainText::name().into_owned(), DomainText::schema()));
    }
}

/// By hand, because a flattened [`Change`] would be read less strictly.
impl<'de> Deserialize<'de> for PutDomain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = PutDomain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a domain")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<PutDomain, A::Error> {
        let mut domain = None;
        let terms = TermsAlone { members, domain: &mut domain };
        let change = Change::deserialize(MapAccessDeserializer::new(terms))?;
        let domain = domain.ok_or_else(|| A::Error::missing_field("domain"))?;
        Ok(PutDomain { domain, change })
    }
}

/// The members but for the domain, which is taken out.
struct TermsAlone<'a, A> {
    members: A,
    domain: &'a mut Option<Domain>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for TermsAlone<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        while let Some(key) = self.members.next_key::<String>()? {
            if key != "domain" {
                return seed.deserialize(StringDeserializer::new(key)).map(Some);
            }
            // Which of many it is has to be told.
            let text: String = self.members.next_value()?;
            let domain = text.parse().map_err(|error| {
                A::Error::custom(format!("'{text}' is not a backend domain: it {error}"))
            })?;
            if self.domain.replace(domain).is_some() {
                return Err(A::Error::duplicate_field("domain"));
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.members.next_value_seed(seed)
    }
}
