//! `tidemarkd devnet`: a whole exchange on this machine, with made-up or recorded prices and demo
//! traders. It starts nodes as processes and speaks gRPC to them. Not consensus: clocks are
//! allowed.

mod account;
mod board;
mod lock;
mod maker;
mod monitor;
mod nodes;
mod options;
mod random;
mod script;
mod setup;
mod speculators;
mod summary;
mod view;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use options::DevnetOptions;

use account::{Faucet, Role, Trader};
use board::Board;
use lock::Lock;
use nodes::Nodes;
use setup::Setup;
use summary::Summary;
use tidemark_client::options::Output;
use tidemark_client::Client;
use tidemark_node::start::wait_for_signal;
use tidemark_proto::v1::StatusResponse;
use tokio::task::JoinSet;

/// How long a node may take to answer after its start.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// How long traders may take to get their money.
const FUNDING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long each node may take to report its last blocks at the end.
const SETTLE: Duration = Duration::from_millis(1_500);

/// Where a line for people goes: standard output, unless that is for a JSON document.
pub(crate) fn say(output: Output, line: &str) {
    // A reader that has gone is no reason to leave the nodes to themselves.
    let _ = match output {
        Output::Text => writeln!(std::io::stdout(), "{line}"),
        Output::Json => writeln!(std::io::stderr(), "{line}"),
    };
}

/// The board that the tasks of a devnet write and its view reads.
pub(crate) type SharedBoard = Arc<Mutex<Board>>;

/// Holds the board for as long as a line takes.
pub(crate) fn with<T>(board: &SharedBoard, act: impl FnOnce(&mut Board) -> T) -> T {
    act(&mut board.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Runs a devnet until Ctrl-C or the end of `--for`. Exit code 0; 1 when a node failed, app hashes
/// parted, a run that was long enough saw no trade or (with made-up prices) no liquidation, or at
/// the end the traders' transactions came into no block any more; 2 when it could not start.
pub async fn run(options: DevnetOptions) -> ExitCode {
    let output = options.output;
    match attempt(options).await {
        Ok(summary) => {
            let document = match output {
                Output::Text => summary.text().to_owned(),
                Output::Json => format!("{:#}", summary.json()),
            };
            let _ = writeln!(std::io::stdout(), "{document}");
            if summary.problems.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            }
        }
        Err(failure) => {
            eprintln!("error: {}", failure.why);
            ExitCode::from(failure.exit_code)
        }
    }
}

/// Why there is no summary.
struct Failure {
    exit_code: u8,
    why: String,
}

/// A mistake that the user must mend before anything can start.
fn unusable(why: String) -> Failure {
    Failure { exit_code: 2, why }
}

/// A failure of something that was started.
fn broken(why: String) -> Failure {
    Failure { exit_code: 1, why }
}

async fn attempt(options: DevnetOptions) -> Result<Summary, Failure> {
    let home = options.home().map_err(unusable)?;
    let _lock = Lock::take(&home).map_err(unusable)?;
    let setup = {
        let options = options.clone();
        let home = home.clone();
        let made = tokio::task::spawn_blocking(move || Setup::make(&options, &home)).await;
        made.map_err(|error| broken(error.to_string()))?.map_err(unusable)?
    };
    let mut nodes = Nodes::start(&setup).map_err(broken)?;
    let ready = tokio::select! {
        ready = nodes.ready(READY_TIMEOUT) => ready,
        () = wait_for_signal() => Err("stopped while starting".to_owned()),
    };
    let result = match ready {
        Ok(clients) => trade(&options, &setup, &mut nodes, clients).await,
        Err(why) => Err(why),
    };
    say(options.output, "stopping the nodes …");
    let stopped = tokio::task::spawn_blocking(move || nodes.stop()).await;
    stopped.map_err(|error| broken(error.to_string()))?;
    result.map_err(broken)
}

/// Lets a trader trade until the tasks are shut down.
fn spawn(
    trader: Trader,
    tasks: &mut JoinSet<()>,
    setup: &Setup,
    board: &SharedBoard,
    faucet: &Faucet,
) {
    let board = Arc::clone(board);
    match trader.role {
        Role::Maker => tasks.spawn(maker::run(trader, board)),
        Role::Taker => tasks.spawn(speculators::taker(trader, board)),
        Role::Degen { market, replay_leverage } => {
            let leverage = setup.replay.then_some(replay_leverage);
            tasks.spawn(speculators::degen(trader, market, leverage, board, faucet.clone()))
        }
    };
}

/// Gives every demo account its collateral, and its agent leave to trade.
async fn fund(
    setup: &Setup,
    faucet: &Faucet,
    traders: &[Trader],
    status: &StatusResponse,
) -> Result<(), String> {
    let all = async {
        faucet.fund_all(traders).await?;
        setup.authorise(traders, status).await
    };
    tokio::time::timeout(FUNDING_TIMEOUT, all).await.unwrap_or_else(|_| {
        let seconds = FUNDING_TIMEOUT.as_secs();
        Err(format!("the demo accounts got no money and no agents within {seconds} s"))
    })
}

/// Waits for a span, or without one for ever.
async fn pass(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

/// Everything between the nodes' start and their stop.
async fn trade(
    options: &DevnetOptions,
    setup: &Setup,
    nodes: &mut Nodes,
    clients: Vec<Client>,
) -> Result<Summary, String> {
    let Some(first) = clients.first().cloned() else { return Err("there is no node".to_owned()) };
    let status = first.status().await.map_err(|error| error.to_string())?;
    let markets = first.markets().await.map_err(|error| error.to_string())?;
    say(options.output, &setup.banner(&status.feed));
    let board: SharedBoard = Arc::new(Mutex::new(Board::new(&status, markets)));
    let mut tasks = JoinSet::new();
    monitor::follow(&mut tasks, &clients, &board);
    let faucet = Faucet::new(first.clone(), &setup.faucet, &status.chain_id)?;
    let traders = setup.traders(&first).await?;
    tokio::select! {
        funded = fund(setup, &faucet, &traders, &status) => funded?,
        ended = nodes.failed() => return Err(ended),
        () = wait_for_signal() => return Err("stopped while starting".to_owned()),
    }
    let started = Instant::now();
    with(&board, |board| board.started = Some(started));
    let named = traders.iter().map(|trader| (trader.name.clone(), trader.address())).collect();
    for trader in traders {
        spawn(trader, &mut tasks, setup, &board, &faucet);
    }
    let live = options.output == Output::Text && std::io::stdout().is_terminal();
    tasks.spawn(view::show(
        first,
        Arc::clone(&board),
        named,
        options.clone(),
        setup.end_points(),
        live,
    ));
    let failure = tokio::select! {
        () = pass(options.span) => None,
        () = wait_for_signal() => None,
        failure = nodes.failed() => Some(failure),
    };
    let seconds = started.elapsed();
    with(&board, |board| board.ending = true);
    if failure.is_none() {
        // All nodes are to report the blocks that one has.
        tokio::time::sleep(SETTLE).await;
    }
    tasks.shutdown().await;
    if live {
        // What follows stands below the picture.
        say(options.output, "");
    }
    Ok(with(&board, |board| Summary::new(board, setup, seconds, failure)))
}
