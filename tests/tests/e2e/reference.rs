//! The reference configurations hold together: `both.yaml` is the other two in one.

use fedgate_tests::artifacts;

/// The blocks of a list, such as `  listeners:`, with the comments before them.
fn blocks(text: &str, list: &str) -> Vec<String> {
    let (_, rest) = text.split_once(list).unwrap_or_else(|| panic!("no list {list}"));
    let end = ["\n  clusters:\n", "\nstatic_resources:"].iter().filter_map(|next| rest.find(next)).min();
    let list = &rest[..end.unwrap_or(rest.len())];
    list.split("\n\n")
        .map(|block| block.trim_end().to_owned())
        .filter(|block| !block.is_empty())
        .collect()
}

#[test]
fn both_doors_in_one_envoy_are_the_two_doors_as_they_stand_alone() {
    let [ingress, egress, both] =
        ["ingress", "egress", "both"].map(|name| artifacts::read(&format!("envoy/{name}.yaml")));
    for list in ["  listeners:\n", "  clusters:\n"] {
        let mut expected = blocks(&ingress, list);
        expected.extend(blocks(&egress, list));
        let mut found = blocks(&both, list);
        for blocks in [&mut expected, &mut found] {
            blocks.sort_unstable();
            blocks.dedup();
        }
        assert_eq!(found.len(), expected.len(), "{list}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected);
        }
    }
    for section in ["\nadmin:\n", "\nstats_config:\n", "\ndynamic_resources:\n", "\noverload_manager:\n"]
    {
        let source = if ingress.contains(section) { &ingress } else { &egress };
        let block =
            |text: &str| text.split_once(section).unwrap().1.split("\n\n").next().unwrap().to_owned();
        assert_eq!(block(&both), block(source), "{section}");
    }
}

#[test]
fn what_the_egress_page_shows_of_secrets_is_what_is_shipped() {
    let page = artifacts::read("docs/configuration.md");
    for name in ["federation-client", "federation-trust"] {
        let file = artifacts::read(&format!("envoy/secrets/{name}.yaml"));
        assert!(page.contains(&format!("```yaml\n{file}```\n")), "{name}.yaml");
    }
}

#[test]
fn who_is_paged_reads_the_log_with_the_command_that_the_guide_tries() {
    let [errors, setup] = ["errors", "setup"].map(|name| artifacts::read(&format!("docs/{name}.md")));
    let (command, _) = errors.split_once("```sh\n").unwrap().1.split_once("```").unwrap();
    assert!(setup.contains(command), "{command}");
}
