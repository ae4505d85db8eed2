//! `exchange-core` is Java: a program of its own (`exchange-core/` beside this crate) plays the
//! stream on its `OrderBookDirectImpl` and answers like the others. Maven fetches and builds it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::PlayResult;
use crate::process::json_of;

/// Name in the tables.
pub const NAME: &str = "exchange-core";

/// The built Java program.
pub struct JavaProgram {
    classes: PathBuf,
}

fn runs(program: &str) -> bool {
    let status =
        Command::new(program).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Builds the program into `folder`.
///
/// # Errors
/// The reason for skipping the engine, and the way to get it.
pub fn build(folder: &Path) -> Result<JavaProgram, String> {
    if !runs("java") || !runs("mvn") {
        return Err("needs Java 11 or newer and Maven: install `java` and `mvn`".to_owned());
    }
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("exchange-core/pom.xml");
    let output = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(pom)
        .arg(format!("-Dbuild.folder={}", folder.display()))
        .arg("package")
        .output()
        .map_err(|e| format!("cannot start mvn: {e}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        let why =
            text.lines().find(|line| line.contains("ERROR")).unwrap_or("no message").to_owned();
        return Err(format!("Maven could not build it; it needs Maven Central: {why}"));
    }
    Ok(JavaProgram { classes: folder.join("classes") })
}

impl JavaProgram {
    /// Plays a stream file: once for the cross-check, then until the compiler is warm, then `runs`
    /// times for the time.
    pub fn play(&self, stream: &Path, runs: usize) -> Result<PlayResult, String> {
        let libraries = self.classes.with_file_name("dependency").join("*");
        json_of(
            Command::new("java")
                .args(["-Xms4g", "-Xmx4g", "-XX:+UseParallelGC", "-XX:+AlwaysPreTouch", "-cp"])
                .arg(format!("{}:{}", self.classes.display(), libraries.display()))
                .arg("bench.Play")
                .arg(stream)
                .arg(runs.to_string()),
        )
    }
}
