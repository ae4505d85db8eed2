//! Fields of bytes in a protobuf message, read in place and in their one form.

use prost::encoding::encode_varint;
use prost::{decode_length_delimiter, length_delimiter_len};

/// The tag of a message's first field, and of its second, where these are bytes.
pub(super) const FIRST: u8 = 0x0a;
pub(super) const SECOND: u8 = 0x12;

/// Writes the tag and the length of a field with so many bytes.
pub(super) fn begin_field(bytes: &mut Vec<u8>, tag: u8, length: usize) {
    bytes.push(tag);
    encode_varint(length as u64, bytes);
}

/// So many bytes with the tag and the length before them.
pub(super) fn framed_bytes(bytes: usize) -> usize {
    bytes.saturating_add(1).saturating_add(length_delimiter_len(bytes))
}

/// Bytes of a field with so many: an empty one is not written.
pub(super) fn field_bytes(bytes: usize) -> usize {
    if bytes == 0 {
        0
    } else {
        framed_bytes(bytes)
    }
}

/// The bytes of the only field of a message, its first.
pub(super) fn only_field(message: &[u8]) -> Option<&[u8]> {
    let (value, behind) = field(FIRST, message)?;
    behind.is_empty().then_some(value)
}

/// The bytes of the field that a message begins with, if it has this tag and its length is written
/// in the fewest bytes; and what is behind it.
pub(super) fn field(tag: u8, message: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut behind = message.strip_prefix(&[tag])?;
    let with_length = behind.len();
    let length = decode_length_delimiter(&mut behind).ok()?;
    if with_length.saturating_sub(behind.len()) != length_delimiter_len(length) {
        return None;
    }
    behind.split_at_checked(length)
}
