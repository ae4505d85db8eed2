//! Conversions between the wire's messages and the domain's types.

use crate::codes::{Code, Refusal};
use crate::params::{AdlOrder, MarginTier, MarketParams, MarketStatus, MAX_ATOMS};
use crate::types::{
    ConditionalOrder, LiquidationStage, OrderType, PegTo, PostOnly, Trail, Trigger, TriggerKind,
};
use crate::units::{Atoms, Lots, MarketId, Ppm, SelfTradePrevention, Side, TimeMs};
use crate::v1;

fn invalid(message: String) -> Refusal {
    Refusal::new(Code::InvalidArgument, message)
}

impl From<v1::operation::Operation> for v1::Operation {
    fn from(operation: v1::operation::Operation) -> Self {
        Self { operation: Some(operation) }
    }
}

impl v1::SetAside {
    /// The message that an owner itself signs for it.
    #[must_use]
    pub fn of_owner(self, subaccount: u32) -> v1::MsgRegisterBackstop {
        let Self { market, set_aside_atoms } = self;
        v1::MsgRegisterBackstop { subaccount, market, set_aside_atoms, ..Default::default() }
    }
}

impl v1::TakeListed {
    /// The message that an owner itself signs for it.
    #[must_use]
    pub fn of_owner(self, subaccount: u32) -> v1::MsgTakeover {
        let Self { market, account_id, lots } = self;
        v1::MsgTakeover { subaccount, market, account_id, lots, ..Default::default() }
    }
}

impl From<Side> for v1::Side {
    fn from(side: Side) -> Self {
        match side {
            Side::Buy => Self::Buy,
            Side::Sell => Self::Sell,
        }
    }
}

/// A side from the wire; `None` where it is unspecified.
///
/// # Errors
/// `INVALID_ARGUMENT` for a number that is no side.
pub fn side(number: i32) -> Result<Option<Side>, Refusal> {
    match v1::Side::try_from(number) {
        Ok(v1::Side::Unspecified) => Ok(None),
        Ok(v1::Side::Buy) => Ok(Some(Side::Buy)),
        Ok(v1::Side::Sell) => Ok(Some(Side::Sell)),
        Err(_) => Err(invalid(format!("side is {number}, must be 1 (buy) or 2 (sell)"))),
    }
}

impl From<OrderType> for v1::OrderType {
    fn from(order_type: OrderType) -> Self {
        match order_type {
            OrderType::Limit => Self::Limit,
            OrderType::Market => Self::Market,
        }
    }
}

impl From<PegTo> for v1::Peg {
    fn from(to: PegTo) -> Self {
        match to {
            PegTo::Mark => Self::Mark,
            PegTo::Best => Self::Best,
        }
    }
}

impl From<LiquidationStage> for v1::LiquidationStage {
    fn from(stage: LiquidationStage) -> Self {
        match stage {
            LiquidationStage::Prune => Self::Prune,
            LiquidationStage::Book => Self::Book,
            LiquidationStage::Backstop => Self::Backstop,
            LiquidationStage::InsuranceFund => Self::InsuranceFund,
            LiquidationStage::Adl => Self::Adl,
            LiquidationStage::BadDebt => Self::BadDebt,
        }
    }
}

impl From<PostOnly> for v1::PostOnly {
    fn from(post_only: PostOnly) -> Self {
        match post_only {
            PostOnly::Off => Self::Off,
            PostOnly::Reject => Self::Reject,
            PostOnly::Slide => Self::Slide,
        }
    }
}

impl From<TriggerKind> for v1::Trigger {
    fn from(kind: TriggerKind) -> Self {
        match kind {
            TriggerKind::Stop => Self::Stop,
            TriggerKind::TakeProfit => Self::TakeProfit,
        }
    }
}

