//! The feed: how verdicts reach the filters before they are asked for, and its JSON.
//!
//! ```json
//! {"cursor":"…","basis":"…","reset":false,"more":false,"strategy":"allowDynamic","verdicts":[…],"removed":["c.com"]}
//! ```
//!
//! A filter holds a table of the listed domains. It asks for what has changed since its cursor, and
//! applies the pages that it is given, in order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::Domain;
use crate::verdict::Verdict;

/// The most bytes of a page as JSON.
pub const MAX_PAGE: usize = 64 * 1024;

/// A page of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedPage {
    /// Where the next page begins; opaque.
    pub cursor: String,
    /// What the verdicts rest on; opaque. Earlier control planes do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// This is the first page of a whole table: what is not in it is not listed, and what was known
    /// before ends with the last page, but for verdicts on the same basis, of which the table has none
    /// in their place.
    pub reset: bool,
    /// Another page is ready now. A table is whole when there is none.
    pub more: bool,
    /// What being listed means.
    pub strategy: Strategy,
    /// Listed domains, each with what is known of it now.
    pub verdicts: Vec<Verdict>,
    /// Domains that are no longer listed.
    pub removed: Vec<Domain>,
}

/// Which backend domains are allowed, with Wire's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::enum_variant_names, reason = "these are the names in Wire's own API")]
pub enum Strategy {
    /// No domain, listed or not.
    AllowNone,
    /// Exactly the listed domains.
    #[default]
    AllowDynamic,
    /// Every domain, listed or not.
    AllowAll,
}

/// A text that names no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is none of allowNone, allowDynamic, allowAll")]
pub struct UnknownStrategy;

// === impl Strategy ===

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AllowNone, Self::AllowDynamic, Self::AllowAll];

    /// Its name in APIs, in the store, and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllowNone => "allowNone",
            Self::AllowDynamic => "allowDynamic",
            Self::AllowAll => "allowAll",
        }
    }

    /// Whether a domain is allowed that is, or is not, on the list.
    pub fn allows(self, listed: bool) -> bool {
        match self {
            Self::AllowNone => false,
            Self::AllowDynamic => listed,
            Self::AllowAll => true,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == text).ok_or(UnknownStrategy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_and_read_as_documented() {
        for json in [
            r#"{"cursor":"x","basis":"y","reset":true,"more":false,"strategy":"allowDynamic","verdicts":[{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1}],"removed":["c.com"]}"#,
            r#"{"cursor":"x","reset":false,"more":false,"strategy":"allowAll","verdicts":[],"removed":[]}"#,
        ] {
            let page: FeedPage = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&page).unwrap(), json);
        }
    }

    #[test]
    fn one_bad_name_makes_the_whole_page_bad() {
        for json in [
            r#"{"cursor":"x","reset":true,"more":false,"strategy":"allowSome","verdicts":[],"removed":[]}"#,
            r#"{"cursor":"x","reset":true,"more":false,"strategy":"allowAll","verdicts":[],"removed":["a"]}"#,
            r#"{"cursor":"x","reset":true,"more":false,"strategy":"allowAll","verdicts":[{}],"removed":[]}"#,
            r#"{"cursor":"x","reset":true,"more":false,"strategy":"allowAll","verdicts":[]}"#,
            r#"{"cursor":"x","more":false,"strategy":"allowAll","verdicts":[],"removed":[]}"#,
        ] {
            assert!(serde_json::from_str::<FeedPage>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_strategy_has_one_name_everywhere() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.name().parse(), Ok(strategy));
            assert_eq!(serde_json::to_value(strategy).unwrap(), strategy.name());
        }
        assert_eq!("allowSome".parse::<Strategy>(), Err(UnknownStrategy));
    }
}
