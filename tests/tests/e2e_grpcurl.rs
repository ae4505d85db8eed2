//! The node as a stranger meets it: by `grpcurl`, with nothing but reflection.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::{engine::general_purpose::STANDARD as BASE64, Engine as _};
use serde_json::{json, Value};
use tidemark_comet::tools::{ensure_installed, GRPCURL};
use tidemark_proto::tx::{Signer, TxOptions};
use tidemark_proto::{v1, Code};
use tidemark_tests::harness::{limit, place, signer, CHAIN_ID};
use tidemark_tests::net::traffic::fund;
use tidemark_tests::net::{progress, wait_for, Net, NetOptions};

struct Grpcurl {
    program: PathBuf,
    address: String,
}

impl Grpcurl {
    /// Standard output of a call that must succeed; otherwise what it said on standard error.
    fn run(&self, data: Option<&Value>, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command.arg("-plaintext");
        if let Some(data) = data {
            command.args(["-d", &data.to_string()]);
        }
        let output = command.arg(&self.address).args(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    fn call(&self, method: &str, data: &Value) -> Value {
        let answer =
            self.run(Some(data), &[method]).unwrap_or_else(|error| panic!("{method}: {error}"));
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{method}: {error} in {answer}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_lists_and_calls() {
    let program = ensure_installed(&GRPCURL, &mut progress).unwrap();
    let net = Net::start(NetOptions::validators(1)).await.unwrap();
    let client = net.client(0).await.unwrap();
    fund(&client, &["alice".to_owned()], 10_000).await.unwrap();
    let price = wait_for("an index", || async {
        let markets = client.markets().await.ok()?;
        markets.find("BTC-USD").ok().map(|(_, state)| state.index_ticks).filter(|index| *index > 0)
    })
    .await;
    let grpcurl = Grpcurl { program, address: net.grpc(0) };

    services_are_listed_and_described(&grpcurl);
    // A node looks at itself once a second.
    wait_for("SERVING", || async {
        let health = grpcurl.call("grpc.health.v1.Health/Check", &json!({}));
        (health == json!({ "status": "SERVING" })).then_some(())
    })
    .await;
    let status = grpcurl.call("tidemark.v1.QueryService/Status", &json!({}));
    assert_eq!(status["chainId"], CHAIN_ID);
    assert!(status["height"].as_str().is_some_and(|height| height != "0"), "{status}");

    let genesis_hash = BASE64.decode(status["genesisHash"].as_str().unwrap()).unwrap();
    let alice = signer("alice").for_genesis(&genesis_hash.try_into().unwrap());
    let number = alice.domain().account_number();
    let asked = json!({ "address": alice.address().to_string() });
    let answer = grpcurl.call("cosmos.auth.v1beta1.Query/Account", &asked);
    assert_eq!(answer["account"]["@type"], "/cosmos.auth.v1beta1.BaseAccount", "{answer}");
    assert_eq!(answer["account"]["address"], asked["address"], "{answer}");
    assert_eq!(answer["account"]["accountNumber"], number.to_string(), "{answer}");
    a_signed_batch_is_committed_with_a_code_an_operation(&grpcurl, &alice, price);
    a_stream_flows(&grpcurl);
}

fn services_are_listed_and_described(grpcurl: &Grpcurl) {
    let services = grpcurl.run(None, &["list"]).unwrap();
    for service in [
        "cosmos.auth.v1beta1.Query",
        "grpc.health.v1.Health",
        "tidemark.v1.OrderService",
        "tidemark.v1.QueryService",
        "tidemark.v1.StreamService",
    ] {
        assert!(services.lines().any(|line| line == service), "{service} is not in\n{services}");
    }
    let described = grpcurl.run(None, &["describe", "tidemark.v1.OrderService"]).unwrap();
    assert!(described.contains("rpc Submit ( .tidemark.v1.SubmitRequest )"), "{described}");
    let message = grpcurl.run(None, &["describe", ".tidemark.v1.PlaceOrder"]).unwrap();
    assert!(message.contains("uint64 price_ticks = 3;"), "{message}");
}

fn a_signed_batch_is_committed_with_a_code_an_operation(
    grpcurl: &Grpcurl,
    alice: &Signer,
    price_ticks: u64,
) {
    let operations = [
        place(limit(0, v1::Side::Buy, price_ticks - 1_000, 1)),
        place(limit(9, v1::Side::Buy, price_ticks - 1_000, 1)),
    ];
    let operations = operations.map(|operation| v1::Operation { operation: Some(operation) });
    let orders = v1::MsgOrders { operations: operations.into(), ..Default::default() };
    let tx = alice.sign(orders, TxOptions::default()).unwrap();
    let request = json!({ "tx": BASE64.encode(&tx), "wait_for": "WAIT_FOR_COMMITTED" });
    let committed = grpcurl.call("tidemark.v1.OrderService/Submit", &request);
    assert_eq!(committed["outcome"], "SUBMIT_OUTCOME_COMMITTED", "{committed}");
    let codes: Vec<u64> = committed["results"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|result| result["code"].as_u64().unwrap_or(0))
        .collect();
    assert_eq!(codes, [0, u64::from(Code::UnknownMarket.number())], "{committed}");
    // The same bytes again tell the same outcome.
    assert_eq!(grpcurl.call("tidemark.v1.OrderService/Submit", &request), committed);
    let refusal = grpcurl
        .run(Some(&json!({ "tx": "AAEC" })), &["tidemark.v1.OrderService/Submit"])
        .unwrap_err();
    assert!(refusal.contains("InvalidArgument") && refusal.contains("TX_MALFORMED: "), "{refusal}");
}

/// `-max-time` ends the stream, which never ends by itself.
fn a_stream_flows(grpcurl: &Grpcurl) {
    let words =
        ["-max-time", "3", "-plaintext", &grpcurl.address, "tidemark.v1.StreamService/Blocks"];
    let output = run(&grpcurl.program, &words);
    assert!(output.matches("\"appHash\"").count() > 1, "{output}");
}

fn run(program: &Path, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
