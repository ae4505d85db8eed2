//! The socket protocol of ABCI: frames of protobuf, each behind its length as a varint.

use std::io::{self, Read, Write};

use prost::Message;
use tendermint_proto::v0_38::abci::{request::Value, Request, Response};

/// The first size of a read buffer, in bytes. Larger frames make it grow.
const FIRST_BUFFER_BYTES: usize = 64 * 1024;

/// Replies beyond this many bytes are written before CometBFT asks for a flush, which bounds the
/// memory that a flood of `CheckTx` can take.
const WRITE_AT_BYTES: usize = 1024 * 1024;

/// The largest reply that is written: one byte less than the 2 GiB that CometBFT reads
/// (`maxMsgSize` in its `abci/types/messages.go`). `reply_room::check` holds block gas and block
/// size to it.
pub const MAX_REPLY_BYTES: usize = (1 << 31) - 1;

/// A `u64` takes at most this many bytes as a varint.
const MAX_VARINT_BYTES: usize = 10;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length of a frame is no varint of 64 bits.
    #[error("a frame's length is not a varint of at most {MAX_VARINT_BYTES} bytes")]
    BadLength,
    /// A frame beyond the cap.
    #[error("a frame of {bytes} bytes is larger than the cap of {max_bytes} bytes")]
    TooLarge {
        /// The frame's declared length.
        bytes: u64,
        /// The cap.
        max_bytes: usize,
    },
    /// A frame that is no `Request`.
    #[error("a frame of {bytes} bytes is not an ABCI request: {source}")]
    Malformed {
        /// The frame's length.
        bytes: usize,
        /// The decoder's error.
        source: prost::DecodeError,
    },
    /// A frame without a request, or with one of a kind that this version does not know.
    #[error(
        "a frame of {bytes} bytes holds no request of a kind that ABCI 2.0 (CometBFT v0.38) knows"
    )]
    Empty {
        /// The frame's length.
        bytes: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame, after {bytes} of its bytes")]
    Truncated {
        /// Bytes of the unfinished frame, its length included.
        bytes: usize,
    },
    /// A reply that CometBFT would not read.
    #[error(
        "a reply of {bytes} bytes is larger than the cap of {MAX_REPLY_BYTES}: CometBFT would not \
         read it"
    )]
    ReplyTooLarge {
        /// The reply's length.
        bytes: usize,
    },
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] io::Error),
}

/// Reads requests from a stream, decoding each where it lies in one buffer.
///
/// The buffer grows with the bytes that arrive, never with what a length claims, and never beyond
/// the cap.
#[derive(Debug)]
pub struct FrameReader<S> {
    stream: S,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is read but not yet decoded.
    start: usize,
    end: usize,
    max_frame_bytes: usize,
}

impl<S: Read> FrameReader<S> {
    /// A reader that refuses frames of more than `max_frame_bytes`.
    pub fn new(stream: S, max_frame_bytes: usize) -> Self {
        Self { stream, buffer: vec![0; FIRST_BUFFER_BYTES], start: 0, end: 0, max_frame_bytes }
    }

    /// The next request, or `None` when the stream has ended between two frames.
    ///
    /// # Errors
    /// Any of [`FrameError`] but `ReplyTooLarge`. The stream cannot be read on after an error.
    pub fn next_request(&mut self) -> Result<Option<Value>, FrameError> {
        loop {
            if let Some(request) = self.decode_buffered()? {
                return Ok(Some(request));
            }
            if self.fill()? == 0 {
                let bytes = self.end - self.start;
                return if bytes == 0 { Ok(None) } else { Err(FrameError::Truncated { bytes }) };
            }
        }
    }

