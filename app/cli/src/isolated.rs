//! `tidemark margin-mode` and `tidemark isolated-margin`: positions with collateral of their own.

use tidemark_client::atoms_of_usdc;
use tidemark_client::format::money;
use tidemark_proto::v1;

use super::args::{IsolatedMarginCommand, MarginModeArgs, ModeArg};
use super::trade::send;
use super::{find, CliError, Context};

pub(super) async fn margin_mode(context: &Context, args: &MarginModeArgs) -> Result<(), CliError> {
    let mut sender = context.sender(&context.key()?).await?;
    let markets = sender.client().markets().await?;
    let (market, _) = find(&markets, &args.market)?;
    let subaccount = context.global.subaccount;
    let (mode, word) = match args.mode {
        ModeArg::Cross => (v1::MarginMode::Cross, "cross"),
        ModeArg::Isolated => (v1::MarginMode::Isolated, "isolated"),
    };
    let message = v1::MsgSetMarginMode {
        subaccount,
        market: market.id,
        mode: mode.into(),
        ..Default::default()
    };
    let done = format!("margin of {} in subaccount {subaccount} is {word}", market.symbol);
    send(context, &mut sender, &message, &done).await
}

pub(super) async fn isolated_margin(
    context: &Context,
    command: &IsolatedMarginCommand,
) -> Result<(), CliError> {
    let (args, sign, verb) = match command {
        IsolatedMarginCommand::Add(args) => (args, 1, "added to"),
        IsolatedMarginCommand::Remove(args) => (args, -1, "taken out of"),
    };
    let atoms = atoms_of_usdc(args.amount).map_err(CliError::Usage)?;
    let change_atoms = i64::try_from(atoms).map(|atoms| sign * atoms);
    let change_atoms = change_atoms
        .map_err(|_| CliError::Usage(format!("--amount {} is too large", args.amount)))?;
    let mut sender = context.sender(&context.key()?).await?;
    let markets = sender.client().markets().await?;
    let (market, _) = find(&markets, &args.market)?;
    let subaccount = context.global.subaccount;
    let message = v1::MsgAdjustIsolatedMargin {
        subaccount,
        market: market.id,
        change_atoms,
        ..Default::default()
    };
    let amount = money(atoms);
    let done = format!(
        "{amount} USDC {verb} the isolated margin of {} in subaccount {subaccount}",
        market.symbol
    );
    send(context, &mut sender, &message, &done).await
}
