//! A full peer that is no validator, and hands the others the transactions that it sees in bundles
//! that their makers did not make.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use ed25519_consensus::SigningKey;
use prost::bytes::Bytes;
use serde_json::{json, Value};
use sha2::{Digest as _, Sha256};
use tidemark_comet::rpc_client::RpcClient;
use tidemark_proto::tx::bundle::{is_bundle, make_bundle, Bundle, BundleHead};
use tidemark_proto::types::SigningDomain;
use tidemark_tests::harness::{secret, CHAIN_ID};
use tokio::task::JoinSet;

use super::{Attacker, PAUSE};

/// Bytes that a signature is at the end of.
const SIGNATURE_BYTES: usize = 64;
/// Transactions and bundles of the peer's mempool that are looked at in a turn.
const SEEN: usize = 30;
/// Transactions that are bundled again and again: the last so many.
const KEPT: usize = 64;
/// Most bytes of transactions in a bundle: less than a node takes.
const BUNDLE_BYTES: usize = 100_000;
/// Own bundles that are known again in the mempool: the last so many.
const OWN: usize = 1_024;
/// Every so many bundles one goes to an honest node's CometBFT itself, which tells the code.
const EVERY: u64 = 4;

/// A way to make a bundle of what others have sent.
#[derive(Clone, Copy)]
enum Way {
    /// In a validator's name, without a signature.
    Unsigned,
    /// In the name of nobody, by a key that nobody has registered.
    Stranger,
    /// In a validator's name, by that key.
    OtherKey,
    /// A validator's own bundle with another byte in it.
    Changed,
    /// By the misbehaving validator's registered key, the transactions cut and ordered otherwise.
    Cut,
}

const WAYS: [Way; 5] = [Way::Unsigned, Way::Stranger, Way::OtherKey, Way::Changed, Way::Cut];

/// Bundles of every way in turns, until the time is over.
pub fn remixed(attacker: &Arc<Attacker>, tasks: &mut JoinSet<()>) {
    let attacker = Arc::clone(attacker);
    tasks.spawn(async move {
        let Ok(peer) = RpcClient::new(&attacker.plan.peer) else { return };
        let Some(mut remixer) = Remixer::new(&attacker) else { return };
        let mut turn = 0;
        while attacker.goes_on() {
            remixer.look(&peer).await;
            if remixer.txs.is_empty() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            for way in WAYS {
                turn += 1;
                let Some(bundle) = remixer.remix(way, attacker.number("remix", turn)) else {
                    continue;
                };
                let honest = attacker.comet(usize::try_from(turn / EVERY).unwrap_or(0));
                let comet = if turn % EVERY == 0 { honest } else { &peer };
                attacker.tally.sent();
                attacker.tally.broadcast(comet.broadcast_tx_sync(&bundle).await);
            }
        }
    });
}

/// The material of bundles.
struct Remixer {
    domain: SigningDomain,
    /// A key that no validator has registered.
    own: SigningKey,
    /// The misbehaving validator's address and its node's key.
    validator: ([u8; 20], SigningKey),
    /// The last transactions that were seen, in bundles or by themselves.
    txs: VecDeque<Bytes>,
    /// The last bundle of an honest maker that was seen.
    seen: Option<(BundleHead, Vec<u8>)>,
    /// Hashes of the last bundles that were made here.
    made: VecDeque<[u8; 32]>,
    height: u64,
    last_counter: u64,
}

impl Remixer {
    fn new(attacker: &Attacker) -> Option<Self> {
        Some(Self {
            domain: SigningDomain::new(CHAIN_ID, &attacker.genesis_hash),
            own: SigningKey::from(secret("a key that nobody has registered")),
            validator: validator(&attacker.plan.home)?,
            txs: VecDeque::new(),
            seen: None,
            made: VecDeque::new(),
            height: 1,
            last_counter: 0,
        })
    }

