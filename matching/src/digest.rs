//! The digest type that levels, pages and roots share.

/// A SHA-256 digest.
pub type Digest = [u8; 32];
