//! Transactions that proposers write into blocks: a `TxRaw` with a single message, empty auth info
//! and no signature, so that all of `block.txs` decodes alike (rules §10.7).

use prost::bytes::Bytes;

use super::fields::{begin_field, field, field_bytes, framed_bytes, only_field, FIRST, SECOND};

/// Type URL of the validators' price reports.
pub const BLOCK_PRICES: &str = "/tidemark.v1.BlockPrices";

/// Type URL of a block's own list of transactions.
pub const BLOCK_LIST: &str = "/tidemark.v1.BlockList";

/// Most bytes of a proposer's transaction beside its message: the frames of body, message and value
/// with lengths of up to 32 bits, and the longer type URL.
pub const MAX_WRAPPING_BYTES: u64 = 6 + 6 + 2 + BLOCK_PRICES.len() as u64 + 6;

/// Fewest bytes of a transaction in a list: no signature has fewer. A list of empty ones would take
/// sixteen times its bytes in memory.
pub const MIN_LISTED_BYTES: usize = 64;

/// Returns true for a message that only a proposer writes into a block.
#[must_use]
pub fn is_of_proposers(type_url: &str) -> bool {
    matches!(type_url, BLOCK_PRICES | BLOCK_LIST)
}

/// A proposer's transaction with this message.
#[must_use]
pub fn wrap(type_url: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let mut bytes = begin(type_url, value.len());
    bytes.extend_from_slice(value);
    bytes
}

/// A block's own list of these transactions.
#[must_use]
pub fn wrap_list<'a>(txs: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let value_bytes = txs.clone().map(|tx| framed_bytes(tx.len()));
    let mut bytes = begin(BLOCK_LIST, value_bytes.fold(0, usize::saturating_add));
    for tx in txs {
        begin_field(&mut bytes, FIRST, tx.len());
        bytes.extend_from_slice(tx);
    }
    bytes
}

/// The transaction that [`wrap`] makes, up to the value.
fn begin(type_url: &str, value_bytes: usize) -> Vec<u8> {
    let message_bytes = message_bytes(type_url, value_bytes);
    let mut bytes = Vec::with_capacity(wrapped_bytes(type_url, value_bytes));
    begin_field(&mut bytes, FIRST, field_bytes(message_bytes));
    begin_field(&mut bytes, FIRST, message_bytes);
    begin_field(&mut bytes, FIRST, type_url.len());
    bytes.extend_from_slice(type_url.as_bytes());
    if value_bytes > 0 {
        begin_field(&mut bytes, SECOND, value_bytes);
    }
    bytes
}

fn message_bytes(type_url: &str, value_bytes: usize) -> usize {
    field_bytes(type_url.len()).saturating_add(field_bytes(value_bytes))
}

/// Bytes of the transaction that [`wrap`] makes of a message of so many bytes.
#[must_use]
pub fn wrapped_bytes(type_url: &str, value_bytes: usize) -> usize {
    field_bytes(field_bytes(message_bytes(type_url, value_bytes)))
}

/// The message in a proposer's transaction of this type, in place: nothing is copied.
///
/// # Errors
/// A sentence for bytes that [`wrap`] would write otherwise, or that are none.
pub fn unwrap<'a>(type_url: &str, bytes: &'a [u8]) -> Result<&'a [u8], String> {
    let message = only_field(bytes).and_then(only_field);
    let (url, behind) =
        message.and_then(|message| field(FIRST, message)).ok_or("it is not in its one form")?;
    if url != type_url.as_bytes() {
        return Err(format!("its message is not one {type_url}"));
    }
    if behind.is_empty() {
        return Ok(behind);
    }
    let value =
        field(SECOND, behind).filter(|(value, behind)| !value.is_empty() && behind.is_empty());
    value.map(|(value, _)| value).ok_or_else(|| "it is not in its one form".into())
}

/// The transactions of a block's own list, in place, if these bytes are one: in its one form, with
/// at least one transaction, none below [`MIN_LISTED_BYTES`].
#[must_use]
pub fn unwrap_list(bytes: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = unwrap(BLOCK_LIST, bytes).ok()?;
    let mut txs = Vec::new();
    while !rest.is_empty() {
        let (tx, behind) = field(FIRST, rest)?;
        if tx.len() < MIN_LISTED_BYTES {
            return None;
        }
        txs.push(bytes.slice_ref(tx));
        rest = behind;
    }
    (!txs.is_empty()).then_some(txs)
}

#[cfg(test)]
mod tests {
    use cosmrs::proto::cosmos::tx::v1beta1 as wire;
    use cosmrs::Any;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::v1;

    /// The transaction as `prost` encodes it.
    fn wrapped_by_prost(type_url: &str, value: Vec<u8>) -> Vec<u8> {
        let message = Any { type_url: type_url.to_owned(), value };
        let body = wire::TxBody { messages: vec![message], ..Default::default() };
        wire::TxRaw { body_bytes: body.encode_to_vec(), ..Default::default() }.encode_to_vec()
    }

