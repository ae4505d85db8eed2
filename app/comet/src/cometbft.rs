//! CometBFT: which version, and running it as a child that never outlives the node.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::watch;

use super::leftover;
use super::log_file::{last_words, rotate, ROTATE_BYTES};
use super::tools::Tool;

/// The version of CometBFT that the node is built and tested with. It is pinned here and nowhere
/// else.
pub const COMETBFT: Tool = Tool {
    title: "CometBFT",
    binary: "cometbft",
    package: "github.com/cometbft/cometbft/cmd/cometbft",
    version: "v0.38.26",
    tags: "",
    version_arguments: &["version"],
    version_line: Some("0.38.26"),
};

/// Runs a command until it ends or standard input closes, which the operating system does when the
/// node dies, however it dies. Then the command gets SIGTERM, and after five seconds SIGKILL. (The
/// kernel's own way, `PR_SET_PDEATHSIG`, needs unsafe code between fork and exec, and Linux.) The
/// file that the variable `GUARD_PID_FILE` names is told the command's process.
pub const GUARD: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- & node=$!
[ -z "$GUARD_PID_FILE" ] || echo $node >"$GUARD_PID_FILE"
(
    read -r _ <&3
    kill -TERM $node
    tenths=0
    while kill -0 $node && [ $tenths -lt 50 ]; do sleep 0.1; tenths=$((tenths + 1)); done
    kill -KILL $node
) 2>/dev/null & guard=$!
exec 3<&-
wait $node; code=$?
kill $guard 2>/dev/null
wait $guard 2>/dev/null
exit $code
"#;

/// How often the log's size is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A running CometBFT. Dropping it ends the process.
#[derive(Debug)]
pub struct Comet {
    /// Closing it makes the guard end CometBFT.
    lifeline: Option<ChildStdin>,
    waiter: Option<JoinHandle<()>>,
    ended: watch::Receiver<Option<String>>,
    log: PathBuf,
}

impl Comet {
    /// Starts `cometbft start` on `home`, against the application at `proxy_app`, e.g.
    /// `unix:///path/app.sock`. Its log is `cometbft.log` in the home, of at most 64 MiB beside the
    /// one before. One that a killed node has left on this home is ended first, which takes
    /// seconds.
    ///
    /// # Errors
    /// When the log cannot be written or the process not be started, or when another node runs on
    /// the home.
    pub fn spawn(binary: &Path, home: &Path, proxy_app: &str) -> io::Result<Self> {
        let log = home.join("cometbft.log");
        leftover::end(home)?;
        let log_file = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let begins_at = log_file.metadata()?.len();
        let mut child = Command::new("/bin/sh")
            .args(["-c", GUARD, "cometbft-guard"])
            .arg(binary)
            .arg("start")
            .arg("--home")
            .arg(home)
            // The address is the one that is listened on, also when the home was moved.
            .args(["--proxy_app", proxy_app])
            .env("GUARD_PID_FILE", leftover::from_guard(home))
            .stdin(Stdio::piped())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            // Ctrl-C in a terminal reaches the node only, which then ends CometBFT in order.
            .process_group(0)
            .spawn()?;
        let lifeline = child.stdin.take();
        let (tell, ended) = watch::channel(None);
        let record = leftover::record(binary, home);
        let (runs, has_ended) = mpsc::channel::<()>();
        let (log_of_keeper, log_of_waiter) = (log.clone(), log.clone());
        let keep = move || keep_short(&log_of_keeper, &has_ended);
        thread::Builder::new().name("cometbft-log".into()).spawn(keep)?;
        let waiter = thread::Builder::new().name("cometbft-wait".into()).spawn(move || {
            let status = child.wait();
            drop(runs);
            if let Some(record) = record {
                record.forget();
            }
            let _ = tell.send(Some(ending(status, &log_of_waiter, begins_at)));
        })?;
        Ok(Self { lifeline, waiter: Some(waiter), ended, log })
    }

    /// Where CometBFT logs.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// A watch of how it ended: `None` while it runs, then a sentence that names the log. The node
    /// must stop when CometBFT has stopped: the two restart together.
    #[must_use]
    pub fn ended(&self) -> watch::Receiver<Option<String>> {
        self.ended.clone()
    }

