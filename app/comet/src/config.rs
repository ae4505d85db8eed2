//! CometBFT's `config.toml`: what Tidemark sets differently from CometBFT's defaults, each with its
//! reason.

use std::net::SocketAddr;

use toml_edit::{DocumentMut, Value};

/// One node's values.
#[derive(Clone, Debug)]
pub struct CometConfig {
    /// The application's address, e.g. `unix:///path/app.sock`.
    pub proxy_app: String,
    /// The node's name among peers.
    pub moniker: String,
    /// Where peers connect.
    pub p2p_listen: SocketAddr,
    /// Where JSON-RPC is served.
    pub rpc_listen: SocketAddr,
    /// Where CometBFT's metrics are served.
    pub metrics_listen: SocketAddr,
    /// Peers to hold connections to: `id@host:port,…`.
    pub persistent_peers: String,
    /// The pause after each block, in ms.
    pub timeout_commit_ms: u64,
    /// True if the node indexes transactions for `tx_search`.
    pub tx_index: bool,
    /// True if several nodes share a machine or a private network.
    pub devnet: bool,
}

/// One value: the section (empty for the top), the key, the value, and why.
struct Setting {
    section: &'static str,
    key: &'static str,
    value: Value,
    reason: &'static str,
}

fn setting(
    section: &'static str,
    key: &'static str,
    value: impl Into<Value>,
    reason: &'static str,
) -> Setting {
    Setting { section, key, value: value.into(), reason }
}

/// Sets the node's values in the text of a `config.toml` that `cometbft init` wrote.
///
/// # Errors
/// A sentence: the text is not TOML, or lacks a key, which means another version of CometBFT.
pub fn tune(text: &str, node: &CometConfig) -> Result<String, String> {
    let mut document: DocumentMut =
        text.parse().map_err(|error| format!("it is not TOML: {error}"))?;
    let values = [addresses(node), network(node), mempool(), consensus(node), storage(node)];
    for setting in values.into_iter().flatten() {
        set(&mut document, setting)?;
    }
    Ok(document.to_string())
}

fn set(document: &mut DocumentMut, setting: Setting) -> Result<(), String> {
    let Setting { section, key, value, reason } = setting;
    let table = if section.is_empty() {
        Some(document.as_table_mut())
    } else {
        document.get_mut(section).and_then(toml_edit::Item::as_table_mut)
    };
    let missing = || {
        format!("it has no '{key}' in section '[{section}]': is it of another version of CometBFT?")
    };
    let table = table.ok_or_else(missing)?;
    *table.get_mut(key).ok_or_else(missing)? = toml_edit::value(value);
    let mut entry = table.key_mut(key).ok_or_else(missing)?;
    let decor = entry.leaf_decor_mut();
    let before = decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    decor.set_prefix(format!("{before}# Tidemark: {reason}\n"));
    Ok(())
}

fn addresses(node: &CometConfig) -> Vec<Setting> {
    let p2p = format!("tcp://{}", node.p2p_listen);
    let rpc = format!("tcp://{}", node.rpc_listen);
    let metrics = node.metrics_listen.to_string();
    vec![
        setting(
            "",
            "proxy_app",
            node.proxy_app.as_str(),
            "a socket file: no port, no delayed acknowledgements, the same user only",
        ),
        setting("", "moniker", node.moniker.as_str(), "the name given to init"),
        setting(
            "",
            "log_level",
            "main:info,p2p:info,*:error",
            "at info, every block writes a dozen lines",
        ),
        setting("rpc", "laddr", rpc, "the address given to init"),
        setting("p2p", "laddr", p2p, "the address given to init"),
        setting(
            "p2p",
            "persistent_peers",
            node.persistent_peers.as_str(),
            "the other nodes given to init",
        ),
        setting("instrumentation", "prometheus", true, "rounds, peers and block times are watched"),
        setting("instrumentation", "prometheus_listen_addr", metrics, "the address given to init"),
    ]
}

fn network(node: &CometConfig) -> Vec<Setting> {
    let mut values = vec![
        setting(
            "p2p",
            "send_rate",
            104_857_600,
            "5 MB/s, the default, is less than the blocks of a busy second",
        ),
        setting("p2p", "recv_rate", 104_857_600, "as send_rate"),
        setting(
            "p2p",
            "flush_throttle_timeout",
            "5ms",
            "100 ms, the default, delays each step of consensus by up to that",
        ),
    ];
    if node.devnet {
        values.extend([
            setting("p2p", "allow_duplicate_ip", true, "a devnet's nodes share one address"),
            setting("p2p", "addr_book_strict", false, "a devnet's addresses are private"),
        ]);
    }
    values
}

