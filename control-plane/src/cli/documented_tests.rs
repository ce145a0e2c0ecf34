//! Every command that the documentation and the alerts have is one that there is.

use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use super::Cli;

/// What stands in a command for something of the reader's, and what he may put there.
const PLACEHOLDERS: [(&str, &str); 7] = [
    ("DOMAIN", "b.com"),
    ("D", "b.com"),
    ("D…", "b.com"),
    ("S", "ok"),
    ("R", "viewer"),
    ("A,B", "calls-refused,strategy-set"),
    ("SHELL", "bash"),
];

/// The texts, by their files.
fn texts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let in_folder = |folder: &str, ending: &str| {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|it| it == ending)).collect::<Vec<_>>()
    };
    let mut files = in_folder("docs", "md");
    files.extend(in_folder("monitoring", "yaml"));
    files.extend(["README.md", "SECURITY.md"].map(|file| root.join(file)));
    files.into_iter().map(|file| (file.clone(), std::fs::read_to_string(&file).unwrap())).collect()
}

/// The commands of a text: of its blocks of code, of what stands between backquotes, and after `: ` in an annotation.
fn commands(text: &str, is_prose: bool) -> Vec<String> {
    if !is_prose {
        let annotations = text.lines().filter_map(|line| line.split_once(": fedgate "));
        return annotations.map(|(_, rest)| rest.trim_end_matches('"').to_owned()).collect();
    }
    let mut commands = Vec::new();
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 1 {
            let (language, block) = part.split_once('\n').unwrap_or_default();
            if language.trim() == "sh" {
                commands.extend(block.replace("\\\n", " ").lines().filter_map(of_shell));
            }
        } else {
            let inline = part.split('`').skip(1).step_by(2).map(|it| it.replace('\n', " "));
            commands.extend(
                inline
                    .filter_map(|it| it.strip_prefix("fedgate ").map(str::to_owned))
                    .filter(|it| is_no_version(it)),
            );
        }
    }
    commands
}

/// `fedgate 0.1.0, …` is a line of a log.
fn is_no_version(command: &str) -> bool {
    !command.starts_with(|first: char| first.is_ascii_digit()) && !command.starts_with("VERSION")
}

/// What follows `fedgate` in a line of a shell, to the end of that command.
fn of_shell(line: &str) -> Option<String> {
    let line = line.trim();
    let before = ["", "sudo -u fedgate ", "sudo ", "$ "];
    before
        .iter()
        .find_map(|before| line.strip_prefix(before)?.strip_prefix("fedgate "))
        .map(str::to_owned)
}

/// The words of a command, as a shell has them, up to a comment, a pipe or a redirection.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#' | '|' | '>' | '<' | ';' | '&') if word.is_none() => break,
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// With what the reader is to fill in. Brackets say that it may be left out; so does `…`, but after an option.
fn filled(command: &str) -> Vec<String> {
    let (mut filled, mut before) = (Vec::new(), String::new());
    for word in words(&command.replace("{{ $labels.domain }}", "DOMAIN")) {
        let word = word.trim_matches(['[', ']']);
        if word == "…" && !before.starts_with("--") {
            continue;
        }
        let known = PLACEHOLDERS.iter().find(|(placeholder, _)| *placeholder == word);
        filled.push(known.map_or(word, |(_, value)| value).to_owned());
        word.clone_into(&mut before);
    }
    filled
}

#[test]
fn every_command_that_the_documentation_and_the_alerts_have_is_one_that_there_is() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for (file, text) in texts() {
        let is_prose = file.extension().is_some_and(|it| it == "md");
        for command in commands(&text, is_prose) {
            tried += 1;
            let words = ["fedgate".to_owned()].into_iter().chain(filled(&command));
            let Err(error) = Cli::try_parse_from(words) else { continue };
            // A command that is only spoken of, by its name.
            let is_name = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    | ErrorKind::DisplayVersion
                    | ErrorKind::DisplayHelp
            );
            if !is_name {
                wrong.push(format!("{}: fedgate {command}: {error}", file.display()));
            }
        }
    }
    assert!(tried > 150, "{tried}: are they found?");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}
