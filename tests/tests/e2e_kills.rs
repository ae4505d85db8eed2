//! Orders that a node accepted survive the node's death.

use tidemark_tests::kills;
use tidemark_tests::net::progress;

/// A kill of both programs, one of `tidemarkd` alone, and one of CometBFT alone; `just kills`
/// makes hundreds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_carried_out_once_after_kills() {
    let outcome = kills::run(3, 7).await.unwrap();
    progress(&format!("{outcome:?}"));
    assert!(outcome.holds(), "{outcome:?}");
    assert!(outcome.once > 20, "{outcome:?}");
}
