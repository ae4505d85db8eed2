//! The command line of traders and admins.

use std::process::ExitCode;

use clap::Parser as _;
use tidemark_cli::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tidemark_cli::run(Cli::parse()).await
}
