//! Transactions that proposers write into blocks: a `TxRaw` with a single message, empty auth info
//! and no signature, so that all of `block.txs` decodes alike (rules §10.7).

use cosmrs::proto::cosmos::tx::v1beta1 as wire;
use cosmrs::Any;
use prost::{length_delimiter_len, Message as _};

/// Type URL of the validators' price reports.
pub const BLOCK_PRICES: &str = "/tidemark.v1.BlockPrices";

/// Type URL of a block's own list of transactions.
pub const BLOCK_LIST: &str = "/tidemark.v1.BlockList";

/// Most bytes of a proposer's transaction beside its message: the frames of body, message and value
/// with lengths of up to 32 bits, and the longer type URL.
pub const MAX_WRAPPING_BYTES: u64 = 6 + 6 + 2 + BLOCK_PRICES.len() as u64 + 6;

/// Returns true for a message that only a proposer writes into a block.
#[must_use]
pub fn is_of_proposers(type_url: &str) -> bool {
    matches!(type_url, BLOCK_PRICES | BLOCK_LIST)
}

/// A proposer's transaction with this message.
#[must_use]
pub fn wrap(type_url: &str, value: Vec<u8>) -> Vec<u8> {
    let message = Any { type_url: type_url.to_owned(), value };
    let body = wire::TxBody { messages: vec![message], ..Default::default() };
    wire::TxRaw { body_bytes: body.encode_to_vec(), ..Default::default() }.encode_to_vec()
}

/// Bytes of the transaction that [`wrap`] makes of a message of so many bytes.
#[must_use]
pub fn wrapped_bytes(type_url: &str, value_bytes: usize) -> usize {
    let framed =
        |bytes: usize| if bytes == 0 { 0 } else { 1 + length_delimiter_len(bytes) + bytes };
    framed(framed(framed(type_url.len()) + framed(value_bytes)))
}

/// The message in a proposer's transaction of this type.
///
/// # Errors
/// A sentence for bytes that are none, or that [`wrap`] would write otherwise.
pub fn unwrap(type_url: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let no_tx = |part: &str, error: prost::DecodeError| format!("{part}: {error}");
    let raw = wire::TxRaw::decode(bytes).map_err(|error| no_tx("not a TxRaw", error))?;
    let body = wire::TxBody::decode(&*raw.body_bytes).map_err(|error| no_tx("body", error))?;
    let value = match <[Any; 1]>::try_from(body.messages) {
        Ok([message]) if message.type_url == type_url => message.value,
        _ => return Err(format!("its message is not one {type_url}")),
    };
    if wrap(type_url, value.clone()) != bytes {
        return Err("it is not in its one form".into());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let bytes = wrap(BLOCK_PRICES, vec![8, 1]);
        assert_eq!(unwrap(BLOCK_PRICES, &bytes), Ok(vec![8, 1]));
        assert!(unwrap(BLOCK_LIST, &bytes).unwrap_err().contains("not one /tidemark.v1.BlockList"));
        let rewrap = |change: fn(&mut wire::TxRaw, &mut wire::TxBody)| {
            let mut raw = wire::TxRaw::decode(&*bytes).unwrap();
            let mut body = wire::TxBody::decode(&*raw.body_bytes).unwrap();
            change(&mut raw, &mut body);
            raw.body_bytes = body.encode_to_vec();
            unwrap(BLOCK_PRICES, &raw.encode_to_vec())
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
