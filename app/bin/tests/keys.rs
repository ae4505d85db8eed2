//! Keys and their passphrases through the program itself: files, variables, and a real terminal.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::pty::{grantpt, openpt, ptsname, unlockpt, OpenptFlags};
use rustix::termios::{tcgetattr, LocalModes};
use tempfile::TempDir;

/// The program in a session of its own, so that the terminal of who runs the tests is not its own.
fn tidemark(home: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(env!("CARGO_BIN_EXE_tidemark")).args(words);
    command.env_clear().env("TIDEMARK_HOME", home.path()).stdin(Stdio::null());
    command
}

fn run(home: &TempDir, words: &[&str], variables: &[(&str, &str)]) -> Output {
    tidemark(home, words).envs(variables.iter().copied()).output().unwrap()
}

/// The standard output of a successful command.
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The sentence of a command that could not be carried out as it was typed.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn private_file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn secret_is_in_the_clear(home: &TempDir) -> bool {
    fs::read_to_string(home.path().join("keys/alice.json")).unwrap().contains("secret_hex")
}

#[test]
fn without_a_passphrase_a_flag_or_a_terminal_no_key_is_made() {
    let home = tempfile::tempdir().unwrap();
    let why = refused(&run(&home, &["keys", "add", "alice"], &[]));
    assert!(why.contains("no terminal to ask for the passphrase of alice"), "{why}");
    for instead in ["--passphrase-file", "TIDEMARK_PASSPHRASE", "--plain"] {
        assert!(why.contains(instead), "{why}");
    }
    assert!(!home.path().join("keys").exists());
    done(&run(&home, &["keys", "add", "alice", "--plain"], &[]));
    assert!(secret_is_in_the_clear(&home));
}

#[test]
fn a_passphrase_from_variables_and_files_opens_changes_and_goes() {
    let home = tempfile::tempdir().unwrap();
    let (old, new) = ("correct horse", "battery staple");
    done(&run(&home, &["keys", "new", "alice"], &[("TIDEMARK_PASSPHRASE", old)]));
    assert!(!secret_is_in_the_clear(&home));
    let list = done(&run(&home, &["keys", "list"], &[]));
    assert!(list.contains("yes"), "{list}");

    let (old_file, new_file) =
        (private_file(&home, "old", &format!("{old}\n")), private_file(&home, "new", new));
    let change = |old: &str| {
        let words = ["keys", "passphrase", "alice", "--new-passphrase-file", &new_file];
        run(&home, &[&words[..], &["--passphrase-file", old]].concat(), &[])
    };
    let why = refused(&change(&new_file));
    assert!(why.contains("wrong passphrase or damaged file"), "{why}");
    assert_eq!(done(&change(&old_file)), "alice has a new passphrase\n");

    let remove = ["keys", "passphrase", "alice", "--remove"];
    refused(&run(&home, &remove, &[("TIDEMARK_PASSPHRASE", old)]));
    done(&run(&home, &remove, &[("TIDEMARK_PASSPHRASE", new)]));
    assert!(secret_is_in_the_clear(&home));
    let why = refused(&run(&home, &[&remove[..], &["--passphrase-file", &new_file]].concat(), &[]));
    assert!(why.contains("has no passphrase, but --passphrase-file names one"), "{why}");
    // Of a key without a passphrase, only the new one is asked.
    let added = [("TIDEMARK_PASSPHRASE", "unused"), ("TIDEMARK_NEW_PASSPHRASE", old)];
    done(&run(&home, &["keys", "passphrase", "alice"], &added));
    assert!(!secret_is_in_the_clear(&home));
}

#[test]
fn a_short_new_passphrase_is_refused_and_nothing_is_written() {
    let home = tempfile::tempdir().unwrap();
    let short = [("TIDEMARK_PASSPHRASE", "short")];
    let why = refused(&run(&home, &["keys", "add", "alice"], &short));
    let expected = "TIDEMARK_PASSPHRASE has 5 characters, a new passphrase at least 8";
    assert!(why.contains(expected), "{why}");
    assert!(!home.path().join("keys").exists());
}

#[test]
fn a_passphrase_is_typed_twice_at_a_terminal_and_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let typed = [("New passphrase of alice: ", "correct horse"), ("again: ", "correct house")];
    let shown = at_a_terminal(&home, &["keys", "add", "alice"], &typed);
    assert!(shown.contains("was not typed the same way twice"), "{shown}");
    let typed = [("New passphrase of alice: ", "correct horse"), ("again: ", "correct horse")];
    let shown = at_a_terminal(&home, &["keys", "add", "alice"], &typed);
    assert!(shown.contains("Write down these 24 words") && !shown.contains("horse"), "{shown}");
    assert!(!secret_is_in_the_clear(&home));
    let typed = [("Passphrase of alice: ", "correct horse")];
    let shown = at_a_terminal(&home, &["keys", "passphrase", "alice", "--remove"], &typed);
    assert!(shown.contains("has no passphrase") && !shown.contains("horse"), "{shown}");
    assert!(secret_is_in_the_clear(&home));
}

/// Types each answer at a terminal when its prompt is there; returns all that the terminal showed.
fn at_a_terminal(home: &TempDir, words: &[&str], typed: &[(&str, &str)]) -> String {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap().into_string().unwrap();
    let terminal = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
    let terminal = terminal(Path::new(&name));
    let mut command = Command::new("setsid");
    command.args(["--wait", "--ctty"]).arg(env!("CARGO_BIN_EXE_tidemark")).args(words);
    command.env_clear().env("TIDEMARK_HOME", home.path());
    command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap());
    command.stderr(terminal);
    let mut child = command.spawn().unwrap();
    // The command holds the only other end: reading ends when the program does.
    drop(command);
    let (mut screen, mut shown) = (File::from(screen), String::new());
    for (prompt, answer) in typed {
        let seen = shown.len();
        while !shown[seen..].contains(prompt) {
            assert!(read(&mut screen, &mut shown), "no prompt {prompt:?} in {shown:?}");
        }
        // The prompt comes before the echo is switched off.
        while tcgetattr(&screen).unwrap().local_modes.contains(LocalModes::ECHO) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        writeln!(screen, "{answer}").unwrap();
    }
    while read(&mut screen, &mut shown) {}
    child.wait().unwrap();
    shown
}

/// Adds what the terminal shows next; `false` when nobody writes to it any more.
fn read(screen: &mut File, shown: &mut String) -> bool {
    let mut bytes = [0; 4096];
    let Ok(count) = screen.read(&mut bytes) else { return false };
    shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
    count > 0
}
