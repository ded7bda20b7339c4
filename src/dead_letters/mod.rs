//! `pump dead-letters`: look at what was given up, send it again, or drop it.
//!
//! The store is the one that the pipeline file names. Pumps may run on it meanwhile, and several of
//! these commands too. Lines that are no letters are reported and left where they are.

mod drop;
mod list;
mod replay;
mod selection;
mod show;
mod walker;

use std::sync::Arc;

use clap::{Args, Subcommand};
use pump_core::dead_letter::DeadLetterArchive;
use pump_core::plugin::Registry;

use crate::assemble::{self, Plan};
use crate::cli::{Failure, Files};
use crate::run;
use selection::Which;

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// Count letters by sink and reason, and say how full the store is.
    List {
        #[command(flatten)]
        common: Common,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print letters with their records, unredacted.
    Show {
        #[command(flatten)]
        common: Common,
        /// How many; 0: all.
        #[arg(long, default_value_t = 10, value_name = "COUNT")]
        limit: usize,
        /// The stored lines as they are.
        #[arg(long)]
        json: bool,
    },
    /// Send letters again to the sinks that refused them; what was undecodable, to all.
    Replay {
        #[command(flatten)]
        common: Common,
    },
    /// Remove letters for good.
    Drop {
        #[command(flatten)]
        common: Common,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// What all of them are told.
#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    which: Which,
}

impl Common {
    fn plan(&self, registry: &Registry) -> Result<Plan, Failure> {
        Ok(assemble::load_plan(&self.files.config, registry)?)
    }
}

pub(crate) fn run(command: DeadLettersCommand, registry: &Registry) -> Result<(), Failure> {
    run::to_the_end(dispatch(command, registry))
}

async fn dispatch(command: DeadLettersCommand, registry: &Registry) -> Result<(), Failure> {
    match command {
        DeadLettersCommand::List { common, json } => {
            let plan = common.plan(registry)?;
            list::list(&plan, &common.which, json).await
        }
        DeadLettersCommand::Show { common, limit, json } => {
            let plan = common.plan(registry)?;
            show::show(&plan, &common.which, limit, json).await
        }
        DeadLettersCommand::Replay { common } => {
            let plan = common.plan(registry)?;
            replay::replay(&plan, &common.which, registry).await
        }
        DeadLettersCommand::Drop { common, yes } => {
            let plan = common.plan(registry)?;
            drop::drop_letters(&plan, &common.which, yes).await
        }
    }
}

fn store(plan: &Plan) -> Result<Arc<dyn DeadLetterArchive>, Failure> {
    Ok(assemble::dead_letters(&plan.pipeline.dead_letters, None)?)
}
