//! Reports of a keeper: a line for people, a document for programs.

use serde_json::{json, Value};
use tidemark_client::usdc;
use tidemark_proto::units::{Atoms, Lots, Ppm, SignedLots, Ticks};

/// Something that a keeper did, or that happened to it. Prices and sizes are in the market's own
/// units.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // fields are named by the exchange rules' terms and carry their units
pub enum Note {
    /// A node answers, and the account was read from it.
    Connected { node: String, height: u64 },
    /// The node is away, or an outcome is not known; it is tried again.
    Lost { why: String, retry_ms: u64 },
    /// Collateral was set aside, in all.
    SetAside { market: String, atoms: Atoms },
    /// The keeper's set-aside collateral as the chain has it, when that has changed.
    Capacity { market: String, atoms: Atoms, lasting: Atoms, back_at: u64, made_room: bool },
    /// A takeover was asked for.
    Asked { market: String, account_id: u32, lots: Lots, edge_ppm: Ppm },
    /// A position came: by a takeover, or as the keeper's share.
    TookOver { market: String, lots: SignedLots, height: u64 },
    /// Part of it was closed on the book.
    Hedged { market: String, side: &'static str, lots: Lots, limit_ticks: Ticks, height: u64 },
    /// The chain refused something that was sent.
    Refused { what: &'static str, market: String, why: String },
    /// Positions near liquidation and backstop capacity, from the metrics page, in whole USDC.
    Outlook { market: String, near_usdc: u64, distance: String },
    /// A dry run would have sent this.
    WouldSend { what: String },
}

impl Note {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Connected { node, height } => format!("connected to {node} at block {height}"),
            Self::Lost { why, retry_ms } => format!("{why}; next try in {retry_ms} ms"),
            Self::SetAside { market, atoms } => {
                format!("{market}: {} USDC set aside", amount(*atoms))
            }
            Self::Capacity { market, atoms, lasting, back_at, made_room } => {
                let left = format!("{market}: the chain holds {} USDC set aside", amount(*atoms));
                let back = match back_at {
                    0 => String::new(),
                    height => format!(", {} of it until block {height}", amount(*atoms - *lasting)),
                };
                let place = if *made_room { "; a larger keeper has the place" } else { "" };
                left + &back + place
            }
            Self::Asked { market, account_id, lots, edge_ppm } => {
                format!(
                    "{market}: asked for {lots} lots of account {account_id}, edge {edge_ppm} ppm"
                )
            }
            Self::TookOver { market, lots, height } => {
                format!("{market}: position is {lots} lots (block {height})")
            }
            Self::Hedged { market, side, lots, limit_ticks, height } => {
                format!(
                    "{market}: hedged, {side} {lots} lots at {limit_ticks} ticks or better (block \
                     {height})"
                )
            }
            Self::Refused { what, market, why } => format!("{market}: {what} refused: {why}"),
            Self::Outlook { market, near_usdc, distance } => {
                format!("{market}: {near_usdc} USDC of positions within {distance} of liquidation")
            }
            Self::WouldSend { what } => format!("dry run: would send {what}"),
        }
    }

    /// For programs: `{"event": …}` and its fields.
    #[must_use]
    pub fn json(&self) -> Value {
        match self {
            Self::Connected { node, height } => {
                json!({"event": "connected", "node": node, "height": height})
            }
            Self::Lost { why, retry_ms } => {
                json!({"event": "lost", "why": why, "retry_ms": retry_ms})
            }
            Self::SetAside { market, atoms } => {
                json!({"event": "set_aside", "market": market, "amount": amount(*atoms)})
            }
            Self::Capacity { market, atoms, lasting, back_at, made_room } => json!({
                "event": "capacity",
                "market": market,
                "amount": amount(*atoms),
                "lasting": amount(*lasting),
                "back_at_height": back_at,
                "made_room": made_room,
            }),
            Self::Asked { market, account_id, lots, edge_ppm } => json!({
                "event": "asked",
                "market": market,
                "account_id": account_id,
                "lots": lots,
                "edge_ppm": edge_ppm,
            }),
            Self::TookOver { market, lots, height } => {
                json!({"event": "got", "market": market, "lots": lots, "height": height})
            }
            Self::Hedged { market, side, lots, limit_ticks, height } => json!({
                "event": "hedged",
                "market": market,
                "side": side,
                "lots": lots,
                "limit_ticks": limit_ticks,
                "height": height,
            }),
            Self::Refused { what, market, why } => {
                json!({"event": "refused", "what": what, "market": market, "why": why})
            }
            Self::Outlook { market, near_usdc, distance } => json!({
                "event": "outlook", "market": market, "near_usdc": near_usdc, "distance": distance,
            }),
            Self::WouldSend { what } => json!({"event": "would_send", "what": what}),
        }
    }
}

fn amount(atoms: Atoms) -> rust_decimal::Decimal {
    usdc(atoms.get())
}
