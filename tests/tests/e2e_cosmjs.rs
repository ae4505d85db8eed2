//! CosmJS as it is trades on a real node: `clients/cosmjs`, where node and its modules are
//! installed.

use std::path::PathBuf;
use std::process::Command;

use tidemark_tests::harness::secret;
use tidemark_tests::net::traffic::fund;
use tidemark_tests::net::{progress, wait_for, Net, NetOptions};

/// The client, if it can run here.
fn cosmjs() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../clients/cosmjs");
    let node = Command::new("node").arg("--version").output();
    let missing = match node {
        Ok(output) if output.status.success() => {
            (!folder.join("node_modules").is_dir()).then_some("run `npm ci` in clients/cosmjs")
        }
        _ => Some("node is not installed"),
    };
    if let Some(why) = missing {
        progress(&format!("skipped: {why}"));
        return None;
    }
    Some(folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cosmjs_broadcasts_decodes_and_finds_carried_out_and_refused_orders() {
    let Some(folder) = cosmjs() else { return };
    let mut options = NetOptions::validators(1);
    options.tx_index = true;
    let net = Net::start(options).await.unwrap();
    let client = net.client(0).await.unwrap();
    fund(&client, &["cosmjs".to_owned()], 10_000).await.unwrap();
    let index_ticks = wait_for("an index", || async {
        let markets = client.markets().await.ok()?;
        markets.find("BTC-USD").ok().map(|(_, state)| state.index_ticks).filter(|index| *index > 0)
    })
    .await;
    let output = Command::new("node")
        .current_dir(folder)
        .args(["test.mjs", &format!("http://{}", net.comet_rpc(0))])
        .args([hex::encode(secret("cosmjs")), "0".into(), (index_ticks - 1_000).to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    progress(said.trim());
}