    /// Reads a list with `prost`, and compares with its re-encoding.
    fn listed_by_prost(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let raw = wire::TxRaw::decode(bytes).ok()?;
        let body = wire::TxBody::decode(&*raw.body_bytes).ok()?;
        let [message] = <[Any; 1]>::try_from(body.messages).ok()?;
        let list = v1::BlockList::decode(&*message.value).ok()?;
        let is_list = message.type_url == BLOCK_LIST && !list.txs.is_empty();
        let same = wrapped_by_prost(BLOCK_LIST, list.encode_to_vec()) == bytes;
        let whole = list.txs.iter().all(|tx| tx.len() >= MIN_LISTED_BYTES);
        (is_list && same && whole).then_some(list.txs)
    }

    fn txs() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let length = prop_oneof![64..70_usize, 120..140_usize, 16_380..16_390_usize];
        let tx = (any::<u8>(), length).prop_map(|(byte, length)| vec![byte; length]);
        proptest::collection::vec(tx, 1..6)
    }

    proptest! {
        #[test]
        fn rules_10_a_list_is_what_prost_makes_of_it(txs in txs()) {
            let bytes = wrap_list(txs.iter().map(Vec::as_slice));
            let list = v1::BlockList { txs: txs.clone() };
            prop_assert_eq!(&bytes, &wrapped_by_prost(BLOCK_LIST, list.encode_to_vec()));
            let read = unwrap_list(&bytes.into()).unwrap();
            prop_assert_eq!(read, txs);
        }

        #[test]
        fn rules_10_bytes_are_a_list_only_in_its_one_form(
            txs in txs(),
            changes in proptest::collection::vec((any::<usize>(), any::<u8>(), 0..3_u8), 0..3),
        ) {
            let mut bytes = wrap_list(txs.iter().map(Vec::as_slice));
            for (at, byte, kind) in changes {
                // Lengths and tags are at the front, mostly.
                let at = at % bytes.len().min(48);
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            let expected = listed_by_prost(&bytes);
            let read = unwrap_list(&Bytes::from(bytes));
            prop_assert_eq!(read, expected.map(|txs| txs.into_iter().map(Bytes::from).collect()));
        }
    }

    #[test]
    fn rules_10_an_empty_list_is_none_and_neither_are_transactions_without_room_for_a_signature() {
        let list = |txs: &[&[u8]]| unwrap_list(&wrap_list(txs.iter().copied()).into());
        assert_eq!(list(&[]), None);
        assert_eq!(list(&[&[1; 63]]), None);
        assert_eq!(list(&[&[1; 64]]).map(|txs| txs.len()), Some(1));
        assert_eq!(list(&[&[1; 64], b""]), None);
        assert_eq!(unwrap_list(&wrap(BLOCK_PRICES, [1; 64]).into()), None);
    }

    #[test]
    fn wrapping_takes_at_most_its_bound() {
        for length in [0, 1, 127, 128, 1 << 20] {
            let bytes = wrap(BLOCK_PRICES, vec![1; length]).len();
            assert_eq!(bytes, wrapped_bytes(BLOCK_PRICES, length));
            assert!((bytes - length) as u64 <= MAX_WRAPPING_BYTES, "{length}");
        }
        let longest = u32::MAX as usize - 100;
        assert_eq!(
            wrapped_bytes(BLOCK_PRICES, longest) as u64,
            longest as u64 + MAX_WRAPPING_BYTES
        );
        assert!(BLOCK_LIST.len() < BLOCK_PRICES.len());
    }

    #[test]
    fn rules_10_only_the_one_form_is_unwrapped() {
        let bytes = wrap(BLOCK_PRICES, [8, 1]);
        assert_eq!(bytes, wrapped_by_prost(BLOCK_PRICES, vec![8, 1]));
        assert_eq!(unwrap(BLOCK_PRICES, &bytes), Ok(&[8, 1][..]));
        assert!(unwrap(BLOCK_LIST, &bytes).unwrap_err().contains("not one /tidemark.v1.BlockList"));
        let rewrap = |change: fn(&mut wire::TxRaw, &mut wire::TxBody)| {
            let mut raw = wire::TxRaw::decode(&*bytes).unwrap();
            let mut body = wire::TxBody::decode(&*raw.body_bytes).unwrap();
            change(&mut raw, &mut body);
            raw.body_bytes = body.encode_to_vec();
            unwrap(BLOCK_PRICES, &raw.encode_to_vec()).map(<[u8]>::to_vec)
        };
        assert_eq!(rewrap(|_, _| {}), Ok(vec![8, 1]));
        for change in [
            (|raw, _| raw.auth_info_bytes = vec![0x12, 0])
                as fn(&mut wire::TxRaw, &mut wire::TxBody),
            |raw, _| raw.signatures.push(vec![1; 64]),
            |_, body| body.memo = "x".into(),
            |_, body| body.timeout_height = 1,
            |_, body| body.messages.push(body.messages[0].clone()),
        ] {
            assert!(rewrap(change).is_err());
        }
        // A field that no message has: decoders skip it.
        assert!(unwrap(BLOCK_PRICES, &[&bytes[..], &[0x78, 1]].concat()).is_err());
        assert!(unwrap(BLOCK_PRICES, b"").is_err());
    }
}
