//! A record of the journal as bytes.

use tidemark_proto::types::TxHash;

const ACCEPTED: u8 = 1;
const ENDED: u8 = 2;

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Accepted { last_height: u64, accepted_height: u64, bytes: &'a [u8] },
    Ended { bytes_hash: TxHash },
}

impl<'a> Record<'a> {
    /// The last height at which the record's transaction may be in a block; 0 if it has ended.
    pub(super) fn last_height(&self) -> u64 {
        match self {
            Self::Accepted { last_height, .. } => *last_height,
            Self::Ended { .. } => 0,
        }
    }

    /// The record's bytes, with length and checksum.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Accepted { last_height, accepted_height, bytes } => {
                body.push(ACCEPTED);
                body.extend_from_slice(&last_height.to_le_bytes());
                body.extend_from_slice(&accepted_height.to_le_bytes());
                body.extend_from_slice(bytes);
            }
            Self::Ended { bytes_hash } => {
                body.push(ENDED);
                body.extend_from_slice(bytes_hash);
            }
        }
        // A transaction has at most 4 MiB.
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let checksum = crc32fast::hash(&body);
        [&length.to_le_bytes(), &checksum.to_le_bytes(), body.as_slice()].concat()
    }

    fn decode(body: &'a [u8]) -> Option<Self> {
        let (kind, rest) = body.split_first()?;
        match *kind {
            ACCEPTED => {
                let (last_height, rest) = rest.split_first_chunk()?;
                let (accepted_height, bytes) = rest.split_first_chunk()?;
                Some(Self::Accepted {
                    last_height: u64::from_le_bytes(*last_height),
                    accepted_height: u64::from_le_bytes(*accepted_height),
                    bytes,
                })
            }
            ENDED => Some(Self::Ended { bytes_hash: rest.try_into().ok()? }),
            _ => None,
        }
    }
}

/// The records of a segment with their lengths, up to the first that is torn or damaged.
pub(super) fn all(mut segment: &[u8]) -> impl Iterator<Item = (Record<'_>, u64)> {
    std::iter::from_fn(move || {
        let (length, rest) = segment.split_first_chunk()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (body, rest) = rest.split_at_checked(length)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let record = Record::decode(body)?;
        segment = rest;
        Some((record, (length as u64).saturating_add(8)))
    })
}
