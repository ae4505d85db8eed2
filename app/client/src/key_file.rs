//! Secret keys in files that only their owner reads, encrypted with a passphrase unless the owner
//! says otherwise.

mod agent;
mod error;
mod format;
mod key;
mod passphrase;
mod sealed;
mod words;

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use agent::{AgentFile, AgentKeyPair};
pub use error::KeyError;
pub use key::{Key, Protection};
pub use passphrase::{Passphrase, PassphraseSource};
pub use words::{new_words, read_words};

use format::{about, Format};
use sealed::Sealed;

/// A larger file is no key: one with the longest name has less than a kilobyte.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// A key's file as it was read. Who only needs the address needs no passphrase.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    name: String,
    address: String,
    content: Content,
}

enum Content {
    Plain(Key),
    Sealed(Sealed),
}

impl KeyFile {
    /// Reads a key's file.
    ///
    /// # Errors
    /// [`KeyError`]; a file that others may read is refused.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = read_private(path, MAX_FILE_BYTES)?;
        let malformed = |why: String| KeyError::Malformed { path: path.to_owned(), why };
        let format = Format::read(&text).map_err(malformed)?;
        let (name, address) = format.names();
        let (name, address) = (name.to_owned(), address.to_owned());
        let content = match format {
            Format::Plain(plain) => {
                let key = plain.key().map_err(malformed)?;
                Content::Plain(same_address(key, &address).map_err(malformed)?)
            }
            Format::Sealed(sealed) => {
                Content::Sealed(Sealed::read(&sealed.kdf, &sealed.cipher).map_err(malformed)?)
            }
        };
        Ok(Self { path: path.to_owned(), name, address, content })
    }

    /// The owner's name for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bech32 address. Of an encrypted file it is what the file says until it is opened.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// True if a passphrase opens it.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.content, Content::Sealed(_))
    }

    /// The key in it. `source` is asked for the passphrase of an encrypted file, once.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`], what `source` says, and [`KeyError::NotEncrypted`] for a file
    /// without a passphrase where one is insisted on.
    pub fn open(self, source: &PassphraseSource) -> Result<Key, KeyError> {
        let sealed = match self.content {
            Content::Plain(_) if source.insists() => {
                return Err(KeyError::NotEncrypted { path: self.path, option: source.option() });
            }
            Content::Plain(key) => return Ok(key),
            Content::Sealed(sealed) => sealed,
        };
        let passphrase = source.existing(&self.name)?;
        let Some(secret) = sealed.open(&passphrase, &about(&self.name, &self.address)) else {
            return Err(KeyError::WrongPassphrase { path: self.path });
        };
        Key::from_secret(&self.name, secret.as_ref())
            .map_err(|error| error.to_string())
            .and_then(|key| same_address(key, &self.address))
            .map_err(|why| KeyError::Malformed { path: self.path, why })
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Sealed(_) => "Sealed",
        })
    }
}

/// People send money to the address that they read, so it has to be the key's.
fn same_address(key: Key, address: &str) -> Result<Key, String> {
    if key.address == address {
        return Ok(key);
    }
    Err(format!("it says address {address:?}, but its secret is that of {}", key.address))
}

/// The text of a file that only its owner may read, up to a length.
fn read_private(path: &Path, max_bytes: u64) -> Result<Zeroizing<String>, KeyError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { path: path.to_owned() },
        _ => KeyError::Io { doing: "read", path: path.to_owned(), source },
    };
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned() });
    }
    let malformed = |why: String| KeyError::Malformed { path: path.to_owned(), why };
    if metadata.len() > max_bytes {
        return Err(malformed(format!("it has {} bytes, at most {max_bytes}", metadata.len())));
    }
    // All at once, so that no part of it stays behind in memory when the buffer grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(max_bytes).unwrap_or(0)));
    file.take(max_bytes).read_to_end(&mut bytes).map_err(failed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed("it is no text".into()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests;
