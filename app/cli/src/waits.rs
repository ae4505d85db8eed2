//! Sentences about what of an account waits.

use serde_json::{json, Value};
use tidemark_client::format::money;
use tidemark_proto::v1;

/// A sentence for each subaccount with orders that wait and could increase.
pub(super) fn waiting_text(account: &v1::AccountResponse) -> String {
    let waiting = account.subaccounts.iter().filter(|sub| sub.waiting_atoms != 0);
    waiting
        .map(|sub| {
            let (number, reserve) = (sub.subaccount, money(sub.waiting_atoms));
            format!("\nsubaccount {number} reserves {reserve} USDC for orders that wait")
        })
        .collect()
}

/// A sentence about withdrawals that wait, if there are any.
pub(super) fn queued_text(account: &v1::AccountResponse) -> String {
    if account.queued_withdrawal_atoms == 0 {
        return String::new();
    }
    format!(
        "\n{} USDC wait to be withdrawn, {} owners are ahead; `take-back` ends the wait",
        money(account.queued_withdrawal_atoms),
        account.queued_ahead
    )
}

/// A sentence about what the owner's allowance has left.
pub(super) fn allowance_text(account: &v1::AccountResponse) -> String {
    let Some(of) = &account.allowance else { return String::new() };
    let blocks = of.orders_full_after_blocks.max(of.cancels_full_after_blocks);
    let full = match blocks {
        0 => String::new(),
        blocks => format!("; full in {blocks} blocks"),
    };
    format!(
        "\nallowance: {} orders and {} cancels left of {} each{full}",
        of.orders_left, of.cancels_left, of.size
    )
}

/// The allowance as programs read it.
pub(super) fn allowance_json(account: &v1::AccountResponse) -> Value {
    let of = account.allowance.unwrap_or_default();
    json!({
        "size": of.size,
        "orders_left": of.orders_left,
        "cancels_left": of.cancels_left,
        "orders_waiting": of.orders_waiting,
        "cancels_waiting": of.cancels_waiting,
        "orders_full_after_blocks": of.orders_full_after_blocks,
        "cancels_full_after_blocks": of.cancels_full_after_blocks,
    })
}
