//! Answers to orders say what exists.

mod agents;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use futures_util::future::join_all;
use tempfile::TempDir;
use tidemark_cli::Cli;
use tidemark_client::key_file::{Key, Protection};
use tidemark_client::Client;
use tidemark_proto::tx::TxOptions;
use tidemark_proto::units::Ticks;
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::{limit, place, secret, signer};
use tidemark_tests::net::traffic::{fund, mark};
use tidemark_tests::net::{progress, wait_for, Net, NetOptions};

const BTC: u32 = 0;

struct Alice {
    net: Net,
    client: Client,
    home: TempDir,
    /// Where her orders rest.
    price_ticks: u64,
    price: String,
}

impl Alice {
    async fn start() -> Self {
        let net = Net::start(NetOptions::validators(1)).await.unwrap();
        let client = net.client(0).await.unwrap();
        let mark = wait_for("a mark", || mark(&client)).await;
        fund(&client, &["alice".to_owned()], 100_000).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let key = Key::from_secret("alice", &secret("alice")).unwrap();
        key.save_new(&home.path().join("keys/alice.json"), Protection::Plain).unwrap();
        let price_ticks = mark * 97 / 100;
        let markets = client.markets().await.unwrap();
        let price = markets.find("BTC-USD").unwrap().0.price(Ticks::new(price_ticks)).to_string();
        Self { net, client, home, price_ticks, price }
    }

    /// Runs the command line; the exit code.
    async fn run(&self, words: &[&str]) -> u8 {
        let (node, home) = (self.net.grpc(0), self.home.path().to_str().unwrap().to_owned());
        let begin = ["tidemark", "--node", &node, "--home", &home];
        let code = tidemark_cli::run(Cli::parse_from(begin.iter().chain(words).copied())).await;
        // The type tells its number to nobody but the system.
        let is = |number: &u8| format!("{code:?}") == format!("{:?}", ExitCode::from(*number));
        (0..5).find(is).expect("a documented exit code")
    }

    /// The command line's `place`, always the same one.
    async fn place(&self, wait: &str) -> bool {
        self.run(&self.place_words(wait)).await == 0
    }

    fn place_words<'a>(&'a self, wait: &'a str) -> [&'a str; 11] {
        let order = ["place", "--market", "BTC-USD", "--side", "buy", "--size", "0.01", "--price"];
        let [a, b, c, d, e, f, g, h] = order;
        [a, b, c, d, e, f, g, h, &self.price, "--wait", wait]
    }

    async fn account(&self) -> v1::AccountResponse {
        self.client.account(&signer("alice").address().to_string(), None).await.unwrap()
    }

    async fn has_orders(&self, count: usize) {
        wait_for("all that was sent in a block", || async {
            let account = self.account().await;
            (account.next_sequence == account.sequence).then_some(())
        })
        .await;
        let owner = signer("alice").address().to_string();
        let orders = self.client.open_orders(&owner, 0, None).await.unwrap().orders;
        assert_eq!(orders.len(), count, "{orders:?}");
    }

    /// An order of so many lots.
    fn order(&self, genesis_hash: &[u8; 32], sequence: u64, lots: u64) -> Vec<u8> {
        let order = place(limit(BTC, v1::Side::Buy, self.price_ticks, lots));
        let operations = vec![v1::Operation { operation: Some(order) }];
        let message = v1::MsgOrders { operations, ..Default::default() };
        let signer = signer("alice").for_genesis(genesis_hash);
        signer.sign(message, TxOptions { sequence, ..TxOptions::default() }).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reported_of_orders_is_what_exists() {
    let alice = Alice::start().await;
    for _ in 0..6 {
        assert!(alice.place("accepted").await);
    }
    alice.has_orders(6).await;
    progress("six in a row");
    let done = join_all((0..8).map(|_| alice.place("committed"))).await;
    assert_eq!(done, [true; 8]);
    alice.has_orders(14).await;
    progress("eight at once");
    one_of_five_with_one_sequence_is_accepted(&alice).await;
    alice.has_orders(15).await;
}

async fn one_of_five_with_one_sequence_is_accepted(alice: &Alice) {
    let sequence = alice.account().await.next_sequence;
    let genesis_hash = alice.client.genesis_hash().await.unwrap();
    let send = |lots: u64| {
        let tx = alice.order(&genesis_hash, sequence, lots);
        alice.client.submit(tx, v1::WaitFor::Accepted, Duration::from_secs(10))
    };
    let answers = join_all((1..=5).map(send)).await;
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(accepted, 1, "{answers:?}");
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let code = refused.code();
        let expected = [Code::SequencePending, Code::SequenceReplayed];
        assert!(code.is_some_and(|code| expected.contains(&code)), "{refused}");
    }
}
