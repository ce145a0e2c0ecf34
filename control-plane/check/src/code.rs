//! Kinds of findings.

use serde::{Serialize, Serializer};

/// A kind of finding. All of them stand in constants beside what finds them.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Its name, for programs and as the heading of its section in docs/check.md: `srv-missing`.
    pub name: &'static str,
    /// How bad that is.
    pub severity: Severity,
    /// What would be right, in one sentence.
    pub expected: &'static str,
    /// What to do about it, in one or two sentences.
    pub cure: &'static str,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; nothing is wrong.
    Info,
    /// Federation works, but will not always, or not as safely as it could.
    Warning,
    /// Federation does not work, or the border is open.
    Error,
}

/// Declares each code, and `CODES` of them all, so that none is forgotten there.
macro_rules! codes {
    ($($severity:ident $constant:ident $name:literal: $expected:literal; $cure:literal;)*) => {
        $(
            pub(crate) static $constant: $crate::Code = $crate::Code {
                name: $name,
                severity: $crate::Severity::$severity,
                expected: $expected,
                cure: $cure,
            };
        )*

        /// All of them, in the order in which they are looked for.
        pub static CODES: &[&$crate::Code] = &[$(&$constant),*];
    };
}
pub(crate) use codes;

// === impl Code ===

impl Code {
    /// Where more is said of it.
    pub fn page(&self) -> String {
        format!("docs/check.md#{}", self.name)
    }
}

/// As its name.
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

// === impl Severity ===

impl Severity {
    /// As JSON and people have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}
