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

/// Says on standard error, in one line, what whoever reads the output has to know.
pub(crate) fn note(text: &str) {
    let line: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    #[expect(clippy::print_stderr, reason = "no error, which would be reported at the edge")]
    {
        eprintln!("octroi: {}", line.join(" | "));
    }
}

/// Prints one JSON object on a line.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string(value)? + "\n"));
    Ok(())
}
