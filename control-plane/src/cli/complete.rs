//! What shells and `man` know of our commands, made from the commands themselves.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::{Error, print};
use crate::startup;

/// Which shell's completions.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Where to write pages and completions.
#[derive(Debug, Args)]
pub(super) struct ShareArgs {
    /// The folder: gets `man/man1`, and completions where each shell looks for them
    folder: PathBuf,
}

/// Prints a shell's completions.
pub(super) fn completions(args: &CompletionsArgs, command: Command) -> Result<(), Error> {
    Ok(print::text(&script(args.shell, command))?)
}

/// Writes pages and completions into a folder, as they are installed in `share`.
pub(super) fn share(args: &ShareArgs, command: &Command) -> Result<(), Error> {
    for shell in Shell::value_variants() {
        let Some(place) = place(*shell) else { continue };
        write(&args.folder.join(place), &script(*shell, command.clone()))?;
    }
    for (name, page) in pages(command)? {
        write(&args.folder.join("man/man1").join(name), &page)?;
    }
    Ok(())
}

/// Where a shell looks for them, in `share`; PowerShell and elvish look nowhere.
fn place(shell: Shell) -> Option<&'static str> {
    match shell {
        Shell::Bash => Some("bash-completion/completions/fedgate"),
        Shell::Zsh => Some("zsh/site-functions/_fedgate"),
        Shell::Fish => Some("fish/vendor_completions.d/fedgate.fish"),
        // There may be more some day.
        Shell::Elvish | Shell::PowerShell | _ => None,
    }
}

fn script(shell: Shell, mut command: Command) -> String {
    let mut script = Vec::new();
    generate(shell, &mut command, "fedgate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// A page for each command that is shown, by its file's name.
fn pages(command: &Command) -> io::Result<Vec<(String, String)>> {
    let mut root = command.clone().disable_help_subcommand(true);
    root.build();
    let (mut pages, mut rest) = (Vec::new(), vec![root]);
    while let Some(command) = rest.pop() {
        let name = command.get_display_name().unwrap_or(command.get_name()).replace(' ', "-");
        let mut page = Vec::new();
        let source = format!("fedgate {}", startup::VERSION);
        Man::new(command.clone()).title(name.clone()).source(source).render(&mut page)?;
        pages.push((format!("{name}.1"), roff(&String::from_utf8_lossy(&page))));
        rest.extend(command.get_subcommands().filter(|it| !it.is_hide_set()).cloned());
    }
    Ok(pages)
}

/// A page with its examples line by line, as they were written, and in ASCII, whatever reads it.
fn roff(page: &str) -> String {
    let page = page.replace("\n.SH EXTRA\n", "\n.SH EXAMPLES AND MORE\n.nf\n");
    let ascii =
        |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    page.chars().map(ascii).collect()
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}
