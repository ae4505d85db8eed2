//! The command line `tidemark`: what people and scripts trade with. It speaks gRPC to a node and
//! nothing else.

mod agents;
mod answer;
pub mod args;
mod book;
mod error;
mod events;
mod explain;
mod funds;
mod isolated;
mod keeper;
mod keys;
mod market_admin;
mod open_orders;
mod oracle;
mod order;
mod resend;
mod show;
pub mod sidecar;
mod trade;
mod waits;
mod watch;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;
use tidemark_client::key_file::{AgentFile, Key, KeyFile, PassphraseSource};
use tidemark_client::options::Output;
use tidemark_client::{Client, Market, Markets, Sender};
use tidemark_proto::types::gas;
use tidemark_proto::v1;

pub use args::Cli;
pub use error::CliError;

use args::{AccountCommand, Command, Global, WaitArg};

/// Runs one command and says how it ended; errors go to standard error.
pub async fn run(cli: Cli) -> ExitCode {
    let context = Context { global: cli.global };
    match dispatch(&context, cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = resend::keep(&context, &error).unwrap_or_default();
            match context.global.output {
                Output::Text => eprintln!("error: {error}{hint}"),
                Output::Json => eprintln!("{}", error.to_json(&hint)),
            }
            ExitCode::from(error.exit_code())
        }
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<(), CliError> {
    match command {
        Command::Keys(command) => keys::run(context, &command),
        Command::Agent(command) => agents::run(context, &command).await,
        Command::Deposit(args) => trade::deposit(context, &args).await,
        Command::Withdraw(args) => trade::withdraw(context, &args).await,
        Command::TakeBack => trade::take_back(context).await,
        Command::Transfer(args) => trade::transfer(context, &args).await,
        Command::Leverage(args) => trade::leverage(context, &args).await,
        Command::MarginMode(args) => isolated::margin_mode(context, &args).await,
        Command::IsolatedMargin(command) => isolated::isolated_margin(context, &command).await,
        Command::Order(command) => order::run(context, &command).await,
        Command::Batch(args) => order::batch(context, &args).await,
        Command::Resend(args) => resend::run(context, &args).await,
        Command::Answer(args) => answer::run(context, &args).await,
        Command::Account(args) => match args.command {
            Some(AccountCommand::Explain(args)) => explain::run(context, &args).await,
            None => show::account(context, &args.who).await,
        },
        Command::Positions(args) => show::positions(context, &args).await,
        Command::Orders(args) => open_orders::run(context, &args).await,
        Command::Book(args) => book::run(context, &args).await,
        Command::Markets => show::markets(context).await,
        Command::Funding(args) => show::funding(context, &args).await,
        Command::Status => show::status(context).await,
        Command::Params => show::params(context).await,
        Command::Oracle(command) => oracle::run(context, &command).await,
        Command::Market(command) => market_admin::run(context, &command).await,
        Command::Watch(args) => watch::run(context, &args).await,
        Command::Events(args) => events::run(context, &args).await,
        Command::Keeper(args) => keeper::run(context, &args).await,
        Command::SetAside(args) => keeper::set_aside(context, &args).await,
    }
}

/// Options that every command shares.
struct Context {
    global: Global,
}

impl Context {
    fn json(&self) -> bool {
        self.global.output == Output::Json
    }

    /// Prints a result in the form that was asked for.
    fn print(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) {
        let text = if self.json() { format!("{:#}", json()) } else { text() };
        print_line(&text);
    }

    async fn connect(&self) -> Result<Client, CliError> {
        Ok(Client::connect(&self.global.node).await?)
    }

    /// Where keys are kept.
    fn home(&self) -> Result<PathBuf, CliError> {
        if let Some(home) = &self.global.home {
            return Ok(home.clone());
        }
        match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
            Some(home) => Ok(PathBuf::from(home).join(".tidemark")),
            None => {
                Err(CliError::Usage("HOME is not set: say where the keys are with --home".into()))
            }
        }
    }

    /// Where the passphrase of the key comes from.
    fn passphrase(&self) -> PassphraseSource {
        PassphraseSource::usual(self.global.passphrase_file.clone())
    }

    /// The key to act with, open: asks for its passphrase, so once a command. What only an owner's
    /// key may sign is refused here where an agent is to sign.
    fn key(&self) -> Result<Key, CliError> {
        match self.agent()? {
            None => self.owners_key(),
            Some(agent) => Err(CliError::Usage(format!(
                "agent {} signs orders and a keeper's messages and nothing else, and this command \
                 is none: leave --agent and TIDEMARK_AGENT out, and the owner's key signs",
                agent.name()
            ))),
        }
    }

    /// The owner's key, open, whether or not there is an agent.
    fn owners_key(&self) -> Result<Key, CliError> {
        Ok(self.key_file()?.open(&self.passphrase())?)
    }

    /// The file of the agent that signs in the key's place, if one does.
    fn agent(&self) -> Result<Option<AgentFile>, CliError> {
        match self.global.agent.as_deref() {
            None | Some("") => Ok(None),
            Some(named) => Ok(Some(AgentFile::load(&agents::path(&self.home()?, named)?)?)),
        }
    }

    /// The file of the key to act with, or to look at.
    fn key_file(&self) -> Result<KeyFile, CliError> {
        if let Some(name) = &self.global.key {
            return keys::load(&self.home()?, name);
        }
        let mut names = keys::names(&self.home()?)?;
        match (names.pop(), names.len()) {
            (Some(only), 0) => keys::load(&self.home()?, &only),
            (Some(last), _) => {
                names.push(last);
                Err(CliError::Usage(format!(
                    "there are several keys: say which with --key: {}",
                    names.join(", ")
                )))
            }
            (None, _) => Err(CliError::Usage(
                "there is no key yet: make one with `tidemark keys add NAME`".into(),
            )),
        }
    }

    /// The address to look at: one that was given, or that of the agent's owner, or the key's.
    fn address(&self, given: &Option<String>) -> Result<String, CliError> {
        match given {
            Some(address) => {
                let address = tidemark_proto::types::Address::parse(address);
                address
                    .map(|address| address.to_string())
                    .map_err(|refusal| CliError::Usage(refusal.message))
            }
            None => match self.agent()? {
                Some(agent) => Ok(agent.owner().to_string()),
                None => Ok(self.key_file()?.address().to_owned()),
            },
        }
    }

    /// Connects and signs with a key.
    async fn sender(&self, key: &Key) -> Result<Sender, CliError> {
        let client = self.connect().await?;
        let chain_id = client.status().await?.chain_id;
        let sender = Sender::new(client, key.signer(&chain_id)?);
        Ok(sender.with_gas(self.global.gas, MIN_GAS))
    }
}

