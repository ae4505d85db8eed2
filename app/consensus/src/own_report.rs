//! This validator's own price report, from its feed's last prices.

use tidemark_engine::state::View;
use tidemark_feed::{to_report, FeedPrice, ReportedMarket};
use tidemark_oracle::extension::{self, NodeKey, KEY_BYTES};
use tidemark_oracle::report::{self, Limits, Report};
use tidemark_proto::units::MarketId;

/// The prices of the markets that this validator's feed knows, and the bytes of the validator's
/// vote extension, which begins with the key to register, if there is one; both are empty if the
/// feed knows no market. With more markets than fit, the height says which go in.
#[must_use]
pub fn report(
    view: &View,
    known: &[FeedPrice],
    height: u64,
    key: Option<&NodeKey>,
) -> (Report, Vec<u8>) {
    let limits = match key {
        Some(_) => {
            let Limits { max_bytes, max_markets } = Limits::default();
            Limits { max_bytes: max_bytes.saturating_sub(KEY_BYTES), max_markets }
        }
        None => Limits::default(),
    };
    let (report, bytes) = prices(view, known, height, limits);
    match key {
        Some(key) => (report, extension::with_key(key, &bytes)),
        None => (report, bytes),
    }
}

fn prices(view: &View, known: &[FeedPrice], height: u64, limits: Limits) -> (Report, Vec<u8>) {
    let markets = view.markets.iter().map(|cell| ReportedMarket {
        id: cell.market.params.id,
        symbol: &cell.market.params.symbol,
        tick_size_e9: cell.market.params.tick_size_e9,
        max_age_ms: cell.market.params.max_oracle_age_ms,
    });
    let report = to_report(known, markets);
    if report.prices.is_empty() {
        return (report, Vec::new());
    }
    let first = report::first_in_turn(height, view.markets.len());
    let base = |market: MarketId| view.markets.get(market.index())?.index.voting_base();
    let encoded = report::encode_fitting(&report, &base, limits, first);
    let bytes = encoded.map(|(bytes, _)| bytes).unwrap_or_default();
    (report, bytes)
}
