//! `tidemarkd`: the node.

mod init_command;
mod log;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidemark_comet::cometbft::COMETBFT;
use tidemark_devnet::DevnetOptions;
use tidemark_engine::state::PROTOCOL_VERSION;
use tidemark_node::start::{start, Ended, StartOptions};

use init_command::InitOptions;
use log::LogOptions;

/// The Tidemark node: a perpetual-futures exchange as its own blockchain.
#[derive(Parser)]
#[command(name = "tidemarkd", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The exit code of a node that ended, or did not start, because its disk is nearly full.
const DISK_FULL: u8 = 3;

#[derive(Subcommand)]
enum Command {
    /// Make a node's folder: keys, genesis, and a tuned CometBFT configuration.
    Init(InitOptions),
    /// Run the node: the application, its services, and CometBFT as a supervised child.
    Start {
        /// The node's folder, as `tidemarkd init` made it.
        #[arg(long)]
        home: PathBuf,
        /// CometBFT runs elsewhere and connects to abci_addr.
        #[arg(long)]
        external_comet: bool,
        /// Threads for verification; 0 is one a core. Results do not depend on it.
        #[arg(long)]
        threads: Option<u16>,
        /// Report the prices of the price sidecar at this loopback address, whatever feed is
        /// configured.
        #[arg(long, value_name = "ADDRESS")]
        sidecar: Option<SocketAddr>,
        #[command(flatten)]
        log: LogOptions,
    },
    /// Run a whole exchange on this machine: nodes, prices and demo traders.
    Devnet(DevnetOptions),
    /// Write the whole state of a running node as JSON.
    Export {
        /// The node's gRPC address.
        #[arg(long, default_value = "http://127.0.0.1:9090")]
        node: String,
        /// Where to; without it, standard output.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Print the version of the node, of the rules, and of the CometBFT that it installs.
    Version,
}

#[tokio::main]
async fn main() -> ExitCode {
    tidemark_node::abort_on_panic();
    let cli = Cli::parse();
    // A devnet's own screen is its output; its nodes log to files.
    let begun = match &cli.command {
        Command::Start { log, .. } => log::begin(log, "info"),
        _ => log::begin(&LogOptions::default(), "warn"),
    };
    if let Err(why) = begun {
        eprintln!("tidemarkd: {why}");
        return ExitCode::FAILURE;
    }
    let result = match cli.command {
        Command::Start { home, external_comet, threads, sidecar, log: _ } => {
            let options = StartOptions { external_comet, threads, sidecar };
            match start(&home, &options).await {
                Err(Ended::DiskFull(why)) => {
                    eprintln!("tidemarkd: {why}");
                    return ExitCode::from(DISK_FULL);
                }
                result => result.map_err(|why| why.to_string()),
            }
        }
        Command::Devnet(options) => return tidemark_devnet::run(options).await,
        Command::Init(options) => init_command::run(&options),
        Command::Export { node, out } => export(&node, out.as_deref()).await,
        Command::Version => {
            println!("tidemarkd {}", env!("CARGO_PKG_VERSION"));
            println!("protocol {}", PROTOCOL_VERSION);
            println!("cometbft {}", COMETBFT.version);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("tidemarkd: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn export(node: &str, out: Option<&std::path::Path>) -> Result<(), String> {
    let Some(path) = out else {
        return tidemark_client::export::export(node, &mut std::io::stdout().lock())
            .await
            .map(|_| ());
    };
    let cannot = |e: std::io::Error| format!("cannot write {}: {e}", path.display());
    let mut file = std::fs::File::create(path).map_err(cannot)?;
    let bytes = tidemark_client::export::export(node, &mut file).await?;
    file.sync_all().map_err(cannot)?;
    println!("{bytes} bytes to {}", path.display());
    Ok(())
}
