//! Sentences about the insurance fund, withdrawals, and what keepers have set aside.

use serde_json::{json, Value};
use tidemark_client::format::money;
use tidemark_client::{usdc, Markets};
use tidemark_proto::units::Lots;
use tidemark_proto::v1;

/// The fund that markets share, and what it may pay now.
pub(super) fn fund_text(status: &v1::StatusResponse) -> String {
    let (fund, bucket) = (money(status.insurance_atoms), money(status.fund_bucket_atoms));
    format!("{fund} USDC, {bucket} of it may be paid now for all markets")
}

/// Says how much may leave, or until when nothing may.
pub(super) fn outflow_text(status: &v1::StatusResponse) -> String {
    let queued = match status.queued_withdrawals_atoms {
        0 => String::new(),
        atoms => format!("; {} wait", money(atoms)),
    };
    if status.withdrawals_gated_until > status.height {
        return format!("gated until block {}{queued}", status.withdrawals_gated_until);
    }
    let hour = money(status.hour_outflow_left_atoms);
    let day = money(status.day_outflow_left_atoms);
    format!("{hour} USDC may leave in this hour, {day} in this day{queued}")
}

/// A sentence for each position with lots for which the fund would not pay.
pub(super) fn fresh_text(account: &v1::AccountResponse, markets: &Markets) -> String {
    let positions = account.subaccounts.iter().flat_map(|sub| {
        let fresh = sub.positions.iter().filter(|position| position.fresh_lots > 0);
        fresh.map(|position| (sub.subaccount, position))
    });
    let sentence = |(subaccount, position): (u32, &v1::Position)| {
        let Some(market) = markets.by_id(position.market) else { return String::new() };
        let size = market.size(Lots::new(position.fresh_lots));
        format!(
            "\n{size} of subaccount {subaccount}'s position in {} are of the last 20 minutes: the \
             fund pays nothing for them",
            market.symbol
        )
    };
    positions.map(sentence).collect()
}

/// A sentence for each market in which the account has set collateral aside.
pub(super) fn set_aside_text(account: &v1::AccountResponse, markets: &Markets) -> String {
    let kept = account.subaccounts.iter().flat_map(|sub| &sub.set_aside);
    kept.map(|kept| {
        let back = match kept.back_at_height {
            0 => String::new(),
            height => format!(
                ", {} of it back in block {height}",
                money(kept.set_aside_atoms - kept.lasting_atoms)
            ),
        };
        let place = if kept.made_room { "; a larger keeper has its place" } else { "" };
        format!(
            "\nsubaccount {} has set {} USDC aside in {}{back}{place}",
            kept.subaccount,
            money(kept.set_aside_atoms),
            symbol(markets, kept.market)
        )
    })
    .collect()
}

pub(super) fn set_aside_json(kept: &v1::Keeper, markets: &Markets) -> Value {
    json!({
        "market": symbol(markets, kept.market),
        "set_aside": usdc(kept.set_aside_atoms),
        "lasting": usdc(kept.lasting_atoms),
        "back_at_height": (kept.back_at_height > 0).then_some(kept.back_at_height),
        "made_room": kept.made_room,
    })
}

fn symbol(markets: &Markets, market: u32) -> String {
    markets.by_id(market).map_or_else(|| market.to_string(), |market| market.symbol.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_leave_is_said_or_until_when_nothing_may() {
        let open = v1::StatusResponse {
            height: 10,
            hour_outflow_left_atoms: 1_000_000_000,
            day_outflow_left_atoms: 2_000_000_000,
            ..Default::default()
        };
        let text = outflow_text(&open);
        assert!(text.contains("may leave in this hour") && !text.contains("wait"), "{text}");
        let shut = v1::StatusResponse {
            withdrawals_gated_until: 60,
            queued_withdrawals_atoms: 5_000_000,
            ..open
        };
        let text = outflow_text(&shut);
        assert!(text.starts_with("gated until block 60; 5") && text.ends_with(" wait"), "{text}");
    }
}
