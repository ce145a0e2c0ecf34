//! The feed: how verdicts reach the filters before they are asked for, and its JSON.
//!
//! ```json
//! {"cursor":"…","basis":"…","store":"…","control_plane":"…","reset":false,"more":false,
//!  "strategy":"allowDynamic","verdicts":[…],"removed":["c.com"]}
//! ```
//!
//! A control plane that shares its store with others also says how old what it knows may be (`"age_ms":120`), which a
//! filter counts as time in which it heard nothing.
//!
//! A filter holds a table of the listed domains. It asks for what has changed since its cursor, and
//! applies the pages that it is given, in order.

use std::fmt::{self, Write as _};
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
    /// See [`Speaker::store`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// See [`Speaker::control_plane`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<String>,
    /// How long ago nothing was newer than what is told, in milliseconds. Told where others write as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
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

/// Who gives an answer, by the names in it; opaque. Earlier control planes tell none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speaker {
    /// The store behind it: named when it is made, and the same for as long as it is kept.
    pub store: Option<String>,
    /// The process: named anew with each start. None where it shares the store with others, which say the same.
    pub control_plane: Option<String>,
}

/// Which backend domains are allowed, with Wire's names; the strictest is the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

// === impl FeedPage ===

impl FeedPage {
    /// Who gives it.
    pub fn speaker(&self) -> Speaker {
        Speaker { store: self.store.clone(), control_plane: self.control_plane.clone() }
    }
}

// === impl Speaker ===

/// As a log may have it, whatever the names are: letters and digits, and not many.
impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, name) in [("control plane ", &self.control_plane), (" with store ", &self.store)] {
            f.write_str(what)?;
            let name = name.as_deref().unwrap_or("unnamed");
            let mut readable = name.chars().filter(char::is_ascii_alphanumeric).take(32);
            readable.try_for_each(|letter| f.write_char(letter))?;
        }
        Ok(())
    }
}

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
    use crate::verdict::Answer;

    #[test]
    fn a_page_is_written_and_read_as_documented() {
        for json in [
            r#"{"cursor":"x","basis":"y","store":"s","control_plane":"p","reset":true,"more":false,"strategy":"allowDynamic","verdicts":[{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1}],"removed":["c.com"]}"#,
            r#"{"cursor":"x","store":"s","age_ms":7,"reset":false,"more":false,"strategy":"allowAll","verdicts":[],"removed":[]}"#,
            r#"{"cursor":"x","reset":false,"more":false,"strategy":"allowAll","verdicts":[],"removed":[]}"#,
        ] {
            let page: FeedPage = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&page).unwrap(), json);
        }
    }

    #[test]
    fn the_other_side_may_be_of_another_version() {
        let old = r#"{"cursor":"x","reset":false,"more":false,"strategy":"allowAll","verdicts":[],"removed":[]}"#;
        let page: FeedPage = serde_json::from_str(old).unwrap();
        assert_eq!(page.speaker(), Speaker::default());
        let later =
            old.replace("{\"cursor\"", r#"{"store":"s","control_plane":"p","colour":[{}],"cursor""#);
        let page: FeedPage = serde_json::from_str(&later).unwrap();
        let names = (Some("s".to_owned()), Some("p".to_owned()));
        assert_eq!(page.speaker(), Speaker { store: names.0, control_plane: names.1 });
        let verdict =
            r#"{"domain":"a.com","hosts":["h.a.com"],"ttl_ms":1,"store":"s","control_plane":"p"}"#;
        assert!(serde_json::from_str::<Verdict>(verdict).is_ok());
        assert_eq!(serde_json::from_str::<Answer>(verdict).unwrap().speaker, page.speaker());
    }

    #[test]
    fn a_name_is_written_safely_and_briefly() {
        let speaker = Speaker { store: Some("\u{202e}\n".repeat(99)), control_plane: None };
        let text = speaker.to_string();
        assert_eq!(text, "control plane unnamed with store ");
        let speaker =
            Speaker { store: Some("a\n1".repeat(99)), control_plane: Some("é!b2".to_owned()) };
        let text = speaker.to_string();
        assert_eq!(text, format!("control plane b2 with store {}", "a1".repeat(16)));
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
