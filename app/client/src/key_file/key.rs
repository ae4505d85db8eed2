//! A key that is open: it signs.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bip39::Mnemonic;
use tidemark_proto::tx::Signer;
use zeroize::Zeroizing;

use super::format::Format;
use super::sealed::Cost;
use super::{KeyError, Passphrase};

/// A secret key, forgotten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The owner's name for it.
    pub name: String,
    /// Its bech32 address.
    pub address: String,
    secret: Zeroizing<[u8; 32]>,
}

/// How a file keeps a key from who gets the file.
#[derive(Clone, Copy, Debug)]
pub enum Protection<'a> {
    /// The secret is encrypted with a passphrase.
    Passphrase(&'a Passphrase),
    /// The secret stands in the file as it is: who reads the file has the key.
    Plain,
}

impl Key {
    /// The key of a mnemonic without a passphrase of its own, at the path that Cosmos wallets use.
    ///
    /// # Errors
    /// [`KeyError::Words`] when the words give no key.
    pub fn from_words(name: &str, words: &Mnemonic) -> Result<Self, KeyError> {
        let seed = Zeroizing::new(words.to_seed_normalized(""));
        let secret = Signer::secret_from_seed(seed.as_ref())
            .map_err(|refusal| KeyError::Words(refusal.message))?;
        Self::from_secret(name, Zeroizing::new(secret).as_ref())
    }

    /// The key of a secret of 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Words`] when it is not a secret of the curve.
    pub fn from_secret(name: &str, secret: &[u8]) -> Result<Self, KeyError> {
        let invalid = |refusal: tidemark_proto::Refusal| KeyError::Words(refusal.message);
        let signer = Signer::from_secret(secret, "").map_err(invalid)?;
        let mut copy = Zeroizing::new([0; 32]);
        // A signer takes no secret of another length.
        copy.copy_from_slice(secret);
        Ok(Self { name: name.to_owned(), address: signer.address().to_string(), secret: copy })
    }

    /// Signs for a chain.
    ///
    /// # Errors
    /// [`KeyError::Words`] when the secret is none.
    pub fn signer(&self, chain_id: &str) -> Result<Signer, KeyError> {
        Signer::from_secret(self.secret.as_ref(), chain_id)
            .map_err(|refusal| KeyError::Words(refusal.message))
    }

    /// Writes a new file that only its owner reads.
    ///
    /// # Errors
    /// [`KeyError::Exists`]: a key is never written over.
    pub fn save_new(&self, path: &Path, protection: Protection<'_>) -> Result<(), KeyError> {
        save_new(path, &self.to_text(protection, Cost::USUAL)?)
    }

    /// Writes the file of this key anew. Whatever happens, one of the two is there whole.
    ///
    /// # Errors
    /// [`KeyError::Io`].
    pub fn replace(&self, path: &Path, protection: Protection<'_>) -> Result<(), KeyError> {
        let text = self.to_text(protection, Cost::USUAL)?;
        let beside = beside(path);
        let failed = |source| KeyError::Io { doing: "write", path: path.to_owned(), source };
        let replaced = write_new(&beside, &text).and_then(|()| fs::rename(&beside, path));
        if replaced.is_err() {
            // What was begun is of no use; the first error is the one to tell.
            let _ = fs::remove_file(&beside);
        }
        replaced.and_then(|()| sync_folder(path)).map_err(failed)
    }

    /// The text of its file.
    pub(super) fn to_text(
        &self,
        protection: Protection<'_>,
        cost: Cost,
    ) -> Result<Zeroizing<String>, KeyError> {
        let format = match protection {
            Protection::Plain => Format::plain(self, &self.secret),
            Protection::Passphrase(passphrase) => {
                Format::sealed(self, &self.secret, passphrase, cost)?
            }
        };
        Ok(format.to_text())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({} {})", self.name, self.address)
    }
}

/// Where a file is written before it takes another's place. One name for each process, so that two
/// at once do not write into one file.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    name.into()
}

/// Writes a new file that only its owner reads, in a folder that may be new.
pub(super) fn save_new(path: &Path, text: &str) -> Result<(), KeyError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => KeyError::Io { doing: "write", path: path.to_owned(), source },
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    write_new(path, text).map_err(failed)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    sync_folder(path)
}

/// A new name is on the disk once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
