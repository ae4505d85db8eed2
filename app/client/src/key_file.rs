//! Secret keys in files that only their owner reads.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bip39::Mnemonic;
use serde::{Deserialize, Serialize};
use tidemark_proto::tx::Signer;

/// A key as its file holds it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The owner's name for it.
    pub name: String,
    /// Bech32 address, for people; the secret decides.
    pub address: String,
    /// Secret key of secp256k1, 32 bytes in hex.
    secret_hex: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No file of that name.
    #[error("there is no key file {}", path.display())]
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
    /// Words that are no mnemonic.
    #[error("these are not the words of a key: {0}")]
    Words(String),
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

/// Words to make a key from: 24 of BIP-39, from the system's randomness.
///
/// # Errors
/// [`KeyError::Words`] when the system gives no randomness.
pub fn new_words() -> Result<Mnemonic, KeyError> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|error| KeyError::Words(error.to_string()))?;
    Mnemonic::from_entropy(&entropy).map_err(|error| KeyError::Words(error.to_string()))
}

/// Reads words that a person kept: 12 to 24 of BIP-39, in any case and spacing.
///
/// # Errors
/// [`KeyError::Words`] saying which word is not one, or that the last does not fit the others.
pub fn read_words(text: &str) -> Result<Mnemonic, KeyError> {
    let words = text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
    Mnemonic::parse_normalized(&words.join(" ")).map_err(|error| {
        KeyError::Words(match error {
            bip39::Error::UnknownWord(index) => {
                format!("word {} ({:?}) is not in the BIP-39 list", index + 1, words[index])
            }
            bip39::Error::BadWordCount(count) => {
                format!("{count} words, must be 12, 15, 18, 21 or 24")
            }
            bip39::Error::InvalidChecksum => {
                "the last word does not fit the others: check each".to_owned()
            }
            other => other.to_string(),
        })
    })
}

impl KeyFile {
    /// The key of a mnemonic without a passphrase, at the path that Cosmos wallets use.
    ///
    /// # Errors
    /// [`KeyError::Words`] when the words give no key.
    pub fn from_words(name: &str, words: &Mnemonic) -> Result<Self, KeyError> {
        let secret = Signer::secret_from_seed(&words.to_seed_normalized(""))
            .map_err(|refusal| KeyError::Words(refusal.message))?;
        Self::from_secret(name, &secret)
    }

    /// The key of a secret of 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Words`] when it is not a secret of the curve.
    pub fn from_secret(name: &str, secret: &[u8]) -> Result<Self, KeyError> {
        let signer =
            Signer::from_secret(secret, "").map_err(|refusal| KeyError::Words(refusal.message))?;
        let secret_hex = hex::encode(secret);
        Ok(Self { name: name.to_owned(), address: signer.address().to_string(), secret_hex })
    }

    /// Reads a key's file.
    ///
    /// # Errors
    /// [`KeyError`]; a file that others may read is refused.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing { path: path.to_owned() },
            _ => KeyError::Io { doing: "read", path: path.to_owned(), source },
        };
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned() });
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let malformed = |why: String| KeyError::Malformed { path: path.to_owned(), why };
        // The parser's own words could quote the secret.
        let key: Self = serde_json::from_str(&text).map_err(|error| {
            malformed(format!("line {}: not what `tidemark keys add` writes", error.line()))
        })?;
        key.secret().ok_or_else(|| malformed("secret_hex is not 32 bytes in hex".into()))?;
        Ok(key)
    }

    /// Writes a new file that only its owner reads.
    ///
    /// # Errors
    /// [`KeyError::Exists`]: a key is never written over.
    pub fn save_new(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
            _ => KeyError::Io { doing: "write", path: path.to_owned(), source },
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Signs for a chain.
    ///
    /// # Errors
    /// [`KeyError::Words`] when the secret is none.
    pub fn signer(&self, chain_id: &str) -> Result<Signer, KeyError> {
        let secret = self.secret().unwrap_or_default();
        Signer::from_secret(&secret, chain_id).map_err(|refusal| KeyError::Words(refusal.message))
    }

    fn secret(&self) -> Option<[u8; 32]> {
        let mut secret = [0; 32];
        hex::decode_to_slice(&self.secret_hex, &mut secret).ok().map(|()| secret)
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyFile({} {})", self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon abandon abandon abandon abandon art";

    #[test]
    fn words_give_the_key_that_cosmos_wallets_give() {
        let key = KeyFile::from_words("k", &read_words(WORDS).unwrap()).unwrap();
        // BIP-39's seed of these words at m/44'/118'/0'/0/0.
        assert_eq!(key.address, address_of_published_seed());
        let shouted = WORDS.to_uppercase().replace(' ', "  ");
        assert_eq!(KeyFile::from_words("k", &read_words(&shouted).unwrap()).unwrap(), key);
    }

    /// The published BIP-39 seed of the test vector, instead of the words.
    fn address_of_published_seed() -> String {
        let seed = "408b285c123836004f4b8842c89324c1f01382450c0d439af345ba7fc49acf70\
                    5489c6fc77dbd4e3dc1dd8cc6bc9f043db8ada1e243c4a0eafb290d399480840";
        let secret = Signer::secret_from_seed(&hex::decode(seed).unwrap()).unwrap();
        Signer::from_secret(&secret, "").unwrap().address().to_string()
    }

    #[test]
    fn wrong_words_are_told_apart() {
        let swapped = WORDS.replacen("abandon", "zoo", 1);
        for (words, why) in [
            (WORDS.replace(" art", " arrt"), "word 24 (\"arrt\")"),
            (swapped, "does not fit"),
            ("zoo zoo".into(), "2 words"),
        ] {
            let error = read_words(&words).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_file_is_private_reads_back_and_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/a.json");
        let key = KeyFile::from_words("a", &new_words().unwrap()).unwrap();
        key.save_new(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyFile::load(&path).unwrap(), key);
        assert!(matches!(key.save_new(&path), Err(KeyError::Exists { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(KeyFile::load(&path), Err(KeyError::Exposed { .. })));
        assert!(matches!(KeyFile::load(&folder.path().join("b")), Err(KeyError::Missing { .. })));
    }

    #[test]
    fn the_secret_is_not_in_debug_output() {
        let key = KeyFile::from_secret("a", &[7; 32]).unwrap();
        assert!(!format!("{key:?}").contains("0707"));
    }
}
