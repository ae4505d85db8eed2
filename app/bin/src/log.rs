//! Where the node's log goes and in which form.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::{Args, ValueEnum};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::EnvFilter;

/// A log file beyond this many bytes is renamed to `FILE.1`, in place of the one before.
const ROTATE_BYTES: u64 = 64 * 1024 * 1024;

/// The options of the log.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LogOptions {
    /// The form of the log's lines.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// Log to this file instead of standard error. Beyond 64 MiB it is renamed to FILE.1, in place
    /// of the one before.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// Begins to log what `RUST_LOG` lets through, else what the default does.
///
/// # Errors
/// A sentence when the file cannot be opened.
pub(crate) fn begin(options: &LogOptions, default_filter: &str) -> Result<(), String> {
    let Some(path) = &options.log_file else {
        let colours = io::stderr().is_terminal();
        begin_to(io::stderr, options.log_format, colours, default_filter);
        return Ok(());
    };
    let file = RotatingFile::open(path, ROTATE_BYTES)
        .map_err(|e| format!("cannot log to {}: {e}", path.display()))?;
    begin_to(Mutex::new(file), options.log_format, false, default_filter);
    Ok(())
}

fn begin_to<W>(writer: W, format: LogFormat, colours: bool, default_filter: &str)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| default_filter.into());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => log.with_ansi(colours).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// A file that is renamed when it has become long.
#[derive(Debug)]
struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    most_bytes: u64,
}

impl RotatingFile {
    fn open(path: &Path, most_bytes: u64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, most_bytes })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(".1");
        fs::rename(&self.path, aside)?;
        *self = Self::open(&self.path, self.most_bytes)?;
        Ok(())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let total = self.bytes.saturating_add(length);
        // Where it cannot be renamed, a log that is too long is better than none.
        if self.bytes > 0 && total > self.most_bytes && self.rotate().is_err() {
            self.bytes = 0;
        }
        let written = self.file.write(bytes)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_renamed_and_the_two_files_are_within_twice_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.log");
        for run in 0..3 {
            let mut log = RotatingFile::open(&path, 100).unwrap();
            for line in 0..20 {
                log.write_all(format!("run {run} line {line:02}\n").as_bytes()).unwrap();
                assert!(fs::metadata(&path).unwrap().len() <= 100);
            }
        }
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text("node.log").ends_with("run 2 line 19\n"));
        let last = text("node.log").lines().next().unwrap().to_owned();
        assert!(text("node.log.1").lines().all(|line| *line < *last), "no line is lost or doubled");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
