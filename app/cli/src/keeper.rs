//! `keeper`: takes over listed positions within limits, and closes them on the book. `set-aside`:
//! the collateral for it.

use tidemark_client::atoms_of_usdc;
use tidemark_client::format::money;
use tidemark_keeper::decide::Limits;
use tidemark_keeper::{run as keep, Config, Note};
use tidemark_proto::units::{Atoms, Ppm};
use tidemark_proto::v1;
use tidemark_proto::v1::agent_orders::Keeper;

use super::agents::{keepers_key, OrderSigner};
use super::args::{KeeperArgs, SetAside};
use super::trade::print_done;
use super::{find, print_line, CliError, Context};

pub(super) async fn run(context: &Context, args: &KeeperArgs) -> Result<(), CliError> {
    let config = config(context, args).map_err(CliError::Usage)?;
    let key = keepers_key(context).await?;
    let tell = |note: Note| {
        print_line(&if context.json() { note.json().to_string() } else { note.text() })
    };
    tokio::select! {
        ended = keep(&config, &key, tell) => ended.map_err(CliError::from),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn config(context: &Context, args: &KeeperArgs) -> Result<Config, String> {
    let atoms = |amount| atoms_of_usdc(amount).map(Atoms::from_u64);
    let market = |text: &String| {
        let (symbol, amount) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not MARKET=USDC"))?;
        let amount = amount.parse().map_err(|_| format!("{amount:?} is not an amount of USDC"))?;
        Ok::<_, String>((symbol.to_owned(), atoms(amount)?))
    };
    Ok(Config {
        node: context.global.node.clone(),
        metrics: args.metrics.clone(),
        subaccount: context.global.subaccount,
        markets: args.set_aside.iter().map(market).collect::<Result<_, _>>()?,
        limits: Limits {
            max_market_atoms: atoms(args.max_market)?,
            max_total_atoms: atoms(args.max_total)?,
            min_edge_ppm: Ppm::new(i64::from(args.min_edge_ppm)),
            max_slippage_ppm: Ppm::new(i64::from(args.max_slippage_ppm)),
        },
        dry_run: args.dry_run,
    })
}

pub(super) async fn set_aside(context: &Context, args: &SetAside) -> Result<(), CliError> {
    let set_aside_atoms = atoms_of_usdc(args.amount).map_err(CliError::Usage)?;
    let subaccount = context.global.subaccount;
    let mut signer = OrderSigner::of(context).await?;
    signer.check_keeper(subaccount)?;
    let markets = signer.sender.client().markets().await?;
    let (market, _) = find(&markets, &args.market)?;
    let message = Keeper::SetAside(v1::SetAside { market: market.id, set_aside_atoms });
    let receipt = signer.sender.keep(subaccount, message, v1::WaitFor::Committed).await?;
    let done = format!(
        "{} USDC of subaccount {subaccount} are to be set aside in {}; what is more is back after \
         50 blocks",
        money(set_aside_atoms),
        market.symbol
    );
    print_done(context, &receipt, &done);
    Ok(())
}
