//! How processes end: a panic ends the node, and the node's end, even by SIGKILL, ends CometBFT.
//! Each test starts this binary again, as the process that is to end.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tidemark_comet::cometbft::Comet;
use tidemark_node::abort_on_panic;

const FOLDER: &str = "TIDEMARK_TEST_FOLDER";
const SIGABRT: i32 = 6;

/// This binary, set to run one of the ignored tests below.
fn process(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", test]).env(FOLDER, folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_panic_in_any_thread_aborts_the_process() {
    let status = process("process_that_panics_in_a_thread", Path::new("")).status().unwrap();
    assert_eq!(status.signal(), Some(SIGABRT), "{status}");
}

#[test]
#[ignore = "run by a_panic_in_any_thread_aborts_the_process"]
fn process_that_panics_in_a_thread() {
    if std::env::var_os(FOLDER).is_some() {
        abort_on_panic();
        let _ = thread::spawn(|| panic!("as asked")).join();
    }
}

#[test]
fn cometbft_ends_when_the_node_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "#!/bin/sh\ntrap 'echo asked; exit 0' TERM\necho up\nwhile :; do sleep 0.05; done\n";
    let path = folder.path().join("cometbft");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let log = || fs::read_to_string(folder.path().join("cometbft.log")).unwrap_or_default();
    let mut node = process("process_that_runs_cometbft", folder.path()).spawn().unwrap();
    wait_until("the child's start", || log().contains("up"));
    node.kill().unwrap();
    assert_eq!(node.wait().unwrap().signal(), Some(9));
    wait_until("the child's end", || log().contains("asked"));
}

#[test]
fn a_node_that_starts_at_once_after_a_kill_ends_the_cometbft_that_was_left() {
    let folder = tempfile::tempdir().unwrap();
    // As CometBFT, it has a database that one process may open, and takes a while to close it.
    let script = "#!/bin/sh\nmkdir \"$(dirname \"$0\")/database\" || { echo locked; exit 1; }\n\
                  trap 'sleep 1; rmdir \"$(dirname \"$0\")/database\"; exit 0' TERM\n\
                  echo up\nwhile :; do sleep 0.05; done\n";
    let path = folder.path().join("cometbft");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let log = || fs::read_to_string(folder.path().join("cometbft.log")).unwrap_or_default();
    for starts in 1..=3 {
        let mut node = process("process_that_runs_cometbft", folder.path()).spawn().unwrap();
        wait_until("the child's start", || {
            assert!(!log().contains("locked"), "two at once: {}", log());
            log().matches("up").count() == starts && folder.path().join("cometbft.pid").exists()
        });
        node.kill().unwrap();
        node.wait().unwrap();
    }
    wait_until("the last one's end", || !folder.path().join("database").exists());
}

#[test]
#[ignore = "run by cometbft_ends_when_the_node_is_killed"]
fn process_that_runs_cometbft() {
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        let _comet =
            Comet::spawn(&folder.join("cometbft"), &folder, "unix:///nowhere/app.sock").unwrap();
        thread::sleep(Duration::from_secs(60));
    }
}
