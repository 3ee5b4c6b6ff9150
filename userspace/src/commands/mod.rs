//! The command line: what each command prints, and how it ends.

mod capture;
pub mod check;
pub mod cli;
pub mod explain;
pub mod replay;
pub mod running;

use std::io::{self, Write};

/// Prints to standard output. A reader that has gone (`| head`) ends the command quietly.
pub(crate) fn print(text: &str) {
    if io::stdout().lock().write_all(text.as_bytes()).is_err() {
        std::process::exit(0);
    }
}

/// Prints one JSON object on a line.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string(value)? + "\n"));
    Ok(())
}
