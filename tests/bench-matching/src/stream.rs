//! The stream that every engine plays: fixed-size records in a file, so that an engine in another
//! language reads the same.
//!
//! ```text
//! file   = magic "TMSTREAM" ‖ warm u64 ‖ operations u64 ‖ seed u64
//!        ‖ record × (warm + operations)
//! record = kind u8 ‖ side u8 ‖ flags u8 ‖ 0 u8 ‖ owner u32
//!        ‖ id u64 ‖ at u64 ‖ price_ticks u32 ‖ lots u32
//! integers are little-endian
//! ```

use std::io::{self, Read, Write};
use std::path::Path;

const MAGIC: u64 = u64::from_le_bytes(*b"TMSTREAM");
const HEADER_BYTES: usize = 32;
/// Bytes of a record in the file.
const RECORD_BYTES: usize = 32;

/// Kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A limit order that meets nothing and rests.
    Add = 0,
    /// An order leaves.
    Cancel = 1,
    /// A limit order that trades at once; its rest is cancelled.
    Take = 2,
    /// An order goes to the back of another price of its side, where it meets nothing.
    Move = 3,
}

/// One operation. Fields that a kind does not need are 0.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Kind of the operation.
    pub kind: Kind,
    /// True if the order sells.
    pub sell: bool,
    /// [`HAS_CLIENT_ID`], [`EXPIRES`], [`POST_ONLY`].
    pub flags: u8,
    /// Owner of the order.
    pub owner: u32,
    /// Number of the order: adds and takers are numbered from 1.
    pub id: u64,
    /// Position in the stream, from 0, of the order's first record.
    pub at: u64,
    /// Limit price, or the new limit price of a move.
    pub price_ticks: u32,
    /// Quantity; for a move, the order's unfilled quantity.
    pub lots: u32,
}

/// The order has a client id: its number.
pub const HAS_CLIENT_ID: u8 = 1;
/// The order is good till a time that never comes.
pub const EXPIRES: u8 = 2;
/// The order must not trade at once.
pub const POST_ONLY: u8 = 4;

/// All operations, in order.
pub struct Stream {
    /// Orders that enter the book before the timed operations.
    pub warm: Vec<Record>,
    /// Operations that are timed.
    pub operations: Vec<Record>,
    /// Seed of the stream.
    pub seed: u64,
}

impl Stream {
    /// Reads a stream.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = io::BufReader::new(std::fs::File::open(path)?);
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header)?;
        let word = |index: usize| word(&header, index);
        if word(0) != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a stream"));
        }
        let warm = (0..word(1)).map(|_| Record::read(&mut file)).collect::<io::Result<_>>()?;
        let operations =
            (0..word(2)).map(|_| Record::read(&mut file)).collect::<io::Result<_>>()?;
        Ok(Self { warm, operations, seed: word(3) })
    }

    /// Returns the stream without client ids and expiries.
    #[must_use]
    pub fn plain(mut self) -> Self {
        for record in self.warm.iter_mut().chain(&mut self.operations) {
            record.flags &= !(HAS_CLIENT_ID | EXPIRES);
        }
        self
    }

    /// Writes the stream.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = io::BufWriter::new(std::fs::File::create(path)?);
        for word in [MAGIC, self.warm.len() as u64, self.operations.len() as u64, self.seed] {
            file.write_all(&word.to_le_bytes())?;
        }
        for record in self.warm.iter().chain(&self.operations) {
            file.write_all(&record.bytes())?;
        }
        file.flush()
    }
}

/// Returns the little-endian word at `index`.
fn word(bytes: &[u8; 32], index: usize) -> u64 {
    bytes[index * 8..][..8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl Record {
    fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; RECORD_BYTES];
        from.read_exact(&mut bytes)?;
        let kind = match bytes[0] {
            0 => Kind::Add,
            1 => Kind::Cancel,
            2 => Kind::Take,
            3 => Kind::Move,
            other => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("kind {other}")))
            }
        };
        Ok(Self {
            kind,
            sell: bytes[1] == 1,
            flags: bytes[2],
            owner: (word(&bytes, 0) >> 32) as u32,
            id: word(&bytes, 1),
            at: word(&bytes, 2),
            price_ticks: word(&bytes, 3) as u32,
            lots: (word(&bytes, 3) >> 32) as u32,
        })
    }

    fn bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..3].copy_from_slice(&[self.kind as u8, u8::from(self.sell), self.flags]);
        bytes[4..8].copy_from_slice(&self.owner.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.at.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.price_ticks.to_le_bytes());
        bytes[28..].copy_from_slice(&self.lots.to_le_bytes());
        bytes
    }
}

/// Trades of an engine: equal for all engines that play a stream correctly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// Number of trades.
    pub trades: u64,
    /// Number of lots traded.
    pub lots: u64,
    /// Hash over each trade's maker, price and lots, in order; 0 in a run without a hash.
    pub hash: u64,
    /// Orders in the book at the end.
    pub live: u64,
}

/// A receiver of trades.
pub trait Tape {
    /// True if the tape reads the maker's number: otherwise an engine need not look it up.
    const NEEDS_MAKER: bool;
    /// Receives one trade.
    fn trade(&mut self, maker: u64, price_ticks: u64, lots: u64);
}

/// Counts trades and lots. A timed run uses this tape, so that no event can be optimised away.
impl Tape for (u64, u64) {
    const NEEDS_MAKER: bool = false;
    #[inline]
    fn trade(&mut self, _: u64, _: u64, lots: u64) {
        self.0 += 1;
        self.1 = self.1.wrapping_add(lots);
    }
}

/// Counts and hashes trades, for the cross-check.
impl Tape for Outcome {
    const NEEDS_MAKER: bool = true;
    fn trade(&mut self, maker: u64, price_ticks: u64, lots: u64) {
        self.trades += 1;
        self.lots += lots;
        for word in [maker, price_ticks, lots] {
            self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }
}
