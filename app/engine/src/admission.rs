//! The transactions that a block may hold (rules §8.2): its bounds, and the admission of each, a
//! function of the block's transactions and the state before it.

use tidemark_proto::types::{Address, AgentKey, DecodedTx, Draw};
use tidemark_proto::units::{AgentId, OwnerId, TimeMs};

use crate::refusal::{AgentRefusal, Refusal};
use crate::state::agents::{admits, Agent};
use crate::state::allowance::{Allowance, Left, Moment};
use crate::state::table::TableView;
use crate::state::{check_timeout, unknown_signer, Owner, State, View};

/// The bounds of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockBudget {
    /// Bytes of transactions.
    pub bytes: u64,
    /// Gas that transactions declare.
    pub gas: u64,
}

/// Bytes that a transaction takes in a block: its own and its protobuf frame.
#[must_use]
#[expect(clippy::arithmetic_side_effects, reason = "a transaction has far fewer than 2⁶⁴ bytes")]
pub fn tx_bytes(size: usize) -> u64 {
    const FRAME: u64 = 8;
    size as u64 + FRAME
}

/// The state before a block, as admission reads it.
#[derive(Debug)]
pub struct Before<'a, F> {
    /// The block.
    pub moment: Moment,
    /// Most gas that the block's transactions may declare together.
    pub max_gas: u64,
    /// An owner's id and next sequence.
    pub signer: F,
    /// The owners, with the places of their agents.
    pub owners: &'a TableView<OwnerId, Owner>,
    /// The agents.
    pub agents: &'a TableView<AgentId, Agent>,
    /// The owners' allowances.
    pub allowances: &'a TableView<OwnerId, Allowance>,
}

impl View {
    /// This state as the one before the next block, which has this time.
    pub fn before_next_block(
        &self,
        time_ms: TimeMs,
    ) -> Before<'_, impl Fn(&Address) -> Option<(OwnerId, u64)> + '_> {
        Before {
            moment: self.chain.next_moment(time_ms),
            max_gas: self.chain.params.max_block_gas,
            signer: |address: &Address| self.signer(address),
            owners: &self.owners,
            agents: &self.agents,
            allowances: &self.allowances,
        }
    }
}

impl State {
    /// This state as the one before the block that has begun: nothing before phase 6 changes what
    /// admission reads.
    pub fn before_this_block(
        &self,
    ) -> Before<'_, impl Fn(&Address) -> Option<(OwnerId, u64)> + '_> {
        Before {
            moment: self.chain.moment(),
            max_gas: self.chain.params.max_block_gas,
            signer: |address: &Address| self.signer(address),
            owners: &self.owners,
            agents: &self.agents,
            allowances: &self.allowances,
        }
    }
}

/// A transaction that its block may hold.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'a> {
    /// Its signer.
    pub owner: OwnerId,
    /// Its place in the block.
    pub at: usize,
    /// The transaction.
    pub tx: &'a DecodedTx,
    /// Its draw on its owner's allowance.
    pub draw: Draw,
    /// Operations for which it pays the flat fee instead.
    pub beyond: u64,
    /// Its timeout height has passed: it uses its sequence up, and does nothing else.
    pub is_late: bool,
}

/// A block's transactions after admission.
#[derive(Debug, Default)]
pub struct Admission<'a> {
    /// Those that are carried out, by owner: the own ones by sequence, then agents' by nonce and
    /// key.
    pub admitted: Vec<Admitted<'a>>,
    /// Places of those that are not, with the reason.
    pub refused: Vec<(usize, Refusal)>,
}

