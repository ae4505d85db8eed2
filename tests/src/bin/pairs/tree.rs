//! A work tree: how a benchmark is built and run in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::figures::{self, Figures};

/// A work tree and where it is built.
pub struct Tree {
    /// For people.
    pub name: String,
    path: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// The tree that this program belongs to.
    pub fn present() -> Result<Self, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no repository")?;
        Ok(Self { name: "this tree".into(), path: path.into(), target: path.join("target") })
    }

    /// A revision, checked out beside this tree's builds. Its own builds stay for the next time.
    pub fn check_out(&self, revision: &str) -> Result<Self, String> {
        let folder = self.target.join("pairs");
        let path = folder.join("tree");
        let git = || {
            let mut git = Command::new("git");
            git.current_dir(&self.path);
            git
        };
        if path.exists() {
            run(git().args(["worktree", "remove", "--force"]).arg(&path))?;
        }
        run(git().args(["worktree", "prune"]))?;
        run(git().args(["worktree", "add", "--detach"]).arg(&path).arg(revision))?;
        Ok(Self { name: revision.to_owned(), path, target: folder.join("target") })
    }

    /// Builds a benchmark; the book's without the other engines.
    pub fn build(&self, bench: &str) -> Result<(), String> {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.path).args(["build", "--release", "--locked"]);
        if bench == "matching" {
            cargo.args(["--no-default-features", "--manifest-path"]);
            cargo.arg("tests/bench-matching/Cargo.toml");
        } else {
            cargo.args(["-p", "tidemark-tests", "--bin"]).arg(format!("bench-{bench}"));
        }
        run(cargo.arg("--target-dir").arg(self.builds(bench))).map(|_| ())
    }

    /// The benchmark of the book is a package of its own, and built apart.
    fn builds(&self, bench: &str) -> PathBuf {
        if bench == "matching" {
            self.target.join("bench-matching")
        } else {
            self.target.clone()
        }
    }

    /// Runs a benchmark once.
    pub fn measure(&self, bench: &str, options: &[String]) -> Result<Figures, String> {
        let program = self.builds(bench).join("release").join(format!("bench-{bench}"));
        // The benchmark of the book writes into its own tree.
        let folder =
            if bench == "matching" { self.path.join("target") } else { self.target.clone() };
        let written = folder.join("bench").join(format!("{bench}.json"));
        let _ = std::fs::remove_file(&written);
        let mut command = Command::new(program);
        command.current_dir(&self.path).args(options);
        if bench == "matching" {
            if self.knows_own_rows() {
                command.args(["--own", "1"]);
            } else {
                // Without Java and Maven it leaves the engine out that is written in Java.
                command.env("PATH", "");
            }
        }
        let printed = run(&mut command)?;
        let json = std::fs::read_to_string(&written).ok();
        figures::read(json.as_deref(), &printed)
            .ok_or_else(|| format!("bench-{bench} of {} tells no throughput", self.name))
    }

    fn knows_own_rows(&self) -> bool {
        let options = self.path.join("tests/bench-matching/src/options.rs");
        std::fs::read_to_string(options).is_ok_and(|text| text.contains("\"--own\""))
    }
}

/// Runs a command; returns what it prints.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start {command:?}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", output.status))
}
