//! The domains that a command is about: on the command line, or on standard input.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use clap::Args;
use fedgate_policy::Domain;

use super::Error;
use super::store::{FileError, unusable};
use crate::spelling;

/// The most that is read of standard input, in octets.
const MAX_INPUT: u64 = 64 << 20;

/// Domains, one or more.
#[derive(Debug, Args)]
pub(super) struct Domains {
    /// Backend domains, e.g. company-a.com; `-` reads them from standard input, one or more in a line, up to a '#'
    #[arg(required = true, value_name = "DOMAIN", value_parser = Named::read)]
    domains: Vec<Named>,
}

#[derive(Clone, Debug)]
enum Named {
    Domain(Domain),
    StandardInput,
}

// === impl Named ===

impl Named {
    fn read(text: &str) -> Result<Self, spelling::Misspelt> {
        if text == "-" { Ok(Self::StandardInput) } else { spelling::domain(text).map(Self::Domain) }
    }
}

// === impl Domains ===

impl Domains {
    /// All of them, each once.
    pub(super) fn read(self) -> Result<Vec<Domain>, Error> {
        let mut all = BTreeSet::new();
        for named in self.domains {
            match named {
                Named::Domain(domain) => {
                    all.insert(domain);
                }
                Named::StandardInput => {
                    let (path, mut text) = (Path::new("standard input"), String::new());
                    let read = std::io::stdin().take(MAX_INPUT).read_to_string(&mut text);
                    read.map_err(|error| unusable(path, &error))?;
                    all.extend(
                        listed(&text)
                            .map_err(|errors| FileError::Wrong { path: path.to_owned(), errors })?,
                    );
                }
            }
        }
        if all.is_empty() {
            return Err(Error::Use("standard input names no domain".to_owned()));
        }
        Ok(all.into_iter().collect())
    }
}

/// The domains in a text, or all that is wrong with it.
fn listed(text: &str) -> Result<Vec<Domain>, Vec<String>> {
    let (mut domains, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in (1_usize..).zip(text.lines()) {
        for word in line.split('#').next().unwrap_or_default().split_whitespace() {
            match spelling::domain(word) {
                Ok(domain) => domains.push(domain),
                Err(misspelt) => {
                    errors
                        .push(format!("line {number}: '{word}' is not a backend domain: it {misspelt}"));
                }
            }
        }
    }
    if errors.is_empty() { Ok(domains) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_read_with_comments_and_every_error_is_told() {
        let names = |text: &str| {
            let domains = listed(text)?;
            Ok::<_, Vec<String>>(domains.iter().map(|it| it.as_str().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            names("# ours\na.com b.com\n\n  C.com # a friend\n").unwrap(),
            ["a.com", "b.com", "c.com"]
        );
        let errors = names("a.com.\nb.com\nhttps://c.com\n").unwrap_err();
        assert!(
            errors.len() == 2 && errors[0].contains("line 1") && errors[1].contains("write c.com"),
            "{errors:?}"
        );
    }
}
