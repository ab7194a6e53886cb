//! `man`: the manual page, from the flags and commands themselves. There is one page: commands stand in it with their options.

use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// What the flags do not say.
const REST: [(&str, &[(&str, &str)]); 2] = [
    (
        "EXIT STATUS",
        &[
            ("0", "Fine."),
            ("1", "A failure. check: a part of the server could not be read."),
            ("2", "Bad flags or configuration. check: the server is down."),
            ("3", "check: bad configuration."),
        ],
    ),
    (
        "SIGNALS",
        &[
            ("SIGHUP", "The configuration is read anew; a bad one changes nothing and is told in the log."),
            ("SIGTERM, SIGINT", "Scrapes that run are answered, sessions are logged out, then it ends."),
        ],
    ),
];

/// The page in roff.
///
/// # Errors
/// Nothing but memory is written to: none in practice.
pub fn page(command: &Command) -> io::Result<String> {
    // One switch of a collector is enough to tell of both.
    let shown = command.clone().mut_args(|arg| if is_off(&arg) { arg.hide(true) } else { arg });
    let man = Man::new(shown);
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    let mut part = Roff::new();
    part.control("SH", ["SYNOPSIS"]).text([bold(command.get_name()), roman(" [OPTIONS] [COMMAND]")]);
    part.to_writer(&mut out)?;
    man.render_description_section(&mut out)?;
    let mut part = Roff::new();
    part.control("SH", ["COMMANDS"]);
    commands(command, "", &mut part);
    part.to_writer(&mut out)?;
    man.render_options_section(&mut out)?;
    let mut part = Roff::new();
    for (title, rows) in REST {
        part.control("SH", [title]);
        for (name, text) in rows {
            part.control("TP", []).text([bold(*name)]).text([roman(*text)]);
        }
    }
    part.control("SH", ["ERRORS"]).text([roman("Each ends with a number: "), bold("explain NUMBER"), roman(" tells more.")]);
    part.to_writer(&mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Whether it switches a collector off.
pub fn is_off(arg: &Arg) -> bool {
    arg.get_id().as_str().starts_with("no-collector.")
}

/// Each command with its own arguments, those of a group below its name.
fn commands(of: &Command, before: &str, out: &mut Roff) {
    for command in of.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("{before}{}", command.get_name());
        if command.has_subcommands() {
            commands(command, &format!("{name} "), out);
            continue;
        }
        out.control("TP", []).text([bold(name)]).text([roman(about(command.get_about()))]);
        out.control("RS", []);
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let default = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(" ");
            let takes = arg.get_action().takes_values();
            let default = if default.is_empty() || !takes { String::new() } else { format!(" [default: {default}]") };
            out.control("TP", []).text(head(arg)).text([roman(format!("{}{default}", about(arg.get_help())))]);
        }
        out.control("RE", []);
    }
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// `--flag VALUE`, or `VALUE` of an argument without a flag.
fn head(arg: &Arg) -> Vec<Inline> {
    let value = || arg.get_value_names().and_then(|names| names.first()).map_or_else(|| arg.get_id().to_string(), ToString::to_string);
    match (arg.get_long(), arg.get_action().takes_values()) {
        (Some(long), true) => vec![bold(format!("--{long}")), roman(" "), italic(value())],
        (Some(long), false) => vec![bold(format!("--{long}"))],
        (None, _) => vec![italic(value().to_uppercase())],
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::page;

    #[test]
    fn commands_stand_with_their_own_options() {
        let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(format!("Help of {name}"));
        let command = Command::new("x")
            .about("An exporter")
            .arg(flag("all").global(true))
            .arg(flag("collector.a").help_heading("Collectors"))
            .arg(flag("no-collector.a").help_heading("Collectors"))
            .subcommand(
                Command::new("check")
                    .about("Looks")
                    .arg(Arg::new("timeout").long("timeout").value_name("TIME").default_value("30s").help("Longest")),
            )
            .subcommand(Command::new("config").subcommand(Command::new("validate").about("Reads").arg(Arg::new("file"))))
            .subcommand(Command::new("secret").hide(true));
        let page = page(&command).unwrap();
        for part in [
            "\\fBx\\fR [OPTIONS] [COMMAND]",
            "\\fBcheck\\fR\nLooks",
            "\\fB\\-\\-timeout\\fR \\fITIME\\fR\nLongest [default: 30s]",
            "\\fBconfig validate\\fR\nReads",
            "\\fIFILE\\fR",
            "\\fB\\-\\-collector.a\\fR",
            ".SH SIGNALS",
        ] {
            assert!(page.contains(part), "{part}:\n{page}");
        }
        assert!(!page.contains("secret") && !page.contains("no\\-collector") && !page.contains("x\\-check"), "{page}");
        assert_eq!(page.matches("Help of all").count(), 1, "{page}");
    }
}
