//! The programs beside the node, each in a pinned version: found in the node's tool folder, or
//! installed there with the Go client.

use std::{
    fs, io,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{flock, FlockOperation};

/// How often progress is told while nothing else happens.
const PROGRESS_EVERY: Duration = Duration::from_secs(4);

/// A program and the one version of it that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The name for people, e.g. `CometBFT`.
    pub title: &'static str,
    /// The file's name, e.g. `cometbft`.
    pub binary: &'static str,
    /// The Go package that builds it.
    pub package: &'static str,
    /// The version, as Go writes it, e.g. `v0.38.26`.
    pub version: &'static str,
    /// Build tags, e.g. such as leave parts out; empty for none.
    pub tags: &'static str,
    /// The arguments that make it print its version and end.
    pub version_arguments: &'static [&'static str],
    /// The first line that it must then print; `None` for a program that `go install` leaves
    /// without a version.
    pub version_line: Option<&'static str>,
}

/// The call tool for gRPC, used in end-to-end tests and in the client guide.
pub const GRPCURL: Tool = Tool {
    title: "grpcurl",
    binary: "grpcurl",
    package: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
    version: "v1.9.3",
    tags: "",
    version_arguments: &["-version"],
    version_line: None,
};

/// The check of Prometheus' rules and configuration, for `just alerts`. It builds without service
/// discovery, which the configuration does not use; that takes minutes all the same.
pub const PROMTOOL: Tool = Tool {
    title: "promtool",
    binary: "promtool",
    package: "github.com/prometheus/prometheus/cmd/promtool",
    // The first version that `go install` takes: those before replace modules.
    version: "v0.316.0",
    tags: "remove_all_sd",
    version_arguments: &["--version"],
    version_line: None,
};

/// Why a tool is not there.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Neither of the variables that say where tools go is set.
    #[error("no folder for tools is known: set TIDEMARK_TOOLS, or HOME")]
    NoFolder,
    /// There is no Go to install it with.
    #[error(
        "{title} {version} is not at {}, and there is no `go` command to install it with: install \
         Go 1.22 or newer from https://go.dev/dl and put it in PATH, or put a {binary} \
         {version} there yourself",
        path.display()
    )]
    NoGo {
        /// The tool's title.
        title: &'static str,
        /// Its file name.
        binary: &'static str,
        /// Its version.
        version: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The Go client failed.
    #[error("`go install {target}` failed ({status}); its last words: {last_line}")]
    InstallFailed {
        /// The package and version to install.
        target: String,
        /// How it ended.
        status: String,
        /// The last line that it wrote.
        last_line: String,
    },
    /// The file does not run, or is another version.
    #[error("{} is not {title} {version}: {found}; remove it and start again", path.display())]
    WrongVersion {
        /// The file.
        path: PathBuf,
        /// The tool's title.
        title: &'static str,
        /// The version that it should have.
        version: &'static str,
        /// The node's sentence.
        found: String,
    },
    /// The operating system refuses.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The attempt, as an infinitive.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToolError {
    let path = path.to_owned();
    move |source| ToolError::Io { doing, path, source }
}

/// Where tools go: `$TIDEMARK_TOOLS`, else `tidemark/tools` in the user's cache folder.
///
/// # Errors
/// `NoFolder`.
pub fn tools_folder() -> Result<PathBuf, ToolError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("TIDEMARK_TOOLS")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("tidemark/tools")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/tidemark/tools")))
        .ok_or(ToolError::NoFolder)
}

