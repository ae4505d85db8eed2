//! The node's program, and those that misbehave in its place, built by Cargo in the profile of the
//! running test or benchmark.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::progress;

/// Builds `tidemarkd` once a process and returns its path; the build takes a moment if nothing has
/// changed.
pub(super) fn tidemarkd() -> Result<PathBuf, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM.get_or_init(|| build("tidemarkd")).clone()
}

/// Builds a program of this crate and returns its path.
///
/// # Errors
/// A sentence when Cargo does not build it.
pub fn of_tests(name: &str) -> Result<PathBuf, String> {
    build(name)
}

fn build(name: &str) -> Result<PathBuf, String> {
    let folder = profile_folder()?;
    let target = folder.parent().ok_or_else(|| format!("{} has no parent", folder.display()))?;
    let profile = folder.file_name().and_then(|name| name.to_str()).unwrap_or("release");
    let profile = if profile == "debug" { "dev" } else { profile };
    progress(&format!("building {name} with Cargo, profile {profile}"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let status = Command::new(cargo)
        // With this crate beside it, dependencies have the features that they have in this program,
        // and are built once.
        .args(["build", "--quiet", "-p", "tidemark-bin", "-p", "tidemark-tests", "--bin", name])
        .args(["--profile", profile, "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    if !status.success() {
        return Err(format!("cargo build of {name} failed ({status})"));
    }
    Ok(folder.join(name))
}

/// The target folder of this build, e.g. `target`.
///
/// # Errors
/// A sentence when this program is not in one.
pub fn target_folder() -> Result<PathBuf, String> {
    let folder = profile_folder()?;
    folder.parent().map(Path::to_owned).ok_or_else(|| format!("{} has no parent", folder.display()))
}

/// Where this profile's programs are, e.g. `target/release`. Tests run from its `deps`.
fn profile_folder() -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let mut folder = this.parent().unwrap_or(Path::new("/"));
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    Ok(folder.to_owned())
}
