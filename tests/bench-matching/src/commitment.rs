//! Cost of the app hash: the roots after a block of operations; and the book's memory.

use serde::{Deserialize, Serialize};
use tidemark_matching::Book;

use crate::engines::tidemark::{apply, Events};
use crate::process::cpu_ns;
use crate::stream::Stream;

/// Operations in a block.
const BLOCK_SIZES: [usize; 2] = [1_000, 10_000];
/// Blocks that are timed, of each size.
const BLOCKS: usize = 40;

/// Blocks of one size on one book; means over the blocks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Blocks {
    /// Orders in the book before.
    pub warm: usize,
    /// Operations in a block.
    pub operations: usize,
    /// Levels that a block changes.
    pub changed_levels: f64,
    /// The operations themselves, µs.
    pub operations_us: f64,
    /// The L2 and the L3 root after them, µs.
    pub roots_us: f64,
    /// Reading the changed levels for the stream, µs.
    pub dirty_us: f64,
    /// The first roots of the warm book, when every order is new, µs.
    pub first_roots_us: f64,
    /// Bytes that the book holds for each order, before the blocks.
    pub bytes_per_order: u64,
}

/// Measures blocks of each size from the stream.
pub fn commitment(stream: &Stream) -> Vec<Blocks> {
    BLOCK_SIZES.iter().map(|size| blocks(stream, *size)).collect()
}

/// Carries out `act` and adds its time to `us`, in µs.
fn timed<T>(us: &mut f64, act: impl FnOnce() -> T) -> T {
    let start = cpu_ns();
    let done = act();
    *us += (cpu_ns() - start) as f64 / 1e3;
    done
}

fn blocks(stream: &Stream, operations: usize) -> Blocks {
    let (mut book, mut events) = (Book::new(), Events::default());
    for record in &stream.warm {
        apply(&mut book, record, &mut events);
        events.0.clear();
    }
    let roots = |book: &mut Book| (book.l2_root(), book.l3_root());
    let mut first_roots_us = 0.0;
    timed(&mut first_roots_us, || roots(&mut book));
    book.take_dirty_levels();
    let bytes_per_order = book.memory_bytes() as u64 / u64::from(book.live_orders()).max(1);

    let (mut operations_us, mut roots_us, mut dirty_us, mut changed, mut blocks) =
        (0.0, 0.0, 0.0, 0, 0);
    for block in stream.operations.chunks_exact(operations).take(BLOCKS) {
        timed(&mut operations_us, || {
            block.iter().for_each(|record| apply(&mut book, record, &mut events))
        });
        events.0.clear();
        timed(&mut roots_us, || roots(&mut book));
        changed += timed(&mut dirty_us, || book.take_dirty_levels()).len();
        blocks += 1;
    }
    let mean = |sum: f64| sum / f64::from(blocks.max(1));
    Blocks {
        warm: stream.warm.len(),
        operations,
        changed_levels: mean(changed as f64),
        operations_us: mean(operations_us),
        roots_us: mean(roots_us),
        dirty_us: mean(dirty_us),
        first_roots_us,
        bytes_per_order,
    }
}
