//! The codes with which the chain refuses: the same numbers and words in CheckTx, in block results
//! and over gRPC.

use borsh::{BorshDeserialize, BorshSerialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)*) => {
        /// Why a transaction or an operation was refused. Numbers never change meaning.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize,
            BorshDeserialize,
        )]
        #[borsh(use_discriminant = true)]
        #[repr(u16)]
        pub enum Code { $($(#[$doc])* $name = $number,)* }

        impl Default for Code {
            fn default() -> Self {
                Self::Ok
            }
        }

        impl Code {
            /// Every code, in order of number.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The word that clients match on, e.g. `INSUFFICIENT_COLLATERAL`.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Code::$name => $word,)* }
            }

            /// The code of a number, if there is one.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Code::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// Accepted.
    Ok = 0, "OK";

    /// More bytes than a transaction may have.
    TxTooLarge = 1, "TX_TOO_LARGE";
    /// Not a `TxRaw` in the form that the chain reads.
    TxMalformed = 2, "TX_MALFORMED";
    /// No signature, or no signer.
    TxUnsigned = 3, "TX_UNSIGNED";
    /// The signature is not the signer's over these bytes for this chain and account.
    BadSignature = 4, "BAD_SIGNATURE";
    /// Signed for another chain.
    WrongChain = 5, "WRONG_CHAIN";
    /// The sequence was used already.
    SequenceReplayed = 6, "SEQUENCE_REPLAYED";
    /// The sequence is too far ahead of the account's, or there is no room to wait for its turn.
    SequenceGap = 7, "SEQUENCE_GAP";
    /// The signer, or the account it names, does not exist: it never got a deposit.
    UnknownAccount = 8, "UNKNOWN_ACCOUNT";
    /// A message type that the chain does not know.
    UnknownMessage = 9, "UNKNOWN_MESSAGE";
    /// More operations than a message may carry, or none.
    OperationCount = 10, "OPERATION_COUNT";
    /// Declared gas is below the static gas, above a block's, or ends before the next step.
    OutOfGas = 11, "OUT_OF_GAS";
    /// More operations than the owner's allowance has left, or too many bytes that wait.
    RateLimited = 12, "RATE_LIMITED";
    /// The signer may not do this.
    NotAuthorised = 13, "NOT_AUTHORISED";
    /// A field has a value that the message does not allow.
    InvalidArgument = 14, "INVALID_ARGUMENT";
    /// The transaction's timeout height, or its life on the node, has passed.
    TxExpired = 15, "TX_EXPIRED";
    /// The message names another sender than the signer.
    WrongSigner = 16, "WRONG_SIGNER";
    /// The node could not take it now; nothing is known against the transaction.
    Overloaded = 17, "OVERLOADED";
    /// A block or an answer is asked for that lies outside of those that the node has.
    OutOfRange = 18, "OUT_OF_RANGE";
    /// No block that the node has holds such a transaction.
    UnknownTransaction = 19, "UNKNOWN_TRANSACTION";
    /// Another transaction with this sequence waits on the node.
    SequencePending = 20, "SEQUENCE_PENDING";
    /// The node has dropped the transaction, which no block has; another node may still have it.
    TxDropped = 21, "TX_DROPPED";
    /// The node's newest block is more than 30 s old, so it cannot tell; nothing was sent.
    NodeBehind = 22, "NODE_BEHIND";

    /// The agent has used the nonce already.
    NonceUsed = 30, "NONCE_USED";
    /// The nonce lies more than 60 s before block time, before the agent's authorisation, or below
    /// the last 1 024 that the agent has used.
    NonceTooOld = 31, "NONCE_TOO_OLD";
    /// The nonce lies more than 5 s after block time.
    NonceTooNew = 32, "NONCE_TOO_NEW";
    /// The owner has no such agent: it was never authorised, or it was revoked.
    UnknownAgent = 33, "UNKNOWN_AGENT";
    /// The agent was revoked earlier in the block; its nonce is used.
    AgentRevoked = 34, "AGENT_REVOKED";
    /// The agent's time has passed.
    AgentExpired = 35, "AGENT_EXPIRED";
    /// The agent may not do this, or not for this subaccount.
    AgentScope = 36, "AGENT_SCOPE";
    /// The owner has as many agents as it may.
    TooManyAgents = 37, "TOO_MANY_AGENTS";
    /// The key is another owner's agent.
    AgentKeyTaken = 38, "AGENT_KEY_TAKEN";

    /// No such market.
    UnknownMarket = 100, "UNKNOWN_MARKET";
    /// The market is paused: cancels only.
    MarketPaused = 101, "MARKET_PAUSED";
    /// The market takes only orders that reduce.
    MarketReduceOnly = 102, "MARKET_REDUCE_ONLY";
    /// The market is closed.
    MarketClosed = 103, "MARKET_CLOSED";
    /// Below one lot, or less than an order must be worth or an iceberg show.
    QuantityTooSmall = 104, "QUANTITY_TOO_SMALL";
    /// Above the market's `max_order_lots`.
    QuantityTooLarge = 105, "QUANTITY_TOO_LARGE";
    /// Outside `index ± price_band`, or not a price at all.
    PriceOutOfBand = 106, "PRICE_OUT_OF_BAND";
    /// A post-only order that would trade.
    WouldCross = 107, "WOULD_CROSS";
    /// A reduce-only order that would not reduce, or would wait to reduce more than there is.
    WouldIncrease = 108, "WOULD_INCREASE";
    /// A fill-or-kill order that cannot trade in full.
    NotFillable = 109, "NOT_FILLABLE";
    /// The account's free collateral does not cover the order, or its rest, at the prices that it
    /// meets.
    InsufficientCollateral = 110, "INSUFFICIENT_COLLATERAL";
    /// The account has as many open orders, reduce-only orders of a side, or orders that wait to
    /// reduce, in the market as it may.
    TooManyOpenOrders = 111, "TOO_MANY_OPEN_ORDERS";
    /// The account has a live order of that client id in the market, or one among the last 16 that
    /// have ended.
    DuplicateClientId = 112, "DUPLICATE_CLIENT_ID";
    /// The market's open interest would pass its cap.
    OpenInterestCap = 113, "OPEN_INTEREST_CAP";
    /// The order's time has passed.
    Expired = 114, "EXPIRED";
    /// No such live order of this account.
    UnknownOrder = 115, "UNKNOWN_ORDER";
    /// An amount beyond what the chain computes with.
    Overflow = 116, "OVERFLOW";
    /// The index is stale: nothing that increases exposure.
    StaleIndex = 117, "STALE_INDEX";
    /// The rest was cancelled by self-trade prevention.
    SelfTrade = 118, "SELF_TRADE";
    /// The rest was cancelled: the order met as many makers as it may.
    MaxFills = 119, "MAX_FILLS";
    /// An account without free collateral may only reduce at its zero price or better.
    WorseThanZeroPrice = 120, "WORSE_THAN_ZERO_PRICE";
    /// An account without free collateral must first have no order that increases exposure.
    IncreasingOrdersOpen = 121, "INCREASING_ORDERS_OPEN";
    /// Leverage outside what the market's tiers allow.
    LeverageOutOfRange = 122, "LEVERAGE_OUT_OF_RANGE";
    /// More than is withdrawable.
    InsufficientWithdrawable = 123, "INSUFFICIENT_WITHDRAWABLE";
    /// Withdrawals are gated for some blocks.
    WithdrawalsGated = 124, "WITHDRAWALS_GATED";
    /// An immediate order's rest found nothing more to trade with.
    Unfilled = 125, "UNFILLED";
    /// Cancelled by its owner.
    Cancelled = 126, "CANCELLED";
    /// Cancelled by the chain: free collateral fell below zero, or an order that closes needed it.
    Pruned = 127, "PRUNED";
    /// Lots of a reduce-only order beyond its part of the position.
    NothingToReduce = 128, "NOTHING_TO_REDUCE";
    /// Market parameters that do not fit together.
    InvalidParams = 129, "INVALID_PARAMS";
    /// Left its place in the book and comes back, changed, under the same id.
    Replaced = 130, "REPLACED";
    /// A mark has reached the trigger price already.
    TriggerReached = 200, "TRIGGER_REACHED";
    /// The other order of its pair, or its bracket's, was triggered, traded or went.
    OcoPartner = 201, "OCO_PARTNER";
    /// Cancelled by the dead man's switch.
    CancelScheduled = 202, "CANCEL_SCHEDULED";
    /// The dead man's switch is too near or too far ahead.
    ScheduleOutOfRange = 203, "SCHEDULE_OUT_OF_RANGE";
    /// An order of this kind, or in this state, cannot be replaced like this.
    NotReplaceable = 204, "NOT_REPLACEABLE";
    /// In a batch of all or none: whether it is accepted depends on another operation of the batch.
    BatchDependent = 205, "BATCH_DEPENDENT";
    /// In a batch of all or none: another operation was refused.
    BatchRefused = 206, "BATCH_REFUSED";
    /// No order that is not pegged rests on its side, for a pegged one to follow.
    NoReferencePrice = 207, "NO_REFERENCE_PRICE";

    /// The margin mode does not change while there is a position or an order in the market.
    MarginModeInUse = 230, "MARGIN_MODE_IN_USE";
    /// The market is isolated for every account.
    IsolatedOnly = 231, "ISOLATED_ONLY";
    /// The subaccount has no isolated position or order in this market.
    NotIsolated = 232, "NOT_ISOLATED";
    /// The owner has isolated collateral in as many markets as it may.
    TooManyIsolated = 233, "TOO_MANY_ISOLATED";
    /// The market has as many keepers as it may, and none with less.
    BackstopFull = 234, "BACKSTOP_FULL";
    /// More than one keeper may set aside for the market.
    SetAsideCap = 235, "SET_ASIDE_CAP";
    /// The subaccount is not a keeper of the market.
    NotAKeeper = 236, "NOT_A_KEEPER";
    /// No such position is listed for keepers.
    NotListed = 237, "NOT_LISTED";
    /// As many takeovers wait for the next sweep as may.
    TooManyTakeovers = 238, "TOO_MANY_TAKEOVERS";
    /// The block's budget did not reach the account, or the review of a market with new parameters
    /// has not come to it: it may only cancel, reduce at its zero price or better, and add
    /// collateral.
    AccountFrozen = 239, "ACCOUNT_FROZEN";
    /// Less than a keeper must set aside.
    SetAsideTooSmall = 240, "SET_ASIDE_TOO_SMALL";
    /// Another subaccount of the owner has set collateral aside for the market.
    OwnerIsKeeper = 241, "OWNER_IS_KEEPER";

    /// Less than what makes an address an owner, and too little to wait for the rest.
    FirstCreditTooSmall = 245, "FIRST_CREDIT_TOO_SMALL";
    /// As many addresses wait for the rest of their first credit as may.
    FirstCreditsFull = 246, "FIRST_CREDITS_FULL";
    /// The amount does not pay for the subaccount that it would open.
    SubaccountFee = 247, "SUBACCOUNT_FEE";
    /// The account has chosen a leverage in as many markets as it may.
    TooManyLeverages = 248, "TOO_MANY_LEVERAGES";

    /// As many owners wait for withdrawals as may.
    WithdrawalQueueFull = 250, "WITHDRAWAL_QUEUE_FULL";
    /// No withdrawal of the owner waits.
    NothingQueued = 251, "NOTHING_QUEUED";

    /// A fault of the chain itself, not of the request: a statement that always holds does not.
    InvariantBroken = 255, "INVARIANT_BROKEN";
}

impl Code {
    /// Returns true for a refusal that a transaction gets which was carried out before.
    #[must_use]
    pub const fn is_of_repeats(self) -> bool {
        matches!(
            self,
            Self::SequenceReplayed
                | Self::NonceUsed
                | Self::NonceTooOld
                | Self::UnknownAgent
                | Self::AgentExpired
        )
    }

    /// Returns true for a refusal of a transaction that no block will carry out any more.
    #[must_use]
    pub const fn is_of_ended(self) -> bool {
        self.is_of_repeats() || matches!(self, Self::TxExpired)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// Codespace of our codes in ABCI results.
pub const CODESPACE: &str = "tidemark";

/// A refusal: a code, and a sentence that names the bound and the offending value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, for clients to match on.
    pub code: Code,
    /// The sentence, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The refusal of an amount that passes 127 bits; `what` names it.
    #[must_use]
    pub fn overflow(what: &str) -> Self {
        Self::new(Code::Overflow, format!("{what} is beyond 127 bits"))
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_unique_and_round_trip() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(*code));
        }
    }
}
