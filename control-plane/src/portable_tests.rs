use super::*;

fn list() -> Portable {
    let team = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let domains = [
        ("a.com", json!({})),
        (
            "b.com",
            json!({"note": "Bücher \"17\" \\ \u{202e}\u{e0041}", "mode": "shadow", "dnssec": "require"}),
        ),
        ("c.com", json!({"action": "block", "expires_at": "2030-01-31T12:00:00Z"})),
        (
            "d.com",
            json!({"pinned_hosts": ["f.d.com", "g.d.com"], "search_policy": "full_search",
                "restriction": {"tag": "restrict_by_team", "value": [team]}}),
        ),
        ("e.com", json!({"restriction": {"tag": "restrict_by_team", "value": []}})),
    ];
    let domains =
        domains.map(|(domain, terms)| (domain.parse().unwrap(), serde_json::from_value(terms).unwrap()));
    Portable { strategy: Some(Strategy::AllowAll), domains: domains.into() }
}

#[test]
fn what_is_written_is_read_as_the_same_and_shows_all_that_it_holds() {
    for list in [list(), Portable::default()] {
        for format in [Format::Toml, Format::Jsonl] {
            let text = write(&list, format);
            assert_eq!(read(&text, format).as_ref(), Ok(&list), "{text}");
            assert!(!text.contains(['\u{202e}', '\u{e0041}']), "{text}");
        }
    }
}

#[test]
fn only_what_is_unusual_is_written() {
    let mut list = list();
    list.domains.retain(|domain, _| ["a.com", "c.com"].contains(&domain.as_str()));
    let toml = "
strategy = \"allowAll\"

[[domains]]
domain = \"a.com\"

[[domains]]
domain = \"c.com\"
action = \"block\"
expires_at = 2030-01-31T12:00:00Z
";
    assert_eq!(write(&list, Format::Toml), format!("{HEAD}{toml}"));
    let lines = "{\"strategy\":\"allowAll\"}\n{\"domain\":\"a.com\"}\n{\"domain\":\"c.com\",\"action\":\"block\",\"expires_at\":\"2030-01-31T12:00:00Z\"}\n";
    assert_eq!(write(&list, Format::Jsonl), lines);
}

#[test]
fn every_error_is_told_with_its_line() {
    let toml = "strategy = \"allowSome\"\n[[domains]]\ndomain = \"a.com\"\n[[domains]]\ndomain = \"https://b.com\"\n[[domains]]\ndomain = \"A.com\"\n[[domains]]\ndomain = \"c.com\"\ncolour = \"red\"\n[[domains]]\n";
    let errors = read(toml, Format::Toml).unwrap_err();
    let expected = ["line 1: ", "line 4: ", "line 6: ", "line 8: ", "line 11: "];
    for (error, begin) in errors.iter().zip(expected) {
        assert!(error.starts_with(begin), "{errors:#?}");
    }
    assert!(
        errors.len() == 5 && errors[1].contains("write b.com") && errors[2].contains("line 2"),
        "{errors:#?}"
    );
    for (text, format, expected) in [
        ("x", Format::Toml, "line 1: "),
        ("\n\ncolour = 1", Format::Toml, "line 3: "),
        ("domains = 1", Format::Toml, "line 1: "),
        ("\n{\"domain\":\"a.com\"}\n{", Format::Jsonl, "line 3: "),
        ("{\"domain\":1}", Format::Jsonl, "line 1: an entry has"),
        (
            "{\"strategy\":\"allowAll\"}\n{\"strategy\":\"allowAll\"}",
            Format::Jsonl,
            "line 2: the strategy",
        ),
        ("{\"strategy\":\"allowAll\",\"domain\":\"a.com\"}", Format::Jsonl, "line 1: a strategy"),
        (
            "{\"domain\":\"a.com\",\"action\":\"block\",\"mode\":\"shadow\"}",
            Format::Jsonl,
            "line 1: a.com: ",
        ),
    ] {
        let errors = read(text, format).unwrap_err();
        assert!(errors[0].starts_with(expected), "{text}: {errors:?}");
    }
}

#[test]
fn a_moment_may_be_written_in_both_ways() {
    let at = |text: &str| {
        let text = format!("[[domains]]\ndomain = \"a.com\"\nexpires_at = {text}");
        read(&text, Format::Toml).map(|list| list.domains.into_values().next().unwrap().expires_at)
    };
    assert_eq!(at("2030-01-31T12:00:00Z"), at("\"2030-01-31T12:00:00Z\""));
    assert!(at("2030-01-31T12:00:00Z").unwrap().is_some());
    assert!(at("2030-01-31T12:00:00").is_err() && at("2030-01-31").is_err());
}
