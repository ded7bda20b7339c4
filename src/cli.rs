//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use pump_core::config::ConfigErrors;
use pump_core::plugin::{Mode, Registry};

use crate::moment::Moment;
use crate::replay::{self, Order};
use crate::run::Way;
use crate::{assemble, check, plugins, preview, run};

/// Takes records from a buffer and delivers each of them, at least once, to every sink that wants it.
#[derive(Debug, Parser)]
#[command(name = "pump", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pipeline.
    Run {
        #[command(flatten)]
        files: Files,
        /// End with 0 once what the sources held at the start is delivered.
        #[arg(long)]
        drain: bool,
        /// Go on although records in the log on disk are lost: damaged segments are set aside, what can be
        /// read of them is kept.
        #[arg(long)]
        accept_gap: bool,
        /// Send again what the log on disk of a stopped pump has kept, received at this time or later, and end:
        /// RFC 3339, or a duration ago such as `2h`.
        #[arg(long, value_name = "TIME", requires = "sinks", conflicts_with = "drain")]
        from: Option<Moment>,
        /// To these sinks and no others.
        #[arg(long, value_name = "A,B", value_delimiter = ',', requires = "from")]
        sinks: Vec<String>,
    },
    /// Validate a pipeline file and say what it does.
    Check {
        #[command(flatten)]
        files: Files,
        /// Ask every source and sink whether it can be reached, too.
        #[arg(long)]
        connect: bool,
    },
    /// Show what each sink would send for records of a file; nothing is sent, opened or contacted.
    Test(preview::TestArguments),
    /// See pump at work: made-up traffic goes through the log into files and a live summary.
    #[cfg(feature = "demo")]
    Demo(crate::demo::DemoArguments),
    /// Look at what was given up, send it again, or drop it.
    #[command(subcommand)]
    DeadLetters(crate::dead_letters::DeadLettersCommand),
    /// Look at a log on disk that no pump has open; nothing is changed.
    #[command(subcommand)]
    Log(crate::log_command::LogCommand),
    /// List sources and sinks, or one plugin's keys with their types and defaults.
    Plugins {
        /// The plugin's type, as in the pipeline file.
        name: Option<String>,
    },
    /// Print the JSON Schema of the pipeline file, for editors.
    Schema,
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// A pipeline file, or a folder of them; several are laid together.
    #[arg(short = 'c', long = "config", required = true, value_name = "FILE|DIR")]
    pub(crate) config: Vec<PathBuf>,
}

/// Why a command did not do what it should.
pub(crate) enum Failure {
    /// The pipeline file is wrong: exit code 2.
    Wrong(ConfigErrors),
    /// The command line is wrong although its form is right: exit code 2.
    Usage(String),
    /// It failed while it ran: exit code 1.
    Failed(anyhow::Error),
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Wrong(errors)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

pub(crate) fn main(registry: Registry) -> ExitCode {
    end_at_a_panic();
    match dispatch(Arguments::parse().command, &registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Wrong(errors)) => {
            eprintln!("{errors}");
            ExitCode::from(2)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, registry: &Registry) -> Result<(), Failure> {
    match command {
        Command::Run { files, accept_gap, from: Some(from), sinks, .. } => {
            replay::run(&files.config, registry, &Order { from: from.0, sinks, accept_gap })
        }
        Command::Run { files, drain, accept_gap, .. } => {
            let mode = if drain { Mode::Drain } else { Mode::Follow };
            run::run(&files.config, registry, Way { mode, accept_gap })
        }
        Command::Check { files, connect } => {
            check::check(assemble::load_plan(&files.config, registry)?, connect)
        }
        Command::Test(arguments) => preview::test(&arguments, registry),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => crate::demo::demo(&arguments),
        Command::DeadLetters(command) => crate::dead_letters::run(command, registry),
        Command::Log(command) => crate::log_command::run(command),
        Command::Plugins { name: None } => {
            print!("{}", plugins::list(registry));
            Ok(())
        }
        Command::Plugins { name: Some(name) } => {
            print!("{}", plugins::describe(registry, &name).map_err(Failure::Usage)?);
            Ok(())
        }
        Command::Schema => {
            let schema = pump_core::config::pipeline_schema(registry.catalog());
            println!("{}", serde_json::to_string_pretty(&schema).expect("a schema is JSON"));
            Ok(())
        }
    }
}

/// A panic in any thread ends the process: what was not settled comes again, and nobody mistakes a
/// half-dead pump for a live one.
fn end_at_a_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(101);
    }));
}
