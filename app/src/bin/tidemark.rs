//! The command line of traders and admins.

use std::process::ExitCode;

use clap::Parser as _;
use tidemark_app::cli::{self, Cli};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cli::run(Cli::parse()).await
}