    /// Waits until CometBFT has ended and returns the sentence.
    pub async fn wait(&self) -> String {
        let mut ended = self.ended();
        let sentence =
            ended.wait_for(Option::is_some).await.ok().and_then(|sentence| sentence.clone());
        sentence.unwrap_or_else(|| {
            format!("CometBFT cannot be watched any more; its log is {}", self.log.display())
        })
    }

    /// Ends CometBFT: SIGTERM, then SIGKILL after five seconds. Returns when it is gone. Dropping
    /// does the same.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Comet {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
    }
}

fn ending(status: io::Result<ExitStatus>, log: &Path, begins_at: u64) -> String {
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let log_path = log.display();
    match last_words(log, begins_at) {
        Some(words) => {
            format!("CometBFT stopped ({status}), see {log_path}; its last words: {words}")
        }
        None => format!("CometBFT stopped ({status}), see {log_path}"),
    }
}

/// Keeps the log within its bound until its writer has ended.
fn keep_short(log: &Path, ended: &mpsc::Receiver<()>) {
    while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        if let Err(error) = rotate(log, ROTATE_BYTES) {
            tracing::debug!(%error, "CometBFT's log cannot be moved aside");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::PermissionsExt,
        time::{Duration, Instant},
    };

    use super::*;

    struct Fixture {
        folder: tempfile::TempDir,
        script: PathBuf,
    }

    impl Fixture {
        /// A script in place of CometBFT.
        fn new(script: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("cometbft");
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            Self { folder, script: path }
        }

        fn spawn(&self) -> Comet {
            Comet::spawn(&self.script, self.folder.path(), "unix:///nowhere/app.sock").unwrap()
        }

        fn wait_for_log(&self, text: &str) {
            let deadline = Instant::now() + Duration::from_secs(20);
            while !fs::read_to_string(self.folder.path().join("cometbft.log"))
                .unwrap()
                .contains(text)
            {
                assert!(Instant::now() < deadline, "'{text}' never came");
                thread::sleep(Duration::from_millis(10));
            }
        }

        /// Processes whose command line names the fixture's folder.
        fn processes(&self) -> Vec<String> {
            let folder = self.folder.path().to_str().unwrap().to_owned();
            let entries = fs::read_dir("/proc").unwrap().flatten();
            let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
            let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
            lines.filter(|line| line.contains(&folder)).collect()
        }
    }

    #[tokio::test]
    async fn when_it_dies_the_sentence_has_its_status_its_log_and_its_last_words() {
        let fixture = Fixture::new("echo starting; echo 'ERROR: no genesis'; echo usage; exit 7");
        let comet = fixture.spawn();
        let sentence = comet.wait().await;
        let log = comet.log().display().to_string();
        assert!(sentence.contains("exit status: 7") && sentence.contains(&log), "{sentence}");
        assert!(sentence.ends_with("ERROR: no genesis"), "{sentence}");
    }

    #[test]
    fn it_is_asked_to_end_and_is_gone_when_dropped() {
        let fixture =
            Fixture::new("trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done");
        let comet = fixture.spawn();
        fixture.wait_for_log("up");
        drop(comet);
        fixture.wait_for_log("asked");
        assert_eq!(fixture.processes(), Vec::<String>::new());
    }

    #[test]
    fn one_that_does_not_listen_is_killed_after_five_seconds() {
        let fixture = Fixture::new("trap '' TERM; echo up; while :; do sleep 0.05; done");
        let comet = fixture.spawn();
        fixture.wait_for_log("up");
        let start = Instant::now();
        comet.stop();
        assert!(start.elapsed() >= Duration::from_secs(5));
        assert_eq!(fixture.processes(), Vec::<String>::new());
    }

    #[test]
    fn it_is_started_on_the_home_and_the_address() {
        let fixture = Fixture::new("echo \"$@\"");
        let comet = fixture.spawn();
        let home = fixture.folder.path().display();
        fixture
            .wait_for_log(&format!("start --home {home} --proxy_app unix:///nowhere/app.sock\n"));
        drop(comet);
    }
}
