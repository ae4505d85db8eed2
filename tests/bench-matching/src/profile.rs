//! A check that our crates are built here as they are built for the chain. This package is a
//! workspace of its own, so Cargo does not ensure that.

/// Profile settings that affect a benchmark.
const SETTINGS: [&str; 5] = ["opt-level", "lto", "codegen-units", "panic", "overflow-checks"];
/// The crates whose speed is measured, this one included: code that is generic over the host is
/// compiled here.
const CRATES: [&str; 3] = ["tidemark-matching", "tidemark-proto", "bench-matching"];

/// Returns the value of a setting for a crate in the release profile of a manifest.
fn setting<'a>(manifest: &'a str, krate: &str, name: &str) -> Option<&'a str> {
    let within = |section: String| {
        let lines =
            manifest.lines().map(str::trim).skip_while(move |line| *line != section).skip(1);
        let mut pairs =
            lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    within(format!("[profile.release.package.{krate}]"))
        .or_else(|| within("[profile.release]".to_owned()))
}

/// Returns each setting in which this package's profile differs from the chain's.
pub fn differences() -> Vec<String> {
    let (ours, chain) = (include_str!("../Cargo.toml"), include_str!("../../../Cargo.toml"));
    let pairs = CRATES.iter().flat_map(|krate| SETTINGS.iter().map(move |name| (krate, name)));
    pairs
        .filter(|(krate, name)| setting(ours, krate, name) != setting(chain, krate, name))
        .map(|(krate, name)| {
            format!(
                "{krate} has {name} {:?} here, {:?} in the chain",
                setting(ours, krate, name),
                setting(chain, krate, name)
            )
        })
        .collect()
}
