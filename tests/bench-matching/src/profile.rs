//! That our crates are built here as they are for the chain: this package is a workspace of its
//! own, so Cargo does not see to it.

/// What a profile may say that a benchmark can tell.
const SETTINGS: [&str; 5] = ["opt-level", "lto", "codegen-units", "panic", "overflow-checks"];
/// The crates whose speed is measured; this one, as what is generic over the host is compiled in
/// it.
const CRATES: [&str; 3] = ["tidemark-matching", "tidemark-proto", "bench-matching"];

/// The value of a setting for a crate in the release profile of a manifest.
fn setting<'a>(manifest: &'a str, of: &str, name: &str) -> Option<&'a str> {
    let within = |section: String| {
        let lines =
            manifest.lines().map(str::trim).skip_while(move |line| *line != section).skip(1);
        let mut pairs =
            lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    within(format!("[profile.release.package.{of}]"))
        .or_else(|| within("[profile.release]".to_owned()))
}

/// Each setting in which this package's profile is not the chain's.
pub fn differences() -> Vec<String> {
    let (ours, chain) = (include_str!("../Cargo.toml"), include_str!("../../../Cargo.toml"));
    let pairs = CRATES.iter().flat_map(|of| SETTINGS.iter().map(move |name| (of, name)));
    pairs
        .filter(|(of, name)| setting(ours, of, name) != setting(chain, of, name))
        .map(|(of, name)| {
            format!(
                "{of} has {name} {:?} here, {:?} in the chain",
                setting(ours, of, name),
                setting(chain, of, name)
            )
        })
        .collect()
}
