//! The `octroi` command.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use octroi::{
    Failure,
    commands::{
        apply, check,
        cli::{Cli, Command, RunArgs},
        explain, lease, replay, running,
    },
    daemon,
    dataplane::ProgramOptions,
    log,
};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Status(args) => running::status(&args),
        Command::Reload(args) => running::reload(&args),
        Command::Apply(args) => apply::apply(&args),
        Command::Confirm(args) => apply::confirm(&args),
        Command::Rollback(args) => apply::rollback(&args),
        Command::Lease(command) => lease::run(&command),
        Command::Detach(args) => running::detach(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where standard error is gone, the exit code says it.
            let _ = writeln!(std::io::stderr(), "octroi: {failure}");
            failure.exit_code()
        }
    }
}

fn run(args: &RunArgs) -> Result<(), Failure> {
    log::start();
    let options = ProgramOptions {
        no_metadata: args.no_metadata,
        parts: args.table_parts,
        plain_stores: args.plain_stores,
        clsact: args.clsact,
        ..ProgramOptions::default()
    };
    daemon::run(&args.config.config, options)
}