impl From<&ConditionalOrder> for v1::ConditionalOrder {
    fn from(order: &ConditionalOrder) -> Self {
        let trigger = order.trigger.map_or(v1::Trigger::None, |trigger| trigger.kind.into());
        let trigger_price_ticks = |Trigger { price_ticks, .. }| price_ticks.get();
        let (trail_ticks, trail_ppm) = match order.trigger.and_then(|trigger| trigger.trail) {
            None => (0, 0),
            Some(Trail::Ticks(ticks)) => (ticks, 0),
            Some(Trail::Ppm(ppm)) => (0, ppm),
        };
        Self {
            market: u32::from(order.market.get()),
            order_id: order.order_id.get(),
            client_id: order.client_id.get(),
            side: order.side.map_or(0, |side| v1::Side::from(side).into()),
            lots: order.lots.get(),
            price_ticks: order.price_ticks.get(),
            reduce_only: order.reduce_only,
            expires_ms: order.expires_ms.get(),
            trigger: trigger.into(),
            trigger_price_ticks: order.trigger.map_or(0, trigger_price_ticks),
            r#type: v1::OrderType::from(order.order_type).into(),
            whole_position: order.whole_position,
            oco_order_id: order.oco_order_id.get(),
            slices: order.slices,
            slices_left: order.slices_left,
            next_ms: order.next_ms.get(),
            filled_lots: order.filled_lots.get(),
            tries_left: order.tries_left,
            trail_ticks,
            trail_ppm,
            entry_order_id: order.entry_order_id.get(),
        }
    }
}

/// A post-only rule from the wire.
///
/// # Errors
/// `INVALID_ARGUMENT` for a number that is none.
pub fn post_only(number: i32) -> Result<PostOnly, Refusal> {
    match v1::PostOnly::try_from(number) {
        Ok(v1::PostOnly::Off) => Ok(PostOnly::Off),
        Ok(v1::PostOnly::Reject) => Ok(PostOnly::Reject),
        Ok(v1::PostOnly::Slide) => Ok(PostOnly::Slide),
        Err(_) => Err(invalid(format!("post_only is {number}, must be 0 to 2"))),
    }
}

/// A self-trade policy from the wire.
///
/// # Errors
/// `INVALID_ARGUMENT` for a number that is no policy.
pub fn self_trade_prevention(number: i32) -> Result<SelfTradePrevention, Refusal> {
    match v1::SelfTradePrevention::try_from(number) {
        Ok(v1::SelfTradePrevention::CancelTaker) => Ok(SelfTradePrevention::CancelTaker),
        Ok(v1::SelfTradePrevention::CancelMaker) => Ok(SelfTradePrevention::CancelMaker),
        Ok(v1::SelfTradePrevention::CancelBoth) => Ok(SelfTradePrevention::CancelBoth),
        Ok(v1::SelfTradePrevention::Decrement) => Ok(SelfTradePrevention::Decrement),
        Err(_) => Err(invalid(format!("self-trade policy is {number}, must be 0 to 3"))),
    }
}

impl From<SelfTradePrevention> for v1::SelfTradePrevention {
    fn from(policy: SelfTradePrevention) -> Self {
        match policy {
            SelfTradePrevention::CancelTaker => Self::CancelTaker,
            SelfTradePrevention::CancelMaker => Self::CancelMaker,
            SelfTradePrevention::CancelBoth => Self::CancelBoth,
            SelfTradePrevention::Decrement => Self::Decrement,
        }
    }
}

/// An amount on the wire: one beyond 64 bits becomes the nearest that fits.
fn wire_atoms(atoms: Atoms) -> u64 {
    u64::try_from(atoms.max(Atoms::ZERO).get()).unwrap_or(u64::MAX)
}

