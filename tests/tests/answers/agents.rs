//! The command line trades by agents.

use std::fs;

use futures_util::future::join_all;
use tidemark_tests::harness::signer;
use tidemark_tests::net::progress;

use super::Alice;

impl Alice {
    async fn run_by(&self, agent: &str, words: &[&str]) -> u8 {
        self.run(&[&["--agent", agent], words].concat()).await
    }

    async fn live_orders(&self) -> usize {
        let owner = signer("alice").address().to_string();
        self.client.open_orders(&owner, 0, None).await.unwrap().orders.len()
    }

    async fn agents(&self) -> usize {
        let owner = signer("alice").address().to_string();
        self.client.agents(&owner).await.unwrap().agents.len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_trades_by_an_agent_without_the_owners_key() {
    let alice = Alice::start().await;
    let new = ["agent", "new", "--plain", "--name"];
    assert_eq!(alice.run(&[&new[..], &["bot"]].concat()).await, 0);
    assert_eq!(alice.run(&[&new[..], &["bot"]].concat()).await, 2, "a key is never written over");
    let cancels = ["brake", "--scope", "cancel", "--subaccounts", "0"];
    assert_eq!(alice.run(&[&new[..], &cancels].concat()).await, 0);
    assert_eq!(alice.agents().await, 2);
    let (key, away) = (alice.home.path().join("keys"), alice.home.path().join("away"));
    fs::rename(&key, &away).unwrap();

    let place = alice.place_words("committed");
    let done = join_all((0..6).map(|_| alice.run_by("bot", &place))).await;
    assert_eq!(done, [0; 6], "at once, with one key");
    assert_eq!(alice.live_orders().await, 6);
    progress("six orders by an agent");
    assert_eq!(alice.run_by("brake", &place).await, 1, "it may cancel only");
    assert_eq!(alice.run_by("bot", &["withdraw", "--amount", "1"]).await, 2);
    let keeps = ["set-aside", "--market", "BTC-USD", "--amount", "1000"];
    assert_eq!(alice.run_by("brake", &keeps).await, 1, "it may cancel only");
    assert_eq!(alice.run_by("bot", &keeps).await, 0);
    for words in [&["orders"][..], &["account"], &["agent", "list"]] {
        assert_eq!(alice.run_by("bot", words).await, 0, "{words:?}");
    }
    assert_eq!(alice.run_by("brake", &["cancel-all", "--market", "BTC-USD"]).await, 0);
    assert_eq!(alice.live_orders().await, 0);

    fs::rename(&away, &key).unwrap();
    assert_eq!(alice.run(&["agent", "revoke", "bot"]).await, 0);
    assert_eq!((alice.agents().await, alice.run_by("bot", &place).await), (1, 1));
    assert_eq!(alice.live_orders().await, 0);
    progress("what an agent may not is refused");
}