    /// Looks into the peer's mempool, which has what the others gossip.
    async fn look(&mut self, peer: &RpcClient) {
        if let Ok(status) = peer.status().await {
            self.height = status.latest_height.max(1);
        }
        let Ok(answer) = peer.call("unconfirmed_txs", json!({ "limit": SEEN.to_string() })).await
        else {
            return;
        };
        let seen = answer["txs"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for bytes in seen.filter_map(|text| BASE64.decode(text).ok()).map(Bytes::from) {
            if !is_bundle(&bytes) {
                self.keep(bytes);
            } else if !self.made.contains(&Sha256::digest(&bytes).into()) {
                let Ok(bundle) = Bundle::read(&bytes) else { continue };
                bundle.txs.into_iter().for_each(|tx| self.keep(tx));
                self.seen = Some((bundle.head, bytes.to_vec()));
            }
        }
    }

    fn keep(&mut self, tx: Bytes) {
        if self.txs.contains(&tx) {
            return;
        }
        self.txs.push_back(tx);
        if self.txs.len() > KEPT {
            self.txs.pop_front();
        }
    }

    fn remix(&mut self, way: Way, random: u64) -> Option<Vec<u8>> {
        let bundle = self.bundle_of(way, random)?;
        self.made.push_back(Sha256::digest(&bundle).into());
        if self.made.len() > OWN {
            self.made.pop_front();
        }
        Some(bundle)
    }

    fn bundle_of(&mut self, way: Way, random: u64) -> Option<Vec<u8>> {
        let (own, validator) = (self.own.clone(), self.validator.clone());
        let honest = self.seen.as_ref().map_or(validator.0, |(head, _)| head.maker);
        match way {
            Way::Unsigned => {
                let mut bundle = self.bundle(honest, &own, random);
                let unsigned = bundle.len().checked_sub(SIGNATURE_BYTES)?;
                bundle[unsigned..].fill(0);
                Some(bundle)
            }
            Way::Stranger => {
                let nobody = std::array::from_fn(|at| random.to_le_bytes()[at % 8]);
                Some(self.bundle(nobody, &own, random))
            }
            Way::OtherKey => Some(self.bundle(honest, &own, random)),
            Way::Changed => {
                let (_, mut bundle) = self.seen.clone()?;
                let at = usize::try_from(random % bundle.len() as u64).ok()?;
                bundle[at] ^= 1 << (random >> 61);
                Some(bundle)
            }
            Way::Cut => Some(self.bundle(validator.0, &validator.1, random)),
        }
    }

    /// A bundle of some of the transactions, the last of them first.
    fn bundle(&mut self, maker: [u8; 20], key: &SigningKey, random: u64) -> Vec<u8> {
        let head = BundleHead { maker, counter: self.counter(), made_at_height: self.height };
        let first = usize::try_from(random % self.txs.len() as u64).unwrap_or(0);
        let mut left = BUNDLE_BYTES;
        let fitting = self.txs.iter().skip(first).take_while(|tx| {
            let fits = left.checked_sub(tx.len());
            left = fits.unwrap_or(left);
            fits.is_some()
        });
        let txs: Vec<&Bytes> = fitting.collect();
        make_bundle(&head, txs.into_iter().rev().map(AsRef::as_ref), (key, &self.domain))
    }

    /// A counter as honest nodes count: this machine's time, and each once.
    fn counter(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(0);
        self.last_counter = self.last_counter.saturating_add(1).max(now_ms);
        self.last_counter
    }
}

/// A validator's address and its node's key, from its home.
fn validator(home: &Path) -> Option<([u8; 20], SigningKey)> {
    let read = |name: &str| -> Option<Value> {
        let text = std::fs::read_to_string(home.join("config").join(name)).ok()?;
        serde_json::from_str(&text).ok()
    };
    let mut address = [0; 20];
    let named = read("priv_validator_key.json")?;
    hex::decode_to_slice(named["address"].as_str()?, &mut address).ok()?;
    let mut key = [0; 32];
    let named = read("tidemark_node_key.json")?;
    hex::decode_to_slice(named["secret_hex"].as_str()?, &mut key).ok()?;
    Some((address, SigningKey::from(key)))
}

#[cfg(test)]
mod tests {
    use tidemark_proto::Code;

    use super::*;

    fn remixer() -> Remixer {
        let domain = SigningDomain::new(CHAIN_ID, &[7; 32]);
        let head = BundleHead { maker: [9; 20], counter: 5, made_at_height: 3 };
        let honest = SigningKey::from([9; 32]);
        let txs: Vec<Bytes> = (0..8_u8).map(|number| vec![number; 80].into()).collect();
        let bytes = make_bundle(&head, txs.iter().map(AsRef::as_ref), (&honest, &domain));
        Remixer {
            domain,
            own: SigningKey::from([1; 32]),
            validator: ([2; 20], SigningKey::from([2; 32])),
            txs: txs.into(),
            seen: Some((head, bytes)),
            made: VecDeque::new(),
            height: 4,
            last_counter: 0,
        }
    }

    /// The bundle of a way, as a node reads it, and the result of its signature's check by a key.
    fn checked(way: Way, random: u64, key: u8) -> (Option<[u8; 20]>, Option<Code>) {
        let mut remixer = remixer();
        let bytes: Bytes = remixer.remix(way, random).unwrap().into();
        let key = SigningKey::from([key; 32]).verification_key().to_bytes();
        match Bundle::read(&bytes) {
            Ok(bundle) => {
                let refused = bundle.verify(&key, &remixer.domain).err();
                (Some(bundle.head.maker), refused.map(|refusal| refusal.code))
            }
            Err(refusal) => (None, Some(refusal.code)),
        }
    }

    #[test]
    fn each_way_makes_a_bundle_that_is_wrong_in_its_own_way() {
        for random in 0..400 {
            let bad = Some(Code::BadSignature);
            assert_eq!(checked(Way::Unsigned, random, 9), (Some([9; 20]), bad));
            assert_eq!(checked(Way::OtherKey, random, 9), (Some([9; 20]), bad));
            assert_ne!(checked(Way::Stranger, random, 1).0, Some([9; 20]));
            assert!(checked(Way::Changed, random, 9).1.is_some());
            assert_eq!(checked(Way::Cut, random, 2), (Some([2; 20]), None));
        }
    }
}