    /// The first request of the buffer, if all of its bytes are there.
    fn decode_buffered(&mut self) -> Result<Option<Value>, FrameError> {
        let unread = &self.buffer[self.start..self.end];
        let Some((length, prefix_bytes)) = read_varint(unread)? else { return Ok(None) };
        let too_large = FrameError::TooLarge { bytes: length, max_bytes: self.max_frame_bytes };
        let Ok(length) = usize::try_from(length) else { return Err(too_large) };
        if length > self.max_frame_bytes {
            return Err(too_large);
        }
        let Some(frame) = unread[prefix_bytes..].get(..length) else { return Ok(None) };
        // From a slice, prost copies each byte field: a transaction that outlives the request does
        // not hold the block it came in.
        let request = Request::decode(frame)
            .map_err(|source| FrameError::Malformed { bytes: length, source })?;
        self.start += prefix_bytes + length;
        request.value.map(Some).ok_or(FrameError::Empty { bytes: length })
    }

    /// Reads what the stream has, after making room for it. Returns how many bytes, 0 at the
    /// stream's end.
    fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buffer.len() {
            self.make_room();
        }
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(bytes) => {
                    self.end += bytes;
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves the unfinished frame to the front; doubles the buffer when the frame fills it.
    /// `decode_buffered` has refused any frame beyond the cap, so the buffer stays below twice the
    /// cap or at its first size.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end > self.buffer.len() / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }
}

/// The varint at the front of `bytes` and how many bytes it takes; `None` when it is not complete.
fn read_varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, FrameError> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        let low_bits = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if low_bits << shift >> shift != low_bits {
            return Err(FrameError::BadLength);
        }
        value |= low_bits << shift;
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < MAX_VARINT_BYTES {
        Ok(None)
    } else {
        Err(FrameError::BadLength)
    }
}

