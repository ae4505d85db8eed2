//! Streams of operations on a book and on its naive model: same results, events, queues and roots.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidemark_matching::tests::bytes::drive(bytes));
