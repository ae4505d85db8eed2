//! Books order by order for streams that begin: one immutable copy of a market's book for all that
//! begin within some blocks, handed on page by page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prost::Message as _;
use tidemark_market_data::{MarketData, Reader};
use tidemark_proto::units::MarketId;
use tidemark_proto::{v1, Code};
use tonic::Status;

use super::budget::{Budget, Share};
use super::status::refuse;
use super::walk::First;

/// For so many blocks a copy serves streams that begin: they hear of the blocks since.
const SERVES_BLOCKS: u64 = 20;

/// A market's book at one height.
#[derive(Debug)]
struct SharedBook {
    height: u64,
    pages: Vec<v1::OrderBookUpdate>,
    /// It counts once, however many read it.
    _share: Share,
}

/// The copies that somebody reads.
#[derive(Debug)]
pub(super) struct SharedBooks {
    budget: Arc<Budget>,
    books: Mutex<BTreeMap<MarketId, Weak<SharedBook>>>,
}

impl SharedBooks {
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, books: Mutex::default() }
    }

    /// Pages of a market's book, and a reader of the blocks after it.
    ///
    /// # Errors
    /// `OVERLOADED` where the budget of all streams has no room for a copy.
    pub fn begin(
        &self,
        market_data: &Arc<MarketData>,
        market: MarketId,
    ) -> Result<(First<v1::OrderBookUpdate>, Reader), Status> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let known = books.get(&market).and_then(Weak::upgrade).and_then(|book| {
            let is_new = market_data.held().newest <= book.height.saturating_add(SERVES_BLOCKS);
            let reader = market_data.reader_since(book.height.saturating_add(1)).ok();
            reader.filter(|_| is_new).map(|reader| (book, reader))
        });
        let (book, reader) = match known {
            Some(known) => known,
            None => {
                let (pages, reader) = market_data.order_book_and_reader(market);
                let book = Arc::new(self.copy(pages)?);
                books.insert(market, Arc::downgrade(&book));
                (book, reader)
            }
        };
        let pages = 0..book.pages.len();
        Ok((Box::new(pages.filter_map(move |page| book.pages.get(page).cloned())), reader))
    }

    fn copy(&self, pages: Vec<v1::OrderBookUpdate>) -> Result<SharedBook, Status> {
        let share = self.budget.share(None);
        let bytes = pages.iter().map(|page| page.encoded_len()).sum();
        if !share.hold(bytes) {
            let message = format!(
                "the node's streams together hold as much for slow readers as they may; the \
                 {bytes} bytes of this book have no room"
            );
            return Err(refuse(Code::Overloaded, message));
        }
        let height = pages.first().map_or(0, |page| page.height);
        Ok(SharedBook { height, pages, _share: share })
    }
}
