//! `account explain`: every term of an account's margin, and the arithmetic of its past
//! liquidations.

mod account;
mod steps;

use serde_json::json;

use super::args::Explain;
use super::{CliError, Context};
use account::{account_json, account_text};
use steps::{step_json, step_text, steps_table};

pub(super) async fn run(context: &Context, args: &Explain) -> Result<(), CliError> {
    let address = context.address(&args.who.address)?;
    let subaccount = context.global.subaccount;
    let client = context.connect().await?;
    let markets = client.markets().await?;
    let Some(sequence) = args.liquidation else {
        let answer = client.explain(&address, subaccount).await?;
        let text = || {
            let isolated = answer
                .isolated
                .iter()
                .map(|account| format!("\n\nisolated, {}", account_text(account, &markets)));
            account_text(&answer, &markets) + &isolated.collect::<String>()
        };
        context.print(text, || account_json(&answer, &markets));
        return Ok(());
    };
    let answer = client.liquidation_history(&address, subaccount, sequence).await?;
    let since = answer.since_height;
    if let (Some(sequence), true) = (sequence, answer.steps.is_empty()) {
        return Err(CliError::Usage(format!(
            "{address} has no liquidation step {sequence} in subaccount {subaccount} since block \
             {since}, from which on this node has them: list them with --liquidation"
        )));
    }
    let text = || match sequence {
        Some(_) => answer.steps.iter().map(|step| step_text(step, &markets)).collect(),
        None if answer.steps.is_empty() => {
            format!(
                "{address} had no liquidation step in subaccount {subaccount} since block {since}."
            )
        }
        None => {
            format!("since block {since}, newest first\n{}", steps_table(&answer.steps, &markets))
        }
    };
    context.print(text, || {
        let steps = answer.steps.iter().filter_map(|step| step_json(step, &markets));
        json!({
            "address": address,
            "subaccount": subaccount,
            "since_height": since,
            "steps": steps.collect::<Vec<_>>(),
        })
    });
    Ok(())
}

/// A name and its value.
type Row = (&'static str, String);

/// A line for each name and its value.
fn lines(rows: &[Row]) -> String {
    rows.iter().map(|(name, text)| format!("  {name:<13} {text}\n")).collect()
}
