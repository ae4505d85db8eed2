//! A real node says how it is: `/ready` and gRPC health, its log, its end on a full disk, and its
//! start right after a kill.

use std::process::Command;

use serde_json::Value;
use tidemark_node::config::{NodeConfig, FILE_NAME};
use tidemark_tests::net::{of_tests, progress, wait_for, Net, NetOptions, Program};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A page of a node: its status line and its JSON.
async fn page(net: &Net, path: &str) -> Option<(String, Value)> {
    let address = NodeConfig::load(net.home(0)).unwrap().metrics_addr;
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), serde_json::from_str(body).ok()?))
}

fn check<'a>(page: &'a Value, name: &str) -> &'a Value {
    let mut checks = page["checks"].as_array().unwrap().iter();
    checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {page}"))
}

fn set_disk(net: &Net, warn_mib: u64, stop_mib: u64) {
    let mut config = NodeConfig::load(net.home(0)).unwrap();
    (config.disk.warn_mib, config.disk.stop_mib) = (warn_mib, stop_mib);
    std::fs::write(net.home(0).join("config").join(FILE_NAME), config.to_text()).unwrap();
}

async fn is_ready(net: &Net) {
    let what = "a node that is ready";
    let page = wait_for(what, || async {
        let (status, page) = page(net, "/ready").await?;
        status.contains("200").then_some(page)
    });
    progress(&page.await.to_string());
}

/// The answer of gRPC health, as `grpcurl` would show it.
async fn is_serving(net: &Net) -> bool {
    use tonic_health::pb::health_client::HealthClient;
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", net.grpc(0)));
    let Ok(channel) = channel.unwrap().connect().await else { return false };
    let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await;
    answer.is_ok_and(|answer| answer.into_inner().status == 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_tells_how_it_is_and_ends_before_its_disk_is_full() {
    let mut net = Net::start(NetOptions::validators(1)).await.unwrap();
    is_ready(&net).await;
    wait_for("gRPC health", || async { is_serving(&net).await.then_some(()) }).await;
    let (_, ready) = page(&net, "/ready").await.unwrap();
    for name in ["synced", "prices", "disk", "clock"] {
        assert_eq!(check(&ready, name)["ok"], true, "{ready}");
    }
    let (status, health) = page(&net, "/health").await.unwrap();
    assert!(status.contains("200") && check(&health, "market_data")["ok"] == true, "{health}");

    // A kill of the node alone, and a start before its CometBFT has ended.
    let node = net.running(0).into_iter().find(|it| it.program == Program::Node).unwrap();
    assert!(Command::new("kill").args(["-KILL", &node.id.to_string()]).status().unwrap().success());
    net.restart(0).unwrap();
    net.ready().await.unwrap();
    is_ready(&net).await;
    net.stop(0);
    assert!(!net.home(0).join("cometbft.pid").exists(), "nothing is left of an orderly end");

    // Bounds that no disk meets stand for one that fills up.
    let most_mib = u64::from(u32::MAX);
    set_disk(&net, most_mib, 0);
    net.restart(0).unwrap();
    net.ready().await.unwrap();
    let full = wait_for("the reason", || async {
        let (status, page) = page(&net, "/ready").await?;
        status.contains("503").then_some(page).filter(|page| check(page, "synced")["ok"] == true)
    });
    let full = full.await;
    let reason = check(&full, "disk")["reason"].as_str().unwrap();
    assert!(reason.contains("at least 4294967295"), "{reason}");
    assert!(!is_serving(&net).await);
    net.stop(0);
    set_disk(&net, most_mib, most_mib);
    let program = of_tests("tidemarkd").unwrap();
    let end = Command::new(program).args(["start", "--home"]).arg(net.home(0)).output().unwrap();
    let words = String::from_utf8_lossy(&end.stderr);
    assert_eq!(end.status.code(), Some(3), "{words}");
    assert!(words.contains("MiB are free on the home's disk"), "{words}");
}
