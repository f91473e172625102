//! Configuration: documented structs, read from the environment or from flags by clap.

mod values;

use std::{ffi::OsString, process::ExitCode};

use clap::{
    Arg, ArgMatches, Args, Command,
    builder::Resettable,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

pub use values::{bytes, duration};

/// Exit code of a program whose configuration is wrong, as clap's.
const USAGE: u8 = 2;

/// One setting, as the README lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Name in the environment.
    pub name: String,
    /// Value if it is not set.
    pub default: Option<String>,
    /// Whether the program refuses to start without it.
    pub required: bool,
    /// What it means.
    pub help: String,
}

/// Reads the settings of `program` from its arguments and its environment.
///
/// # Errors
/// The exit code, after what is wrong (or the `--help` asked for) has been printed.
pub fn parse<S: Args>(program: &'static str) -> Result<S, ExitCode> {
    read::<S, S>(program).map(|(settings, _)| settings)
}

/// Reads `S`, and `T`, which is a part of `S`, from the same arguments.
pub(crate) fn read<S: Args, T: Args>(program: &'static str) -> Result<(S, T), ExitCode> {
    matches::<S>(program, std::env::args_os())
        .and_then(|found| Ok((S::from_arg_matches(&found)?, T::from_arg_matches(&found)?)))
        .map_err(|error| report::<S>(program, &error))
}

/// As [`parse`], from given arguments (the first is the program's name).
///
/// # Errors
/// What is wrong, naming every missing variable at once.
pub fn try_parse_from<S: Args>(
    program: &'static str,
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<S, String> {
    matches::<S>(program, arguments)
        .and_then(|found| S::from_arg_matches(&found))
        .map_err(|error| explain(command::<S>(program), &error))
}

/// Every variable that `command` reads, in the order of its structs.
pub fn reference(command: &Command) -> Vec<Variable> {
    command.get_arguments().filter_map(variable).collect()
}

fn variable(argument: &Arg) -> Option<Variable> {
    let defaults = argument.get_default_values();
    Some(Variable {
        name: argument.get_env()?.to_str()?.to_owned(),
        default: defaults.first().map(|value| value.to_string_lossy().into_owned()),
        required: argument.is_required_set(),
        help: help(argument),
    })
}

fn help(argument: &Arg) -> String {
    argument.get_help().map(|help| help.to_string().replace('\n', " ")).unwrap_or_default()
}

fn command<S: Args>(program: &'static str) -> Command {
    S::augment_args(Command::new(program))
}

fn matches<S: Args>(
    program: &'static str,
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<ArgMatches, Error> {
    command::<S>(program).mut_args(ignore_empty).try_get_matches_from(arguments)
}

/// An empty variable counts as unset: manifests cannot always leave one out.
fn ignore_empty(argument: Arg) -> Arg {
    match argument.get_env().and_then(std::env::var_os) {
        Some(value) if value.is_empty() => argument.env(Resettable::Reset),
        _ => argument,
    }
}

fn report<S: Args>(program: &'static str, error: &Error) -> ExitCode {
    if error.use_stderr() {
        eprintln!("{}", explain(command::<S>(program), error));
        ExitCode::from(USAGE)
    } else {
        print!("{}", error.render());
        ExitCode::SUCCESS
    }
}

fn explain(mut command: Command, error: &Error) -> String {
    // An argument has no name to show before.
    command.build();
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(shown))) => missing(&command, shown),
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(ContextValue::String(shown))) => {
            invalid(&command, shown, error)
        }
        _ => error.to_string(),
    }
}

fn missing(command: &Command, shown: &[String]) -> String {
    let lines = command.get_arguments().filter(|argument| shown.contains(&argument.to_string()));
    let lines: Vec<_> = lines.map(|argument| format!("  {}: {}", name(argument), help(argument))).collect();
    let program = command.get_name();
    format!("{program} cannot start, for these variables are not set:\n{}", lines.join("\n"))
}

fn invalid(command: &Command, shown: &str, error: &Error) -> String {
    let Some(argument) = command.get_arguments().find(|argument| argument.to_string() == shown) else {
        return error.to_string();
    };
    let (program, name, help) = (command.get_name(), name(argument), help(argument));
    let fault = if argument.is_hide_env_values_set() { "has an invalid value".into() } else { fault(error) };
    format!("{program} cannot start: {name} {fault}\n  {name}: {help}")
}

fn fault(error: &Error) -> String {
    let value = error.get(ContextKind::InvalidValue).map(ToString::to_string).unwrap_or_default();
    let valid = error.get(ContextKind::ValidValue).map(|valid| format!("valid are {valid}"));
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("cannot be {value:?}: {}", valid.or(cause).unwrap_or_default())
}

fn name(argument: &Arg) -> String {
    match argument.get_env() {
        Some(variable) => variable.to_string_lossy().into_owned(),
        None => argument.to_string(),
    }
}
