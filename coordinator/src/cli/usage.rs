//! Reads the arguments. A wrong value that came from a variable is told as what it is: a flag that
//! nobody typed must not be blamed.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::Arguments;
use super::exit::{Exit, Failure};

/// Reads a command line, the program's name first, over the variables of this process.
///
/// # Errors
/// It is none of ours, or asks for help or the version: what to print.
pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line)
}

/// The arguments of this process.
///
/// # Errors
/// What to end with; it was said.
pub fn parse() -> Result<Arguments, ExitCode> {
    let error = match read(std::env::args_os()) {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    if let Some(variable) = variable(&error) {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let words = first.trim_start_matches("error: ");
        let message = format!("{words}; it stands in the variable {variable}");
        return Err(Failure::new(Exit::Config, message).report());
    }
    let done = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    match error.print() {
        Ok(()) if done => Err(Exit::Done.into()),
        Ok(()) => Err(Exit::Usage.into()),
        Err(error) => Err(Failure::from(error).report()),
    }
}

/// The variable that a refused value came from: the flag was not typed, and its variable is set.
fn variable(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::ValueValidation {
        return None;
    }
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = argument.split(' ').next()?;
    let long = flag.strip_prefix("--")?;
    let typed = std::env::args_os().any(|given| {
        let given = given.to_string_lossy();
        given == flag || given.starts_with(&format!("{flag}="))
    });
    let command = Arguments::command();
    let found = std::iter::once(&command)
        .chain(command.get_subcommands())
        .flat_map(|command| command.get_arguments())
        .find(|argument| argument.get_long() == Some(long))?;
    let name = found.get_env()?.to_string_lossy().into_owned();
    let is_set = std::env::var_os(&name).is_some_and(|value| !value.is_empty());
    (!typed && is_set).then_some(name)
}
