//! A stream on its way through the blocks.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::unfold;
use prost::Message;
use tidemark_market_data::history::Block;
use tidemark_market_data::Reader;
use tidemark_proto::Code;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::Status;

use super::budget::Share;
use super::status::refuse;

pub(super) type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Messages before the first block, made one at a time.
pub(super) type First<T> = Box<dyn Iterator<Item = T> + Send>;

/// How often, and between whiles how long, a stream waits for room in the budget of all streams.
const ROOM_TRIES: u32 = 50;
const ROOM_EVERY: Duration = Duration::from_millis(100);

/// A stream: messages that come first, then what `select` finds in each block.
pub(super) struct Walk<T, F, S> {
    pub first: First<T>,
    pub reader: Reader,
    pub stopped: watch::Receiver<bool>,
    pub select: F,
    /// Its part of the budget of all streams.
    pub share: Share,
    /// Counts it while it lives.
    pub _seat: S,
}

struct State<T, F, S> {
    walk: Walk<T, F, S>,
    /// Messages of the last block that were not read yet.
    pending: VecDeque<T>,
    ended: bool,
}

/// The stream of a walk.
pub(super) fn stream<T, F, S>(walk: Walk<T, F, S>) -> BoxStream<T>
where
    T: Message + 'static,
    F: Fn(&Block, &mut VecDeque<T>) + Send + 'static,
    S: Send + 'static,
{
    Box::pin(unfold(State { walk, pending: VecDeque::new(), ended: false }, next))
}

/// The next message, or the sentence with which the stream ends.
async fn next<T, F, S>(mut state: State<T, F, S>) -> Option<(Result<T, Status>, State<T, F, S>)>
where
    T: Message,
    F: Fn(&Block, &mut VecDeque<T>),
{
    if state.ended {
        return None;
    }
    state.walk.share.read();
    let message = message(&mut state).await;
    state.ended = message.is_err();
    Some((message, state))
}

async fn message<T, F, S>(state: &mut State<T, F, S>) -> Result<T, Status>
where
    T: Message,
    F: Fn(&Block, &mut VecDeque<T>),
{
    let walk = &mut state.walk;
    loop {
        if let Some(message) = state.pending.pop_front() {
            return Ok(message);
        }
        if let Some(message) = walk.first.next() {
            make_room(&walk.share, message.encoded_len()).await?;
            return Ok(message);
        }
        // What it held has been read.
        let _ = walk.share.hold(0);
        let block = tokio::select! {
            block = walk.reader.next() => block,
            _ = walk.stopped.wait_for(|stopped| *stopped) => Ok(None),
        };
        match block {
            Ok(Some(block)) => {
                (walk.select)(&block, &mut state.pending);
                let bytes = state.pending.iter().map(Message::encoded_len).sum();
                drop(block);
                if bytes > 0 {
                    make_room(&walk.share, bytes).await?;
                }
            }
            Ok(None) => return Err(Status::unavailable("the node stops")),
            Err(too_old) => {
                let message = format!(
                    "this stream was read too slowly: its next block is gone, the oldest kept is \
                     {}",
                    too_old.oldest
                );
                return Err(refuse(Code::Overloaded, message));
            }
        }
    }
}

/// Waits for room in the budget of all streams; those that nobody reads from give way.
async fn make_room(share: &Share, bytes: usize) -> Result<(), Status> {
    for _ in 0..ROOM_TRIES {
        if share.hold(bytes) {
            return Ok(());
        }
        tokio::time::sleep(ROOM_EVERY).await;
        share.read();
    }
    let message = format!(
        "the node's streams together hold as much for slow readers as they may; {bytes} bytes of \
         this one have no room"
    );
    Err(refuse(Code::Overloaded, message))
}