impl From<&MarketParams> for v1::MarketParams {
    fn from(p: &MarketParams) -> Self {
        let tier = |tier: &MarginTier| v1::MarginTier {
            upper_notional_atoms: if tier.upper_notional_atoms == Atoms::MAX {
                0
            } else {
                wire_atoms(tier.upper_notional_atoms)
            },
            initial_margin_ppm: u32::try_from(tier.initial_margin_ppm.get()).unwrap_or(u32::MAX),
        };
        Self {
            id: u32::from(p.id.get()),
            symbol: p.symbol.clone(),
            tick_size_e9: p.tick_size_e9,
            lot_size_e9: p.lot_size_e9,
            status: p.status as i32,
            tiers: p.tiers.iter().map(tier).collect(),
            maintenance_fraction_ppm: p.maintenance_fraction_ppm.get(),
            oi_lower_atoms: wire_atoms(p.oi_lower_atoms),
            oi_upper_atoms: wire_atoms(p.oi_upper_atoms),
            max_order_lots: p.max_order_lots.get(),
            max_open_interest_lots: p.max_open_interest_lots.get(),
            max_open_orders: p.max_open_orders,
            max_fills: p.max_fills,
            price_band_ppm: p.price_band_ppm.get(),
            market_slippage_ppm: p.market_slippage_ppm.get(),
            mark_band_ppm: p.mark_band_ppm.get(),
            max_oracle_age_ms: p.max_oracle_age_ms.get(),
            impact_notional_atoms: wire_atoms(p.impact_notional_atoms),
            interest_ppm: p.interest_ppm.get(),
            funding_clamp_ppm: p.funding_clamp_ppm.get(),
            funding_cap_ppm: p.funding_cap_ppm.get(),
            zero_price_sigma_ppm: p.zero_price_sigma_ppm.get(),
            partial_liquidation_atoms: wire_atoms(p.partial_liquidation_atoms),
            partial_liquidation_ppm: p.partial_liquidation_ppm.get(),
            liquidation_fee_ppm: p.liquidation_fee_ppm.get(),
            fund_slippage_ppm: p.fund_slippage_ppm.get(),
            fund_block_cap_atoms: wire_atoms(p.fund_block_cap_atoms),
            backstop_ppm: p.backstop_ppm.get(),
            isolated_only: p.isolated_only,
            adl_order: p.adl_order as i32,
            max_set_aside_atoms: wire_atoms(p.max_set_aside_atoms),
            index_move_bound_ppm: p.index_move_bound_ppm.get(),
            index_move_quorum_ppm: p.index_move_quorum_ppm.get(),
            max_triggers: p.max_triggers,
            mark_impact_notional_atoms: wire_atoms(p.mark_impact_notional_atoms),
            min_order_atoms: wire_atoms(p.min_order_atoms),
            max_open_interest_atoms: wire_atoms(p.max_open_interest_atoms),
        }
    }
}

fn status(number: i32) -> Result<MarketStatus, Refusal> {
    match v1::MarketStatus::try_from(number) {
        Ok(v1::MarketStatus::Active) => Ok(MarketStatus::Active),
        Ok(v1::MarketStatus::Paused) => Ok(MarketStatus::Paused),
        Ok(v1::MarketStatus::ReduceOnly) => Ok(MarketStatus::ReduceOnly),
        Ok(v1::MarketStatus::Closed) => Ok(MarketStatus::Closed),
        Err(_) => Err(invalid(format!("market status is {number}, must be 0 to 3"))),
    }
}

fn adl_order(number: i32) -> Result<AdlOrder, Refusal> {
    match v1::AdlOrder::try_from(number) {
        Ok(v1::AdlOrder::ProRata) => Ok(AdlOrder::ProRata),
        Ok(v1::AdlOrder::Ranked) => Ok(AdlOrder::Ranked),
        Err(_) => Err(invalid(format!("adl_order is {number}, must be 0 or 1"))),
    }
}

impl From<&v1::MarginTier> for MarginTier {
    fn from(tier: &v1::MarginTier) -> Self {
        Self {
            upper_notional_atoms: match tier.upper_notional_atoms {
                0 => Atoms::MAX,
                upper => Atoms::from_u64(upper),
            },
            initial_margin_ppm: Ppm::new(i64::from(tier.initial_margin_ppm)),
        }
    }
}

