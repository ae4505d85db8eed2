//! A market's symbol as refusals carry it: sixteen bytes in place, so that a refusal allocates
//! nothing.

/// Most bytes of a symbol; listing checks it.
const MAX_BYTES: usize = 16;

/// A market's symbol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl Symbol {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }
}

impl From<&str> for Symbol {
    /// Takes a symbol of 3 to 16 ASCII characters; of a longer text, which no list has, its
    /// beginning.
    fn from(text: &str) -> Self {
        let mut bytes = [0; MAX_BYTES];
        let len = text.len().min(MAX_BYTES);
        bytes.iter_mut().zip(text.as_bytes()).for_each(|(to, from)| *to = *from);
        Self { bytes, len }
    }
}

impl From<&String> for Symbol {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl std::fmt::Display for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}
