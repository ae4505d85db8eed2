use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SHARE: u64 = 1_000;

fn head(maker: u8, counter: u64, made_at_height: u64) -> BundleHead {
    BundleHead { maker: [maker; 20], counter, made_at_height }
}

fn hash(maker: u8, counter: u64) -> TxHash {
    let mut hash = [maker; 32];
    hash[..8].copy_from_slice(&counter.to_le_bytes());
    hash
}

#[derive(Clone, Debug)]
enum Step {
    /// A bundle, made so many blocks before the node's height.
    Offer {
        maker: u8,
        counter: u64,
        bytes: u64,
        age: u64,
    },
    /// CometBFT asks for what waits; transactions of counters that this divides are gone.
    Recheck(u64),
    Blocks(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, 1..40_u64, 1..600_u64, 0..60_u64)
            .prop_map(|(maker, counter, bytes, age)| Step::Offer { maker, counter, bytes, age }),
        1 => (1..8_u64).prop_map(Step::Recheck),
        1 => (1..30_u64).prop_map(Step::Blocks),
    ]
}

/// A bundle that was taken: maker, counter, bytes, height, and whether it waits.
type Taken = (u8, u64, u64, u64, bool);

proptest! {
    #[test]
    fn makers_bundles_wait_as_the_letter_says(steps in vec(step(), 1..80)) {
        let (mut makers, mut taken, mut height) = (Makers::default(), Vec::<Taken>::new(), 100_u64);
        for step in steps {
            match step {
                Step::Offer { maker, counter, bytes, age } => {
                    let made_at = height - age;
                    let mine = || taken.iter().filter(|it| it.0 == maker);
                    let waiting: u64 = mine().filter(|it| it.4).map(|it| it.2).sum();
                    let expected = age < TX_LIFETIME_BLOCKS
                        && !mine().any(|it| it.1 == counter)
                        && waiting + bytes <= SHARE;
                    let head = head(maker, counter, made_at);
                    let checked = makers.check(&head, (bytes, SHARE), height);
                    prop_assert_eq!(checked.is_ok(), expected, "{:?}", checked);
                    if expected {
                        let name = hash(maker, counter);
                        makers.take(&head, name, bytes, vec![name]);
                        taken.push((maker, counter, bytes, made_at, true));
                    }
                }
                Step::Recheck(divisor) => {
                    for it in &mut taken {
                        let lives = makers.recheck(&hash(it.0, it.1), |tx| {
                            let mut counter = [0; 8];
                            counter.copy_from_slice(&tx[..8]);
                            u64::from_le_bytes(counter) % divisor != 0
                        });
                        it.4 = it.4 && it.1 % divisor != 0;
                        prop_assert_eq!(lives, it.4);
                    }
                }
                Step::Blocks(blocks) => {
                    height += blocks;
                    makers.expire(height, |_| true);
                    let lives = |it: &Taken| it.3 + TX_LIFETIME_BLOCKS > height;
                    taken.iter_mut().for_each(|it| it.4 = it.4 && lives(it));
                }
            }
            for (maker, bytes) in makers.waiting_bytes() {
                let mine = taken.iter().filter(|it| it.0 == maker[0] && it.4);
                prop_assert_eq!(bytes, mine.map(|it| it.2).sum::<u64>());
                prop_assert!(bytes <= SHARE);
            }
        }
    }
}

#[test]
fn counters_below_the_last_1024_count_as_used() {
    let mut makers = Makers::default();
    for counter in 10..10 + COUNTERS as u64 {
        makers.take(&head(1, counter, 100), hash(1, counter), 1, Vec::new());
    }
    let code = |makers: &Makers, counter| makers.check(&head(1, counter, 100), (1, SHARE), 100);
    let used = |counter| Err(BundleRefusal::CounterUsed { counter });
    assert_eq!((code(&makers, 9), code(&makers, 10)), (used(9), used(10)));
    assert_eq!(code(&makers, u64::MAX), Ok(()));
    makers.take(&head(1, u64::MAX, 100), hash(1, 0), 1, Vec::new());
    assert_eq!(code(&makers, 10), used(10), "forgotten, and below all that are known");
    assert_eq!(code(&makers, 10 + COUNTERS as u64), Ok(()));
    assert_eq!(makers.makers.get(&[1; 20]).map(|maker| maker.counters.len()), Some(COUNTERS));
}

#[test]
fn who_is_no_validator_any_more_is_forgotten_once_nothing_of_it_waits() {
    let mut makers = Makers::default();
    makers.take(&head(1, 5, 100), hash(1, 5), 7, vec![hash(1, 5)]);
    makers.expire(101, |_| false);
    assert_eq!(makers.waiting_bytes(), [([1; 20], 7)]);
    makers.expire(150, |_| false);
    assert!(makers.makers.is_empty() && makers.waiting.is_empty());
}