/// The path of `tool`, which is installed first where it is missing: about a minute, a line of
/// `progress` every few seconds. Processes that install at once wait for the first.
///
/// # Errors
/// Any [`ToolError`].
pub fn ensure_installed(tool: &Tool, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, ToolError> {
    ensure_installed_in(&tools_folder()?, tool, "go", progress)
}

fn ensure_installed_in(
    tools: &Path,
    tool: &Tool,
    go: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, ToolError> {
    let folder = tools.join(format!("{}-{}", tool.binary, tool.version));
    let path = folder.join(tool.binary);
    if !path.exists() {
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        let lock_path = folder.join("install.lock");
        let lock = fs::File::create(&lock_path).map_err(failed("create", &lock_path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            progress(&format!(
                "waiting for another process that is installing {} {}",
                tool.title, tool.version
            ));
            flock(&lock, FlockOperation::LockExclusive)
                .map_err(|e| failed("lock", &lock_path)(e.into()))?;
        }
        if !path.exists() {
            install(&folder, &path, tool, go, progress)?;
        }
        // Closing the file, also by dying, gives the lock back.
    }
    check_version(&path, tool)?;
    Ok(path)
}

/// Builds into a folder beside the tool's place and renames, so that a half-written file is never
/// in place.
fn install(
    folder: &Path,
    path: &Path,
    tool: &Tool,
    go: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<(), ToolError> {
    let building = folder.join("building");
    fs::create_dir_all(&building).map_err(failed("create", &building))?;
    let target = format!("{}@{}", tool.package, tool.version);
    let mut child = match Command::new(go)
        .args(["install", "-tags", tool.tags, &target])
        .env("GOBIN", &building)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Tool { title, binary, version, .. } = *tool;
            return Err(ToolError::NoGo { title, binary, version, path: path.to_owned() });
        }
        other => other.map_err(failed("run go for", path))?,
    };
    let what =
        format!("installing {} {} with go install (about a minute)", tool.title, tool.version);
    let last_line = child
        .stderr
        .take()
        .map(|stderr| tell_progress(stderr, &what, progress))
        .unwrap_or_default();
    let status = child.wait().map_err(failed("wait for go, for", path))?;
    if !status.success() {
        return Err(ToolError::InstallFailed { target, status: status.to_string(), last_line });
    }
    let built = building.join(tool.binary);
    fs::rename(&built, path).map_err(failed("move in place", &built))?;
    let _ = fs::remove_dir(&building);
    Ok(())
}

/// Tells what `go` writes, and the seconds when it writes nothing, until it closes its error
/// stream. Returns the last line.
fn tell_progress(
    stderr: impl io::Read + Send + 'static,
    what: &str,
    progress: &mut dyn FnMut(&str),
) -> String {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    let start = Instant::now();
    let mut last_line = String::new();
    progress(what);
    loop {
        match lines.recv_timeout(PROGRESS_EVERY) {
            Ok(line) => {
                progress(&line);
                last_line = line;
            }
            Err(RecvTimeoutError::Timeout) => {
                progress(&format!("{what} … {} s", start.elapsed().as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => return last_line,
        }
    }
}

fn check_version(path: &Path, tool: &Tool) -> Result<(), ToolError> {
    let wrong = |found: String| ToolError::WrongVersion {
        path: path.to_owned(),
        title: tool.title,
        version: tool.version,
        found,
    };
    let output = Command::new(path).args(tool.version_arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| wrong(format!("it does not run: {error}")))?;
    if !output.status.success() {
        return Err(wrong(format!("asked for its version, it ended with {}", output.status)));
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().next().unwrap_or_default().trim();
    match tool.version_line {
        Some(expected) if expected != line => Err(wrong(format!("it says '{line}'"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TOOL: Tool = Tool {
        title: "The Tool",
        binary: "tool",
        package: "example.org/tool",
        version: "v1.2.3",
        tags: "",
        version_arguments: &["version"],
        version_line: Some("1.2.3"),
    };

    /// A script in place of `go`, which writes a script in place of the tool.
    fn fake_go(folder: &Path, version: &str, ending: &str) -> String {
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {0}/calls\necho 'go: downloading' >&2\nsleep 0.2\nprintf \
             '#!/bin/sh\\necho {version}\\n' > $GOBIN/tool\nchmod +x $GOBIN/tool\n{ending}\n",
            folder.display()
        );
        write_script(&folder.join("go"), &script)
    }

    fn write_script(path: &Path, script: &str) -> String {
        fs::write(path, script).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_missing_tool_is_installed_once_even_by_many_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let go = fake_go(folder.path(), "1.2.3", "");
        let tools = folder.path().join("tools");
        let install = || {
            let mut told = Vec::new();
            let path =
                ensure_installed_in(&tools, &TOOL, &go, &mut |line| told.push(line.to_owned()))
                    .unwrap();
            assert_eq!(path, tools.join("tool-v1.2.3/tool"));
            told
        };
        let told: Vec<_> = thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(install)).collect();
            all.into_iter().flat_map(|one| one.join().unwrap()).collect()
        });
        assert!(told.iter().any(|line| line == "go: downloading"), "{told:?}");
        assert_eq!(install(), Vec::<String>::new());
        let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
        assert_eq!(calls, "install -tags  example.org/tool@v1.2.3\n");
    }

    #[test]
    fn a_failed_install_says_what_go_said_and_leaves_nothing_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let go = fake_go(folder.path(), "1.2.3", "echo 'no such module' >&2; exit 3");
        let error =
            ensure_installed_in(folder.path(), &TOOL, &go, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("no such module") && error.contains('3'), "{error}");
        assert!(!folder.path().join("tool-v1.2.3/tool").exists());
    }

    #[test]
    fn without_go_the_error_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let error = ensure_installed_in(folder.path(), &TOOL, "no-such-go", &mut |_| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains("https://go.dev/dl") && error.contains("v1.2.3"), "{error}");
    }

    #[test]
    fn another_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let go = fake_go(folder.path(), "1.2.4", "");
        let error =
            ensure_installed_in(folder.path(), &TOOL, &go, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("it says '1.2.4'"), "{error}");
    }
}