fn mempool() -> Vec<Setting> {
    vec![
        setting(
            "mempool",
            "size",
            20_000,
            "5 000, the default, is about a second of load; each one costs a recheck",
        ),
        setting(
            "mempool",
            "max_tx_bytes",
            524_288,
            "what fits into max_body_bytes of RPC as base64; the chain's own limit is lower",
        ),
        setting(
            "mempool",
            "max_txs_bytes",
            268_435_456,
            "bounds the memory that waiting transactions can take",
        ),
        setting(
            "mempool",
            "cache_size",
            100_000,
            "must exceed size, so that a seen transaction is not checked again",
        ),
        setting(
            "mempool",
            "recheck",
            true,
            "proposals leave out what became invalid; without rechecks it would fill the mempool \
             for ever",
        ),
    ]
}

fn consensus(node: &CometConfig) -> Vec<Setting> {
    let timeout_commit = format!("{}ms", node.timeout_commit_ms);
    vec![
        setting(
            "consensus",
            "timeout_propose",
            "300ms",
            "how long a missing proposer holds up a block; with timeout_precommit one absent of \
             four costs at most half of the pace. Each further round waits for 500 ms more, so \
             that a full block comes in time",
        ),
        setting(
            "consensus",
            "timeout_prevote",
            "500ms",
            "how long late votes are waited for once two thirds are there",
        ),
        setting(
            "consensus",
            "timeout_precommit",
            "100ms",
            "the wait before the next round, also when all who are there want it; 500 ms more in \
             each further one",
        ),
        setting(
            "consensus",
            "timeout_commit",
            timeout_commit,
            "the pace of blocks, and the wait for the last votes and prices",
        ),
        setting(
            "consensus",
            "skip_timeout_commit",
            false,
            "an idle chain keeps its pace and does not fill the disk",
        ),
        setting(
            "consensus",
            "create_empty_blocks",
            true,
            "funding, prices and liquidations need the beat",
        ),
        setting(
            "consensus",
            "peer_gossip_sleep_duration",
            "5ms",
            "100 ms, the default, is most of a block's time",
        ),
    ]
}

fn storage(node: &CometConfig) -> Vec<Setting> {
    let (indexer, reason) = if node.tx_index {
        ("kv", "this node serves tx_search to CosmJS clients")
    } else {
        (
            "null",
            "a validator serves no tx_search, and indexing costs it writes for each transaction",
        )
    };
    vec![setting("tx_index", "indexer", indexer, reason)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> CometConfig {
        CometConfig {
            proxy_app: "unix:///home/n/app.sock".into(),
            moniker: "a \"name\"".into(),
            p2p_listen: ([127, 0, 0, 1], 26_656).into(),
            rpc_listen: ([127, 0, 0, 1], 26_657).into(),
            metrics_listen: ([127, 0, 0, 1], 26_661).into(),
            persistent_peers: "id@host:1,id@host:2".into(),
            timeout_commit_ms: 100,
            tx_index: false,
            devnet: true,
        }
    }

    /// A file with every key that is tuned, and one that is not.
    fn untuned() -> String {
        let mut sections = std::collections::BTreeMap::<&str, String>::new();
        let values =
            [addresses(&node()), network(&node()), mempool(), consensus(&node()), storage(&node())];
        for Setting { section, key, .. } in values.into_iter().flatten() {
            *sections.entry(section).or_default() += &format!("\n# About {key}.\n{key} = 0\n");
        }
        sections.entry("p2p").or_default().push_str("pex = true\n");
        let text = |(section, keys): (&str, String)| match section {
            "" => keys,
            section => format!("[{section}]\n{keys}"),
        };
        sections.into_iter().map(text).collect()
    }

    #[test]
    fn values_are_set_with_their_reasons_and_the_rest_stays() {
        let tuned = tune(&untuned(), &node()).unwrap();
        let reread: DocumentMut = tuned.parse().unwrap();
        assert_eq!(reread["moniker"].as_str(), Some("a \"name\""));
        assert_eq!(reread["proxy_app"].as_str(), Some("unix:///home/n/app.sock"));
        assert_eq!(reread["p2p"]["persistent_peers"].as_str(), Some("id@host:1,id@host:2"));
        assert_eq!(reread["p2p"]["pex"].as_bool(), Some(true));
        assert_eq!(reread["consensus"]["timeout_commit"].as_str(), Some("100ms"));
        assert_eq!(tuned.matches("= 0\n").count(), 0);
        assert!(tuned.contains("# About send_rate.\n# Tidemark: 5 MB/s"), "{tuned}");
    }

    #[test]
    fn a_file_of_another_version_is_refused_with_the_key_that_it_lacks() {
        let other = untuned().replace("send_rate = 0", "sending_rate = 0");
        let refusal = tune(&other, &node()).unwrap_err();
        assert!(refusal.contains("'send_rate'") && refusal.contains("[p2p]"), "{refusal}");
    }
}
