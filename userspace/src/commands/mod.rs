//! The command line: what each command prints, and how it ends.

pub mod apply;
mod capture;
pub mod check;
pub mod cli;
mod diff;
pub mod explain;
pub mod lease;
pub mod replay;
pub mod running;

use std::io::{self, Write};

pub(crate) use crate::text::shown;

/// Prints to standard output. A reader that has gone (`| head`) ends the command quietly; output that is lost for any
/// other reason ends it with 1.
pub(crate) fn print(text: &str) {
    let mut output = io::stdout().lock();
    if let Err(error) = output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        note(&format!("write to standard output: {error}"));
        std::process::exit(1);
    }
}

/// Says on standard error, in one line, what whoever reads the output has to know.
pub(crate) fn note(text: &str) {
    let line: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // Where standard error is gone, nobody is left to be told.
    let _ = writeln!(io::stderr(), "octroi: {}", line.join(" | "));
}

/// Prints one JSON object on a line.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string(value)? + "\n"));
    Ok(())
}
