//! Commands that sign, orders apart: cash and leverage.

use serde_json::json;
use tidemark_client::format::money;
use tidemark_client::key_file::KeyFile;
use tidemark_client::{atoms_of_usdc, Receipt, Sender};
use tidemark_proto::tx::Sendable;
use tidemark_proto::v1;

use super::args;
use super::{find, CliError, Context};

pub(super) async fn deposit(context: &Context, args: &args::Deposit) -> Result<(), CliError> {
    let amount_atoms = atoms_of_usdc(args.amount).map_err(CliError::Usage)?;
    let recipient = context.address(&args.to)?;
    let path = match &args.faucet_key {
        Some(path) => path.clone(),
        None => context.home()?.join("devnet/faucet.json"),
    };
    if !path.exists() {
        return Err(CliError::Usage(format!(
            "there is no faucet key at {}: deposits are for devnets (`tidemarkd devnet` makes \
             one); name another with --faucet-key",
            path.display()
        )));
    }
    let key = KeyFile::load(&path)?.open(&context.passphrase())?;
    let mut sender = context.sender(&key).await?;
    let subaccount = context.global.subaccount;
    let message = v1::MsgDeposit {
        recipient: recipient.clone(),
        subaccount,
        amount_atoms,
        ..Default::default()
    };
    let amount = money(amount_atoms);
    send(
        context,
        &mut sender,
        &message,
        &format!("credited {amount} USDC to {recipient}, subaccount {subaccount}"),
    )
    .await
}

pub(super) async fn withdraw(context: &Context, args: &args::Amount) -> Result<(), CliError> {
    let amount_atoms = atoms_of_usdc(args.amount).map_err(CliError::Usage)?;
    let mut sender = context.sender(&context.key()?).await?;
    let subaccount = context.global.subaccount;
    let message = v1::MsgWithdraw { subaccount, amount_atoms, ..Default::default() };
    let amount = money(amount_atoms);
    send(
        context,
        &mut sender,
        &message,
        &format!("withdrew {amount} USDC from subaccount {subaccount}; `account` shows what waits"),
    )
    .await
}

pub(super) async fn take_back(context: &Context) -> Result<(), CliError> {
    let mut sender = context.sender(&context.key()?).await?;
    let subaccount = context.global.subaccount;
    let message = v1::MsgTakeBackWithdrawal { subaccount, ..Default::default() };
    let done = format!("what waited to be withdrawn is in subaccount {subaccount} again");
    send(context, &mut sender, &message, &done).await
}

pub(super) async fn transfer(context: &Context, args: &args::Transfer) -> Result<(), CliError> {
    let amount_atoms = atoms_of_usdc(args.amount).map_err(CliError::Usage)?;
    let (from_subaccount, to_subaccount) = (context.global.subaccount, args.to_subaccount);
    if from_subaccount == to_subaccount {
        return Err(CliError::Usage(format!(
            "--subaccount and --to-subaccount are both {from_subaccount}"
        )));
    }
    let mut sender = context.sender(&context.key()?).await?;
    let message =
        v1::MsgTransfer { from_subaccount, to_subaccount, amount_atoms, ..Default::default() };
    let amount = money(amount_atoms);
    let done = format!("moved {amount} USDC from subaccount {from_subaccount} to {to_subaccount}");
    send(context, &mut sender, &message, &done).await
}

pub(super) async fn leverage(context: &Context, args: &args::Leverage) -> Result<(), CliError> {
    let mut sender = context.sender(&context.key()?).await?;
    let markets = sender.client().markets().await?;
    let (market, _) = find(&markets, &args.market)?;
    let subaccount = context.global.subaccount;
    let message = v1::MsgSetLeverage {
        subaccount,
        market: market.id,
        leverage: args.leverage,
        ..Default::default()
    };
    let level = match args.leverage {
        0 => "the most that its tier allows".to_owned(),
        times => format!("{times}x"),
    };
    let done = format!("leverage of {} in subaccount {subaccount} is {level}", market.symbol);
    send(context, &mut sender, &message, &done).await
}

/// Sends a message that is done or refused as a whole, and says that it is done.
pub(super) async fn send<M: Sendable + Clone>(
    context: &Context,
    sender: &mut Sender,
    message: &M,
    done: &str,
) -> Result<(), CliError> {
    let receipt = sender.submit(message, v1::WaitFor::Committed).await?;
    print_done(context, &receipt, done);
    Ok(())
}

/// Says that something is done.
pub(super) fn print_done(context: &Context, receipt: &Receipt, done: &str) {
    let height = receipt.height.unwrap_or_default();
    context.print(
        || format!("{done} (block {height})"),
        || json!({"done": done, "tx_hash": receipt.tx_hash, "height": height}),
    );
}