impl TryFrom<&v1::MarketParams> for MarketParams {
    type Error = Refusal;

    /// Reads and checks a market's parameters.
    fn try_from(p: &v1::MarketParams) -> Result<Self, Refusal> {
        if p.tiers.len() > 8 {
            return Err(invalid(format!("{} tiers, at most 8", p.tiers.len())));
        }
        if p.symbol.len() > 16 {
            return Err(invalid(format!("symbol of {} bytes, at most 16", p.symbol.len())));
        }
        let (status, adl_order) = (status(p.status)?, adl_order(p.adl_order)?);
        let id = u16::try_from(p.id).map(MarketId::new).map_err(|_| {
            Refusal::new(Code::UnknownMarket, format!("market id {} is above 65535", p.id))
        })?;
        let params = Self {
            id,
            symbol: p.symbol.clone(),
            tick_size_e9: p.tick_size_e9,
            lot_size_e9: p.lot_size_e9,
            status,
            tiers: p.tiers.iter().map(MarginTier::from).collect(),
            maintenance_fraction_ppm: Ppm::new(p.maintenance_fraction_ppm),
            oi_lower_atoms: Atoms::from_u64(p.oi_lower_atoms),
            oi_upper_atoms: Atoms::from_u64(p.oi_upper_atoms),
            max_order_lots: Lots::new(p.max_order_lots),
            max_open_interest_lots: Lots::new(p.max_open_interest_lots),
            max_open_orders: p.max_open_orders,
            max_fills: p.max_fills,
            price_band_ppm: Ppm::new(p.price_band_ppm),
            market_slippage_ppm: Ppm::new(p.market_slippage_ppm),
            mark_band_ppm: Ppm::new(p.mark_band_ppm),
            max_oracle_age_ms: TimeMs::new(p.max_oracle_age_ms),
            impact_notional_atoms: Atoms::from_u64(p.impact_notional_atoms),
            interest_ppm: Ppm::new(p.interest_ppm),
            funding_clamp_ppm: Ppm::new(p.funding_clamp_ppm),
            funding_cap_ppm: Ppm::new(p.funding_cap_ppm),
            zero_price_sigma_ppm: Ppm::new(p.zero_price_sigma_ppm),
            partial_liquidation_atoms: Atoms::from_u64(p.partial_liquidation_atoms),
            partial_liquidation_ppm: Ppm::new(p.partial_liquidation_ppm),
            liquidation_fee_ppm: Ppm::new(p.liquidation_fee_ppm),
            fund_slippage_ppm: Ppm::new(p.fund_slippage_ppm),
            fund_block_cap_atoms: Atoms::from_u64(p.fund_block_cap_atoms),
            backstop_ppm: Ppm::new(p.backstop_ppm),
            isolated_only: p.isolated_only,
            adl_order,
            max_set_aside_atoms: Atoms::from_u64(p.max_set_aside_atoms),
            index_move_bound_ppm: Ppm::new(p.index_move_bound_ppm),
            index_move_quorum_ppm: Ppm::new(p.index_move_quorum_ppm),
            max_triggers: p.max_triggers,
            mark_impact_notional_atoms: Atoms::from_u64(p.mark_impact_notional_atoms),
            min_order_atoms: Atoms::from_u64(p.min_order_atoms),
            max_open_interest_atoms: Atoms::from_u64(p.max_open_interest_atoms),
        };
        params.check()?;
        Ok(params)
    }
}

/// Checks an amount of a message.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is 0 or above 10¹⁸ atoms.
pub fn amount(atoms: u64) -> Result<Atoms, Refusal> {
    let amount = Atoms::from_u64(atoms);
    if amount.is_positive() && amount <= MAX_ATOMS {
        return Ok(amount);
    }
    Err(invalid(format!("amount_atoms is {atoms}, must be 1 to {MAX_ATOMS}")))
}