/// Admits each transaction of a block, before any is carried out, in order of account and sequence:
/// its signer is known, its sequence next or its agent's nonce new, the block's gas reaches for
/// what it declares, and its owner's allowance for what it draws. One whose time has passed is
/// admitted for its sequence alone, which lets the later ones of its account through, and draws
/// nothing; what an agent signed has none, and is refused. Of two with one sequence the one with
/// the smaller hash comes first, so the order in which the block lists its transactions has no
/// effect.
pub fn admit<'a, F>(
    txs: impl Iterator<Item = (usize, &'a DecodedTx)>,
    before: &Before<'_, F>,
) -> Admission<'a>
where
    F: Fn(&Address) -> Option<(OwnerId, u64)>,
{
    let mut refused = Vec::new();
    let mut known: Vec<Candidate<'a>> = Vec::with_capacity(txs.size_hint().0);
    for (at, tx) in txs {
        match (before.signer)(&tx.signer) {
            Some((owner, next)) => {
                known.push(Candidate { owner, sequence: tx.sequence, next, at, tx });
            }
            None => refused.push((at, unknown_signer(&tx.signer))),
        }
    }
    known.sort_unstable_by(Candidate::order);
    let mut admitted: Vec<Admitted<'a>> = Vec::with_capacity(known.len());
    let mut gas = 0;
    let mut purse = Purse::default();
    for Candidate { owner, next, at, tx, .. } in known {
        purse.turn_to(owner, before, &mut admitted);
        let last = admitted.last().filter(|last| last.owner == owner).map(|last| last.tx);
        let is_next = match &tx.agent {
            Some(key) => check_agent(owner, (tx, key), last, before),
            None => check_sequence(
                tx.sequence,
                last.map_or(next, |last| last.sequence.saturating_add(1)),
            ),
        };
        let is_late = check_timeout(tx, before.moment.height).is_err();
        let draw = |gas| match is_late {
            true => Ok((gas, Draw::default())),
            false => Ok((gas, purse.left.take(&tx.message)?)),
        };
        match is_next.and_then(|()| check(tx, gas, before)).and_then(draw) {
            Ok((with, draw)) => {
                gas = with;
                admitted.push(Admitted { owner, at, tx, draw, beyond: 0, is_late });
            }
            Err(refusal) => refused.push((at, refusal)),
        }
    }
    purse.pay(&mut admitted);
    Admission { admitted, refused }
}

/// The rest of one owner's allowance in the block.
#[derive(Default)]
struct Purse {
    owner: Option<OwnerId>,
    left: Left,
    /// The owner's first transaction among those admitted.
    first: usize,
}

impl Purse {
    /// Goes on to another owner, if this is one.
    fn turn_to<F>(
        &mut self,
        owner: OwnerId,
        before: &Before<'_, F>,
        admitted: &mut [Admitted<'_>],
    ) {
        if self.owner == Some(owner) {
            return;
        }
        self.pay(admitted);
        let left = before.allowances.get(owner).map(|row| row.left(&before.moment));
        let (owner, left) = (Some(owner), left.unwrap_or_default());
        *self = Self { owner, left, first: admitted.len() };
    }

    /// Gives those of the owner's transactions that pay what the others have left: so none of these
    /// has less for what pays.
    fn pay(&mut self, admitted: &mut [Admitted<'_>]) {
        for of in admitted.iter_mut().skip(self.first).filter(|of| !of.is_late) {
            if self.left.is_paid(&of.tx.message) {
                (of.draw, of.beyond) = self.left.take_rest(&of.tx.message);
            }
        }
    }
}

/// A transaction of a known signer. Its sequence stands beside it, for sorting.
struct Candidate<'a> {
    owner: OwnerId,
    sequence: u64,
    /// The owner's next sequence before the block.
    next: u64,
    at: usize,
    tx: &'a DecodedTx,
}

impl Candidate<'_> {
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |it: &Self| (it.owner, it.tx.agent.is_some(), it.sequence, it.tx.agent);
        let same = || (self.tx.hash, self.at).cmp(&(other.tx.hash, other.at));
        key(self).cmp(&key(other)).then_with(same)
    }
}

/// Checks an agent's transaction behind the last that was admitted of its owner.
fn check_agent<F>(
    owner: OwnerId,
    (tx, key): (&DecodedTx, &AgentKey),
    last: Option<&DecodedTx>,
    before: &Before<'_, F>,
) -> Result<(), Refusal> {
    if last.is_some_and(|last| (last.agent, last.sequence) == (tx.agent, tx.sequence)) {
        return Err(AgentRefusal::NonceTwice { nonce_ms: tx.sequence }.into());
    }
    let at = (before.moment.height, before.moment.time_ms);
    admits(before.owners.get(owner), before.agents, (tx, key), at)?;
    check_timeout(tx, before.moment.height)
}

fn check_sequence(sequence: u64, next: u64) -> Result<(), Refusal> {
    if sequence < next {
        return Err(Refusal::SequenceReplayed { sequence, next });
    }
    if sequence > next {
        return Err(Refusal::SequenceGap { sequence, next });
    }
    if sequence == u64::MAX {
        return Err(Refusal::overflow("the sequence"));
    }
    Ok(())
}

/// Returns the block's declared gas with this transaction.
fn check<F>(tx: &DecodedTx, gas: u64, before: &Before<'_, F>) -> Result<u64, Refusal> {
    let (max_gas, left) = (before.max_gas, before.max_gas.saturating_sub(gas));
    if tx.gas_limit > left {
        return Err(Refusal::GasAboveBlock { gas: tx.gas_limit, left, max_gas });
    }
    Ok(gas.saturating_add(tx.gas_limit))
}

impl Admission<'_> {
    /// The refused transaction that the block lists first.
    #[must_use]
    pub fn first_refused(&self) -> Option<&(usize, Refusal)> {
        self.refused.iter().min_by_key(|(at, _)| *at)
    }
}
