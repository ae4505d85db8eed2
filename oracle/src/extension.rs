//! The vote extension around a report: a validator that registers its node key puts it before the
//! report.
//!
//! ```text
//! kind      1 byte, 2
//! node key  32 bytes
//! report    the rest; may be empty
//! ```
//! Anything else is a report alone, whose first byte is its version ([`report::VERSION`]), or
//! nothing.

use crate::report;

/// An ed25519 public key with which a validator's node signs bundles.
pub type NodeKey = [u8; 32];

/// Bytes before the report in an extension with a node key.
pub const KEY_BYTES: usize = 33;

/// The first byte of an extension with a node key.
const WITH_KEY: u8 = 2;

const _: () = assert!(WITH_KEY != report::VERSION);

/// The extension with a node key before an encoded report, which may be empty.
#[must_use]
pub fn with_key(key: &NodeKey, report: &[u8]) -> Vec<u8> {
    [&[WITH_KEY][..], key, report].concat()
}

/// The node key of an extension, if it has one, and the rest: an encoded report, or nothing.
#[must_use]
pub fn split(extension: &[u8]) -> (Option<&NodeKey>, &[u8]) {
    let behind_kind = extension.strip_prefix(&[WITH_KEY]);
    match behind_kind.and_then(<[u8]>::split_first_chunk) {
        Some((key, report)) => (Some(key), report),
        None => (None, extension),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::{decode, encode, Limits, Report, ReportError};

    proptest! {
        #[test]
        fn a_key_and_its_report_are_read_back(key: NodeKey, report: Vec<u8>) {
            let bytes = with_key(&key, &report);
            prop_assert_eq!(bytes.len(), KEY_BYTES + report.len());
            prop_assert_eq!(split(&bytes), (Some(&key), &report[..]));
        }

        #[test]
        fn any_bytes_are_a_key_and_a_report_or_a_report(bytes: Vec<u8>) {
            match split(&bytes) {
                (Some(key), report) => prop_assert_eq!(with_key(key, report), bytes),
                (None, report) => prop_assert_eq!(report, &bytes[..]),
            }
        }
    }

    #[test]
    fn a_report_alone_has_no_key_and_a_key_that_is_cut_is_no_report() {
        let no_base = |_| None;
        let report = encode(&Report::default(), &no_base, Limits::default()).unwrap();
        assert_eq!(split(&report), (None, &report[..]));
        let cut = &with_key(&[7; 32], &[])[..32];
        assert_eq!(split(cut), (None, cut));
        let refusal = decode(cut, &no_base, Limits::default());
        assert_eq!(refusal, Err(ReportError::Version { version: 2 }));
    }
}