/// Gas to declare at least: a single order then reaches over a hundred makers, and a fill-or-kill
/// order too, whose makers are looked at twice.
const MIN_GAS: u64 = gas::TX + gas::PLACE + gas::PEGGED + 50 * gas::ROW + 200 * gas::VISIT;

/// A market by the symbol that was typed.
fn find<'a>(markets: &'a Markets, symbol: &str) -> Result<&'a (Market, v1::MarketState), CliError> {
    markets.find(symbol).map_err(CliError::Usage)
}

fn wait_for(wait: Option<WaitArg>) -> v1::WaitFor {
    match wait {
        None | Some(WaitArg::Committed) => v1::WaitFor::Committed,
        Some(WaitArg::Accepted) => v1::WaitFor::Accepted,
    }
}

/// True if standard output is a terminal.
fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Prints a line; a reader that has gone, as in `| head`, ends the program quietly.
fn print_line(text: &str) {
    print_text(&format!("{text}\n"));
}

fn print_text(text: &str) {
    let mut stdout = io::stdout().lock();
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Fixtures for the tests of several commands.
#[cfg(test)]
mod fixtures {
    use super::*;

    /// BTC-USD with ticks of 0.1 USDC and lots of 0.0001 BTC, as market 3.
    pub fn btc_params() -> v1::MarketParams {
        v1::MarketParams {
            id: 3,
            symbol: "BTC-USD".into(),
            tick_size_e9: 100_000_000,
            lot_size_e9: 100_000,
            ..Default::default()
        }
    }

    /// The client's market of [`btc_params`].
    pub fn btc() -> Market {
        Market::new(&btc_params(), tidemark_proto::units::AtomsPerTickLot::new(10))
    }
}
