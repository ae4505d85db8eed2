//! Why there is no key.

use std::io;
use std::path::PathBuf;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No file of that name.
    #[error("there is no file {}", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// A key of that name is there.
    #[error("{} is there already: choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a key.
    #[error("{} is not a key file: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// Others may read it.
    #[error(
        "{} can be read by others: `chmod 600` it, and use another key if others had it",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase does not open the file. Nobody can tell which of the two is at fault.
    #[error("wrong passphrase or damaged file: {}", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// A passphrase was named for a file that has none.
    #[error(
        "{} has no passphrase, but {option} names one: leave it out, or encrypt the key with \
         `tidemark keys passphrase`",
        path.display()
    )]
    NotEncrypted {
        /// The file.
        path: PathBuf,
        /// The option that names one.
        option: &'static str,
    },
    /// There is nobody to ask.
    #[error("there is no terminal to ask for the passphrase of {name}: {instead}")]
    NobodyToAsk {
        /// The key's name.
        name: String,
        /// The other sources.
        instead: String,
    },
    /// A passphrase that cannot be used.
    #[error("{from} {why}")]
    Passphrase {
        /// Where it comes from, as the subject of the sentence.
        from: String,
        /// The reason.
        why: String,
    },
    /// Words that are no mnemonic.
    #[error("these are not the words of a key: {0}")]
    Words(String),
    /// The system gives no randomness, or not the memory that a passphrase needs.
    #[error("cannot {doing}: {why}")]
    System {
        /// The attempt, as an infinitive.
        doing: &'static str,
        /// Why not.
        why: String,
    },
    /// The system refuses.
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
