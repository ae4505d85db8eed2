//! The order of a block's operations (rules §8.2), sorted once: who comes in which class.

use std::ops::Range;

use tidemark_proto::types::{Class, Message, Operation};
use tidemark_proto::units::{Atoms, OwnerId};

use crate::admission::Admitted;
use crate::beacon::{Beacon, Draw};
use crate::exec::later::LaterOrders;
use crate::exec::operation::orders::OrdersRun;
use crate::exec::operation::turn::{batch_class, first_class};
use crate::refusal::Refusal;

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Classes(u8);

impl Classes {
    const NONE: Self = Self(0);

    const fn only(class: Class) -> Self {
        Self(match class {
            Class::Cash => 0b0001,
            Class::Cancels => 0b0010,
            Class::PostOnly => 0b0100,
            Class::Orders => 0b1000,
        })
    }

    pub(crate) const fn has(self, class: Class) -> bool {
        self.0 & Self::only(class).0 != 0
    }

    const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those of them that come after one.
    const fn after(self, class: Class) -> Self {
        let later = match class {
            Class::Cash => 0b1110,
            Class::Cancels => 0b1100,
            Class::PostOnly => 0b1000,
            Class::Orders => 0,
        };
        Self(self.0 & later)
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The transactions of a block, in the order of owner and sequence, and their owners in the order
/// of their turns.
pub(crate) struct Schedule<'a> {
    pub owners: Vec<OwnerTurns>,
    pub txs: Vec<Scheduled<'a>>,
}

/// An owner with transactions in the block.
pub(crate) struct OwnerTurns {
    draw: Draw,
    pub id: OwnerId,
    /// The owner's transactions.
    pub txs: Range<usize>,
    /// Classes in which any of them comes.
    pub classes: Classes,
    /// An operation of class 3 names orders, and one of class 2 may place orders that it may not
    /// name.
    names_late: bool,
    /// Orders that class 2 has placed, if `names_late`.
    pub later: LaterOrders,
}

impl OwnerTurns {
    /// Returns true if what is placed in a class has to be kept for the next.
    pub(crate) fn keeps_in(&self, class: Class) -> bool {
        self.names_late && class == Class::PostOnly
    }
}

/// A transaction on its way through the classes.
pub(crate) struct Scheduled<'a> {
    pub admitted: Admitted<'a>,
    /// Classes in which it comes.
    pub classes: Classes,
    /// Gas beyond the static that its flat fee took.
    pub spent: u64,
    /// The flat fee that it paid.
    pub flat_fee_atoms: Atoms,
    pub progress: Progress<'a>,
}

/// How far a transaction has come.
pub(crate) enum Progress<'a> {
    /// Nothing of it was done.
    Waits,
    /// Its operations are carried out.
    Runs(OrdersRun<'a>),
    /// All of it was done or refused, with so much gas beyond the static.
    Ends { refusal: Option<Box<Refusal>>, spent: u64 },
}

impl<'a> Schedule<'a> {
    /// Of transactions by owner and sequence.
    pub(crate) fn of(admitted: Vec<Admitted<'a>>, beacon: Beacon, cancels_first: bool) -> Self {
        let mut owners: Vec<OwnerTurns> = Vec::new();
        let mut txs: Vec<Scheduled<'a>> = Vec::with_capacity(admitted.len());
        let mut before = TxClasses::default();
        for admitted in admitted {
            let at = txs.len();
            let next = at.saturating_add(1);
            let own = match admitted.is_late {
                true => TxClasses::default(),
                false => TxClasses::of(&admitted.tx.message, cancels_first),
            };
            let same = owners.last_mut().filter(|owner| owner.id == admitted.owner);
            if same.is_none() {
                before = TxClasses::default();
            }
            let classes = own.acts.and(own.again_after(before));
            before = before.and(own, classes);
            match same {
                Some(owner) => {
                    owner.txs.end = next;
                    owner.classes = owner.classes.and(classes);
                    owner.names_late = before.names_late();
                }
                None => owners.push(OwnerTurns {
                    draw: beacon.draw(&admitted.tx.signer),
                    id: admitted.owner,
                    txs: at..next,
                    classes,
                    names_late: before.names_late(),
                    later: LaterOrders::default(),
                }),
            }
            txs.push(Scheduled {
                admitted,
                classes,
                spent: 0,
                flat_fee_atoms: Atoms::ZERO,
                progress: Progress::Waits,
            });
        }
        owners.sort_unstable_by_key(|owner| (owner.draw, owner.id));
        Self { owners, txs }
    }
}

