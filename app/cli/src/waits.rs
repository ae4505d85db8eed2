//! Sentences about what of an account waits.

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
