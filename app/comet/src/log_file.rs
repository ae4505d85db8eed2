//! CometBFT's log: a bound on its size, and the words in it that name the cause of an end.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// A log beyond this many bytes is moved aside, in place of the one before: with what one second
/// writes, the two have at most twice as many.
pub(super) const ROTATE_BYTES: u64 = 64 * 1024 * 1024;

/// How much of a log's end is searched for the last words. A stack of all threads is shorter.
const LAST_WORDS_BYTES: u64 = 1024 * 1024;

/// A sentence beyond this many bytes is cut.
const SENTENCE_BYTES: usize = 500;

/// Moves a log of more than so many bytes aside. The file stays, since a process writes to its end:
/// it is copied, then emptied; a line that is written between the two is lost.
///
/// # Errors
/// The system's error; the log is as it was, or is moved aside already.
pub(super) fn rotate(log: &Path, above_bytes: u64) -> io::Result<()> {
    if fs::metadata(log)?.len() <= above_bytes {
        return Ok(());
    }
    let copy = beside(log, "1.new");
    fs::copy(log, &copy)?;
    fs::rename(&copy, beside(log, "1"))?;
    File::options().write(true).open(log)?.set_len(0)
}

/// The log's path with an ending.
fn beside(log: &Path, ending: &str) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    PathBuf::from(path)
}

/// The cause of an end that the log names, after its first `from` bytes: the panic, the failure of
/// consensus, or the error that the program ended with; else its last line.
pub(super) fn last_words(log: &Path, from: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    // A log that has been moved aside since begins anew.
    let from = if length < from { 0 } else { from };
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(LAST_WORDS_BYTES)))).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    cause(&String::from_utf8_lossy(&end))
}

fn cause(text: &str) -> Option<String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let begins = |line: &&str, words: &[&str]| words.iter().any(|word| line.starts_with(word));
    let line = lines()
        .find(|line| begins(line, &["panic:", "fatal error:"]))
        .or_else(|| lines().find(|line| line.contains("CONSENSUS FAILURE!!!")))
        .or_else(|| lines().rfind(|line| begins(line, &["ERROR", "Error:", "panic"])))
        .or_else(|| lines().rfind(|line| line.starts_with("E[")))
        .or_else(|| lines().next_back())?;
    // The stack is in the log.
    let sentence = line.split(" stack=").next().unwrap_or(line);
    let mut end = sentence.len().min(SENTENCE_BYTES);
    while !sentence.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    Some(sentence[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_is_moved_aside_while_its_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("cometbft.log");
        let mut writer = File::options().create(true).append(true).open(&log).unwrap();
        writer.write_all(&[b'a'; 100]).unwrap();
        rotate(&log, 100).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 100);
        for letter in [b'b', b'c'] {
            writer.write_all(&[letter; 101]).unwrap();
            rotate(&log, 100).unwrap();
        }
        writer.write_all(b"new").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"new");
        assert_eq!(fs::read(folder.path().join("cometbft.log.1")).unwrap(), [b'c'; 101]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "one is kept");
    }

    #[test]
    fn the_last_words_name_the_cause_and_not_a_line_of_the_stack() {
        let stack = "\ngoroutine 1 [running]:\nmain.main()\n\t/go/main.go:8 +0x1d\nexit status 2\n";
        let panicked = format!("I[1] up\npanic: state.AppHash does not match{stack}");
        let failed = format!(
            "E[1] CONSENSUS FAILURE!!! module=consensus err=\"wrong Block.Header.AppHash\" \
             stack=\"goroutine 9{stack}\"\nE[2] Error on stop\n"
        );
        let refused = "I[1] up\nERROR: no genesis\n\nUsage:\n  cometbft start [flags]\n";
        for (text, words) in [
            (panicked.as_str(), "panic: state.AppHash does not match"),
            (
                &failed,
                "E[1] CONSENSUS FAILURE!!! module=consensus err=\"wrong Block.Header.AppHash\"",
            ),
            (refused, "ERROR: no genesis"),
            ("E[1] cannot dial\nI[2] bye\n", "E[1] cannot dial"),
            ("I[1] up\nI[2] bye\n\n", "I[2] bye"),
        ] {
            assert_eq!(cause(text).as_deref(), Some(words));
        }
        assert_eq!(cause("\n"), None);
        assert_eq!(cause(&"ü".repeat(600)).unwrap().len(), SENTENCE_BYTES);
    }

    #[test]
    fn what_an_earlier_run_said_is_not_this_ones_word() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("cometbft.log");
        fs::write(&log, "panic: of yesterday\nI[1] bye\n").unwrap();
        assert_eq!(last_words(&log, 20).as_deref(), Some("I[1] bye"));
        assert_eq!(last_words(&log, 1_000).as_deref(), Some("panic: of yesterday"));
    }
}
