//! `tidemark-oracle`: the price sidecar of a validator.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidemark_feed::sidecar;
use tidemark_feed::sidecar::config::{Config, DEFAULT};
use tokio::signal::unix::{signal, SignalKind};

/// Brings prices from exchanges to a Tidemark validator on this machine.
#[derive(Parser)]
#[command(name = "tidemark-oracle", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the default configuration, commented.
    Init {
        /// A file that does not exist yet; without it, standard output.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Read a configuration and say what is wrong with it.
    Check {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Connect to the venues and serve their prices.
    Start {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .init();
    let result = match cli.command {
        Command::Init { out } => init(out),
        Command::Check { config } => Config::load(&config).map(|config| {
            println!("{} markets from {} venues", config.markets.len(), config.venues.len());
        }),
        Command::Start { config } => match Config::load(&config) {
            Ok(config) => start(config).await,
            Err(why) => Err(why),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("tidemark-oracle: {why}");
            ExitCode::FAILURE
        }
    }
}

fn init(out: Option<PathBuf>) -> Result<(), String> {
    let Some(path) = out else {
        print!("{DEFAULT}");
        return Ok(());
    };
    let file =
        std::fs::File::create_new(&path).and_then(|mut file| file.write_all(DEFAULT.as_bytes()));
    file.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Until Ctrl-C or SIGTERM.
async fn start(config: Config) -> Result<(), String> {
    let mut running = sidecar::start(config)?;
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(address = %running.address(), "tidemark-oracle {version} is up");
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
        why = running.ended() => Err(why),
    }
}
