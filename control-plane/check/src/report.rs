//! What a run came to, for programs: JSON, and JUnit's XML for what shows tests.

use std::fmt::Write;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::code::Severity;
use crate::ledger::{Check, Finding, Outcome};

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was looked at: a domain, a file, `self`.
    pub subject: String,
    /// In the order in which they were looked at.
    pub checks: Vec<Check>,
}

// === impl Report ===

impl Report {
    /// All findings, in order.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.checks.iter().flat_map(Check::findings)
    }

    /// The worst of them.
    pub fn severity(&self) -> Option<Severity> {
        self.findings().map(|finding| finding.code.severity).max()
    }

    /// 0: nothing above info; 1: errors; 3: warnings at most.
    pub fn exit_code(&self) -> u8 {
        match self.severity() {
            None | Some(Severity::Info) => 0,
            Some(Severity::Warning) => 3,
            Some(Severity::Error) => 1,
        }
    }

    /// As JUnit reads it: a warning or an error is a failure, what was not looked at is skipped.
    pub fn to_junit(&self) -> String {
        let failures =
            self.checks.iter().filter(|check| check.severity() > Some(Severity::Info)).count();
        let skipped = self
            .checks
            .iter()
            .filter(|check| matches!(check.outcome, Outcome::NotLookedAt { .. }))
            .count();
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let subject = escaped(&self.subject);
        let tests = self.checks.len();
        let _ = writeln!(
            xml,
            "<testsuite name=\"fedgate check {subject}\" tests=\"{tests}\" failures=\"{failures}\" \
             skipped=\"{skipped}\">"
        );
        for check in &self.checks {
            let _ = write!(
                xml,
                "  <testcase classname=\"{}\" name=\"{}\"",
                escaped(&check.section),
                escaped(&check.claim)
            );
            let inside = inside(check);
            let _ = if inside.is_empty() {
                writeln!(xml, "/>")
            } else {
                writeln!(xml, ">\n{inside}  </testcase>")
            };
        }
        xml.push_str("</testsuite>\n");
        xml
    }
}

/// With each finding's severity, what was expected, and the cure.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("Report", 4)?;
        report.serialize_field("subject", &self.subject)?;
        report.serialize_field("severity", &self.severity())?;
        report.serialize_field("findings", &self.checks.iter().flat_map(told).collect::<Vec<_>>())?;
        report.serialize_field("checks", &self.checks)?;
        report.end()
    }
}

/// A finding with all that its code says of it.
#[derive(Serialize)]
struct Told<'a> {
    code: &'static str,
    severity: Severity,
    section: &'a str,
    claim: &'a str,
    expected: &'static str,
    seen: &'a str,
    cure: &'static str,
    page: String,
}

fn told(check: &Check) -> impl Iterator<Item = Told<'_>> {
    check.findings().iter().map(|Finding { code, seen }| Told {
        code: code.name,
        severity: code.severity,
        section: &check.section,
        claim: &check.claim,
        expected: code.expected,
        seen,
        cure: code.cure,
        page: code.page(),
    })
}

/// What stands in a test case.
fn inside(check: &Check) -> String {
    let mut xml = String::new();
    if let Outcome::NotLookedAt { because } = &check.outcome {
        let _ = writeln!(xml, "    <skipped message=\"because {}\"/>", escaped(because));
    }
    let mut failures = Vec::new();
    for Finding { code, seen } in check.findings() {
        let text = format!(
            "{}: {}\nexpected: {}\nseen: {seen}\ncure: {}\nsee {}",
            code.severity.name(),
            code.name,
            code.expected,
            code.cure,
            code.page()
        );
        if code.severity > Severity::Info {
            failures.push((code.name, text));
        } else {
            let _ = writeln!(xml, "    <system-out>{}</system-out>", escaped(&text));
        }
    }
    // JUnit takes one failure for a test case.
    if !failures.is_empty() {
        let (names, texts): (Vec<_>, Vec<_>) = failures.into_iter().unzip();
        let _ = writeln!(
            xml,
            "    <failure type=\"{}\">{}</failure>",
            escaped(&names.join(" ")),
            escaped(&texts.join("\n\n"))
        );
    }
    xml
}

/// Text within XML. What XML cannot say at all becomes U+FFFD.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut xml, letter| {
        match letter {
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '&' => xml.push_str("&amp;"),
            '"' => xml.push_str("&quot;"),
            '\n' => xml.push('\n'),
            _ if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                xml.push('\u{fffd}');
            }
            _ => xml.push(letter),
        }
        xml
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Ledger};

    static WRONG: Code =
        Code { name: "wrong", severity: Severity::Error, expected: "right", cure: "mend it" };
    static ODD: Code =
        Code { name: "odd", severity: Severity::Warning, expected: "even", cure: "add one" };
    static FYI: Code =
        Code { name: "fyi", severity: Severity::Info, expected: "anything", cure: "nothing to do" };

    fn report(fill: impl FnOnce(&mut Ledger<'_>)) -> Report {
        let mut ignore = |_: crate::Progress<'_>| ();
        let mut ledger = Ledger::new(&mut ignore);
        ledger.section("DNS");
        fill(&mut ledger);
        ledger.close("a.com")
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_finding() {
        assert_eq!(report(|ledger| ledger.passed("it is", "so")).exit_code(), 0);
        assert_eq!(report(|ledger| ledger.not_looked_at("it is", "it is late")).exit_code(), 0);
        assert_eq!(report(|ledger| ledger.found("it is", &FYI, "so")).exit_code(), 0);
        assert_eq!(report(|ledger| ledger.found("it is", &ODD, "so")).exit_code(), 3);
        let worst = report(|ledger| {
            ledger.found("it is", &WRONG, "so");
            ledger.found("that is", &ODD, "so");
        });
        assert_eq!(worst.exit_code(), 1);
    }

    #[test]
    fn json_has_each_finding_with_its_cure() {
        let json = serde_json::to_value(report(|ledger| ledger.found("it is", &WRONG, "left"))).unwrap();
        assert_eq!(
            json["findings"][0],
            serde_json::json!({
                "code": "wrong", "severity": "error", "section": "DNS", "claim": "it is", "expected": "right",
                "seen": "left", "cure": "mend it", "page": "docs/check.md#wrong",
            })
        );
        assert_eq!(json["checks"][0]["outcome"], "found");
        assert_eq!(json["severity"], "error");
    }

    #[test]
    fn junit_fails_from_warnings_on_and_nothing_breaks_out_of_it() {
        let xml = report(|ledger| {
            ledger.passed("it is", "so");
            ledger.found("<\u{1b}>", &ODD, "\"]]><x>&\u{0}");
            ledger.found("that is", &FYI, "so");
            ledger.not_looked_at("this is", "it is late");
        })
        .to_junit();
        assert!(xml.contains(r#"tests="4" failures="1" skipped="1""#), "{xml}");
        assert!(xml.contains(r#"<testcase classname="DNS" name="&lt;�&gt;">"#), "{xml}");
        assert!(
            xml.contains(r#"<failure type="odd">"#) && xml.contains("&quot;]]&gt;&lt;x&gt;&amp;�"),
            "{xml}"
        );
        assert!(xml.contains(r#"<skipped message="because it is late"/>"#), "{xml}");
    }
}