/// Classes that matter to a transaction, or to an owner's transactions so far.
#[derive(Clone, Copy, Default)]
struct TxClasses {
    /// Where its operations come first.
    acts: Classes,
    /// Where orders may come of it.
    places: Classes,
    /// Where it may bring orders that its own operations name: not of a batch of all or none.
    brings: Classes,
    /// Where operations name orders that may not be there yet.
    names: Classes,
    /// The class from which on they act again, if any do.
    again_from: Option<Class>,
}

impl TxClasses {
    fn of(message: &Message, cancels_first: bool) -> Self {
        let Message::Orders { operations, all_or_none, .. } = message else {
            return Self { acts: Classes::only(Class::Cash), ..Self::default() };
        };
        if *all_or_none {
            return Self::of_batch(operations, cancels_first);
        }
        let each = operations.iter().map(|operation| Self::of_one(operation, cancels_first));
        each.fold(Self::default(), |all, one| Self {
            acts: all.acts.and(one.acts),
            places: all.places.and(one.places),
            brings: all.brings.and(one.brings),
            names: all.names.and(one.names),
            again_from: all.again_from.or(one.again_from),
        })
    }

    fn of_one(operation: &Operation, cancels_first: bool) -> Self {
        let class = Classes::only(first_class(operation, cancels_first));
        let none = Self { acts: class, ..Self::default() };
        match operation {
            Operation::Cancel { .. } | Operation::CancelAll { .. } if cancels_first => {
                Self { again_from: Some(Class::Cancels), ..none }
            }
            Operation::Cancel { .. }
            | Operation::CancelAll { .. }
            | Operation::ScheduleCancelAll { .. } => none,
            Operation::Replace { .. } if cancels_first => {
                let acts = class.and(Classes::only(Class::PostOnly));
                Self { acts, names: acts, ..none }
            }
            Operation::Replace { .. } => none,
            Operation::Place(_)
            | Operation::Twap(_)
            | Operation::Scale(_)
            | Operation::Oco(_)
            | Operation::Bracket(_) => Self { places: class, brings: class, ..none },
        }
    }

    fn of_batch(operations: &[Operation], cancels_first: bool) -> Self {
        let class = batch_class(operations, cancels_first);
        let acts = Classes::only(class);
        let names = operations.iter().any(|operation| !operation.places());
        Self {
            acts,
            places: if operations.iter().any(Operation::places) { acts } else { Classes::NONE },
            brings: Classes::NONE,
            names: if names { acts } else { Classes::NONE },
            again_from: (names && cancels_first).then_some(class),
        }
    }

    /// Classes in which what names orders acts again: those in which orders may have come of the
    /// owner's transactions before it, or of its own operations.
    fn again_after(self, before: Self) -> Classes {
        let may_come = before.places.and(self.brings);
        self.again_from.map_or(Classes::NONE, |class| may_come.after(class))
    }

    /// The transactions so far with one more, which comes in some classes.
    fn and(self, one: Self, classes: Classes) -> Self {
        // A batch that acts again places where it does.
        let places = if one.places.is_empty() { one.places } else { classes.after(Class::Cancels) };
        let again = if one.again_from.is_some() { classes } else { Classes::NONE };
        Self {
            places: self.places.and(places),
            names: self.names.and(one.names).and(again),
            ..self
        }
    }

    const fn names_late(self) -> bool {
        self.names.has(Class::Orders) && self.places.has(Class::PostOnly)
    }
}
