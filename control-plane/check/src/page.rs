//! docs/check.md has a heading for each code, and no other.

use std::collections::BTreeSet;

use crate::{Code, envoy, peer};

const PAGE: &str = include_str!("../../../docs/check.md");

/// The sections of the page, with the codes of what it is about.
fn sections() -> [(&'static str, Vec<&'static [&'static Code]>); 3] {
    [
        ("Of another backend", vec![peer::CODES]),
        ("Of our own", vec![]),
        ("Of an Envoy's configuration", vec![envoy::CODES]),
    ]
}

#[test]
fn every_code_is_a_heading_of_its_section_and_the_other_way_round() {
    for (title, codes) in sections() {
        let (_, rest) = PAGE.split_once(&format!("\n## {title}\n")).unwrap();
        let section = rest.split("\n## ").next().unwrap();
        let headings: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        let names: Vec<_> = codes.concat().iter().map(|code| code.name).collect();
        let [headings_once, names_once] =
            [&headings, &names].map(|all| all.iter().copied().collect::<BTreeSet<_>>());
        assert_eq!(headings_once, names_once, "{title}");
        assert_eq!((headings.len(), names.len()), (headings_once.len(), names_once.len()), "{title}");
    }
}

#[test]
fn the_page_says_of_each_code_how_bad_it_is() {
    for code in sections().into_iter().flat_map(|(_, codes)| codes.concat()) {
        let (_, text) = PAGE.split_once(&format!("\n### {}\n\n", code.name)).unwrap();
        let first = text.split('.').next().unwrap().to_lowercase();
        assert_eq!(first, code.severity.name(), "{}", code.name);
    }
}
