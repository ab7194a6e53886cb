//! `completions`: what a shell offers behind the name of the exporter, from the flags and commands themselves.

use clap::Command;
use clap_complete::Shell;

/// Stands for a dash while bash's script is made: what it is made with calls a command by one name where it is recognised and
/// by another where its options stand, as soon as the program or the command has a dash in its name.
const DASH: &str = "XDASHX";

/// The script that `shell` reads.
pub fn script(shell: Shell, command: Command) -> String {
    let bash = shell == Shell::Bash;
    let hidden: Vec<String> = command.get_subcommands().filter(|c| c.is_hide_set()).map(|c| format!(" {}", c.get_name())).collect();
    let (own, values) = (command.get_name().to_owned(), values(&command));
    let mut command = if bash { without_dashes(command) } else { command };
    let (name, mut out) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut command, name, &mut out);
    let mut text = String::from_utf8_lossy(&out).into_owned();
    if bash {
        text = text.replace(DASH, "-");
        text = hidden.iter().fold(text, |text, name| text.replace(name, ""));
    }
    if shell == Shell::Fish {
        text = without_argparse(&own, &values, text);
    }
    text
}

/// The flags that take a value.
fn values(command: &Command) -> Vec<String> {
    let such = command.get_arguments().filter(|arg| arg.get_action().takes_values());
    such.filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect()
}

/// fish looks for the command among the words with its argparse, which takes no flag with a dot in its name, so that nothing at
/// all would be completed: a loop of our own in its place.
fn without_argparse(name: &str, values: &[String], text: String) -> String {
    let name = name.replace('-', "_");
    let Some(at) = text.find(&format!("function __fish_{name}_using_subcommand")) else { return text };
    let (_, rest) = text.split_at(at);
    format!(
        "# Prints the command among the words before the cursor; true while there is none.\n\
         function __fish_{name}_needs_command\n    \
             set -l cmd (commandline -opc)\n    \
             set -e cmd[1]\n    \
             set -l value no\n    \
             for word in $cmd\n        \
                 if test $value = yes\n            \
                     set value no\n        \
                 else if string match -q -- '-*' $word\n            \
                     contains -- $word {}; and set value yes\n        \
                 else\n            \
                     echo $word\n            \
                     return 1\n        \
                 end\n    \
             end\n    \
             return 0\n\
         end\n\n{rest}",
        values.join(" ")
    )
}

fn without_dashes(command: Command) -> Command {
    let name = command.get_name().replace('-', DASH);
    let below: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    below.into_iter().fold(command, |command, name| command.mut_subcommand(name, without_dashes)).name(name)
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};
    use clap_complete::Shell;

    use super::script;

    #[test]
    fn a_command_has_one_name_in_the_script() {
        let validate = Command::new("re-read").arg(Arg::new("file").long("file"));
        let command = Command::new("sage-x-exporter")
            .subcommand(Command::new("tls-init").arg(Arg::new("days").long("days")))
            .subcommand(Command::new("config").subcommand(validate))
            .subcommand(Command::new("peer-flags").hide(true));
        let text = script(Shell::Bash, command.clone());
        for line in ["cmd=\"sage-x-exporter__subcmd__tls-init\"", "cmd=\"sage-x-exporter__subcmd__config__subcmd__re-read\""] {
            let name = line.trim_start_matches("cmd=").trim_matches('"');
            assert!(text.contains(line) && text.contains(&format!("        {name})\n")), "{line}:\n{text}");
        }
        assert!(!text.contains("XDASHX") && !text.contains(" peer-flags"), "{text}");
        let fish = script(Shell::Fish, command.arg(Arg::new("file").long("config.file").global(true)));
        assert!(fish.contains("complete -c sage-x-exporter") && !fish.contains("argparse"), "{fish}");
        assert!(fish.contains("contains -- $word --config.file; and set value yes\n"), "{fish}");
        assert_eq!(fish.matches("function __fish_sage_x_exporter_needs_command\n").count(), 1, "{fish}");
    }
}