/// Gathers replies and writes them together.
#[derive(Debug)]
pub struct FrameWriter<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: Write> FrameWriter<S> {
    /// A writer with nothing gathered.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(FIRST_BUFFER_BYTES) }
    }

    /// Gathers a reply; writes all of them when there are many.
    ///
    /// # Errors
    /// `ReplyTooLarge` for a reply that CometBFT would not read; `Io`.
    pub fn push(&mut self, response: &Response) -> Result<(), FrameError> {
        let bytes = response.encoded_len();
        if bytes > MAX_REPLY_BYTES {
            return Err(FrameError::ReplyTooLarge { bytes });
        }
        self.buffer.reserve(bytes + MAX_VARINT_BYTES);
        prost::encoding::encode_varint(bytes as u64, &mut self.buffer);
        response.encode_raw(&mut self.buffer);
        if self.buffer.len() >= WRITE_AT_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes all that is gathered, in one call where the socket takes it.
    ///
    /// # Errors
    /// `Io`.
    pub fn flush(&mut self) -> Result<(), FrameError> {
        self.stream.write_all(&self.buffer)?;
        self.buffer.clear();
        self.buffer.shrink_to(WRITE_AT_BYTES);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tendermint_proto::v0_38::abci::RequestEcho;

    use super::*;

    /// A stream that gives its bytes in pieces of the sizes told, in turn.
    struct Pieces<'a> {
        bytes: &'a [u8],
        sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.sizes.next().copied().unwrap_or(1).min(buffer.len());
            self.bytes.read(&mut buffer[..size])
        }
    }

    fn echo(message: String) -> Request {
        Request { value: Some(Value::Echo(RequestEcho { message })) }
    }

    fn frames(requests: &[Request]) -> Vec<u8> {
        requests.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
    }

    proptest::proptest! {
        #[test]
        fn requests_come_out_as_they_went_in_however_the_stream_is_cut(
            lengths in proptest::collection::vec(0_usize..200_000, 1..6),
            sizes in proptest::collection::vec(1_usize..70_000, 1..5),
        ) {
            let requests: Vec<_> = lengths.iter().map(|&length| echo("x".repeat(length))).collect();
            let bytes = frames(&requests);
            let pieces = Pieces { bytes: &bytes, sizes: sizes.iter().cycle() };
            let mut reader = FrameReader::new(pieces, 1 << 20);
            for request in requests {
                proptest::prop_assert_eq!(reader.next_request().unwrap(), request.value);
            }
            proptest::prop_assert_eq!(reader.next_request().unwrap(), None);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        ) {
            // The first byte is the length of a frame that is there, so that its decoder is
            // reached.
            let framed = [&[bytes.len().min(100) as u8][..], &bytes].concat();
            let mut reader = FrameReader::new(&framed[..], 100);
            while let Ok(Some(_)) = reader.next_request() {}
        }

        #[test]
        fn a_varint_reads_back(value: u64) {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(value, &mut bytes);
            for cut in 0..bytes.len() {
                proptest::prop_assert!(read_varint(&bytes[..cut]).unwrap().is_none());
            }
            proptest::prop_assert_eq!(read_varint(&bytes).unwrap(), Some((value, bytes.len())));
        }
    }

    #[test]
    fn a_frame_at_the_cap_is_read_and_one_byte_more_is_refused_before_its_bytes_come() {
        let request = echo("x".repeat(100));
        let bytes = frames(std::slice::from_ref(&request));
        let length = request.encoded_len();
        assert_eq!(FrameReader::new(&bytes[..], length).next_request().unwrap(), request.value);
        let refusal = FrameReader::new(&bytes[..2], length - 1).next_request().unwrap_err();
        assert!(matches!(refusal, FrameError::TooLarge { .. }), "{refusal}");
    }

    #[test]
    fn the_buffer_grows_with_the_bytes_that_come_and_stays_below_twice_the_cap() {
        let max_frame_bytes = 1_000_000;
        let largest_after = |come: usize| {
            let mut bytes = vec![0; come];
            prost::encoding::encode_varint(max_frame_bytes as u64, &mut &mut bytes[..]);
            let mut reader = FrameReader::new(&bytes[..], max_frame_bytes);
            reader.next_request().unwrap_err();
            reader.buffer.len()
        };
        assert_eq!(largest_after(1000), FIRST_BUFFER_BYTES);
        let largest = largest_after(max_frame_bytes);
        assert!((max_frame_bytes..2 * max_frame_bytes).contains(&largest), "{largest}");
    }

    #[test]
    fn a_length_of_more_than_64_bits_is_refused() {
        for bytes in [[0xff; 11], [0x80; 11]] {
            let refusal = FrameReader::new(&bytes[..], 100).next_request().unwrap_err();
            assert!(matches!(refusal, FrameError::BadLength), "{refusal}");
        }
        let mut largest = [0xff; 10];
        largest[9] = 2;
        assert!(matches!(read_varint(&largest), Err(FrameError::BadLength)));
    }

    #[test]
    fn a_frame_without_a_request_is_refused() {
        for bytes in [&[0][..], &[3, 0xfa, 0x3e, 0][..]] {
            let refusal = FrameReader::new(bytes, 100).next_request().unwrap_err();
            assert!(matches!(refusal, FrameError::Empty { .. }), "{refusal}");
        }
    }

    #[test]
    fn a_reply_beyond_a_hundred_mebibytes_is_written() {
        use tendermint_proto::v0_38::abci::{response, ResponseQuery};
        let value = ResponseQuery { value: vec![1; 110 << 20].into(), ..Default::default() };
        let response = Response { value: Some(response::Value::Query(value)) };
        let mut written = Vec::new();
        FrameWriter::new(&mut written).push(&response).unwrap();
        let length = response.encoded_len();
        assert_eq!(read_varint(&written).unwrap().map(|(bytes, _)| bytes), Some(length as u64));
        assert!(written.len() > length && length > 110 << 20);
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_says_so() {
        let bytes = frames(&[echo("hello".into())]);
        for cut in 1..bytes.len() {
            let refusal = FrameReader::new(&bytes[..cut], 100).next_request().unwrap_err();
            assert!(
                matches!(refusal, FrameError::Truncated { bytes } if bytes == cut),
                "{refusal}"
            );
        }
    }
}
