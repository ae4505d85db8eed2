//! Files of agents' keys: each signs orders for the owner that it names, and nothing else.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidemark_proto::tx::AgentSigner;
use tidemark_proto::types::{Address, AgentKey, SigningDomain};
use zeroize::Zeroizing;

use super::format::{Cipher, Kdf};
use super::key::save_new;
use super::sealed::{Cost, Sealed};
use super::words::random;
use super::{read_private, KeyError, PassphraseSource, Protection, MAX_FILE_BYTES};

/// The version of the file.
const VERSION: u32 = 1;

/// A file, as JSON has it. It has either the secret or the encrypted one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    agent_version: u32,
    name: String,
    owner: String,
    agent_key_hex: String,
    /// Secret key of ed25519, 32 bytes in hex, where it is not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_hex: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kdf: Option<Kdf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<Cipher>,
}

/// An agent's key, open: it signs. Forgotten when dropped.
#[derive(Clone)]
pub struct AgentKeyPair {
    name: String,
    owner: Address,
    secret: Zeroizing<[u8; 32]>,
}

impl AgentKeyPair {
    /// A new ed25519 key for an owner's orders.
    ///
    /// # Errors
    /// [`KeyError::System`] when the system gives no randomness.
    pub fn generate(name: &str, owner: Address) -> Result<Self, KeyError> {
        Ok(Self { name: name.to_owned(), owner, secret: random()? })
    }

    /// The public key, which the owner authorises.
    #[must_use]
    pub fn key(&self) -> AgentKey {
        self.signer(SigningDomain::default()).key()
    }

    /// The owner that it signs for.
    #[must_use]
    pub fn owner(&self) -> Address {
        self.owner
    }

    /// Signs for a chain.
    #[must_use]
    pub fn signer(&self, domain: SigningDomain) -> AgentSigner {
        AgentSigner::ed25519(*self.secret, domain)
    }

    /// Writes a new file that only its owner reads.
    ///
    /// # Errors
    /// [`KeyError::Exists`]: a key is never written over.
    pub fn save_new(&self, path: &Path, protection: Protection<'_>) -> Result<(), KeyError> {
        save_new(path, &self.to_text(protection, Cost::USUAL)?)
    }

    fn to_text(
        &self,
        protection: Protection<'_>,
        cost: Cost,
    ) -> Result<Zeroizing<String>, KeyError> {
        let (owner, key) = (self.owner.to_string(), self.key().to_string());
        let (secret_hex, sealed) = match protection {
            Protection::Plain => (Some(Zeroizing::new(hex::encode(*self.secret))), None),
            Protection::Passphrase(passphrase) => {
                let about = about(&self.name, &owner, &key);
                (None, Some(Sealed::seal(&self.secret, passphrase, cost, &about)?.write()))
            }
        };
        let (kdf, cipher) = sealed.unzip();
        let (agent_version, name) = (VERSION, self.name.clone());
        let format =
            Format { agent_version, name, owner, agent_key_hex: key, secret_hex, kdf, cipher };
        // Numbers and strings are always JSON.
        Ok(Zeroizing::new(serde_json::to_string_pretty(&format).unwrap_or_default()))
    }
}

impl std::fmt::Debug for AgentKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgentKeyPair({} of {})", self.name, self.owner)
    }
}

/// The text that the tag covers beside the secret.
fn about(name: &str, owner: &str, key: &str) -> String {
    format!("tidemark agent 1\n{owner}\n{key}\n{name}")
}

enum Content {
    /// The secret in hex.
    Plain(Zeroizing<String>),
    Sealed(Sealed),
}

/// An agent's file as it was read. Who only needs the names needs no passphrase.
pub struct AgentFile {
    path: PathBuf,
    name: String,
    owner: Address,
    key_hex: String,
    content: Content,
}

impl AgentFile {
    /// Reads an agent's file.
    ///
    /// # Errors
    /// [`KeyError`]; a file that others may read is refused.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = read_private(path, MAX_FILE_BYTES)?;
        let malformed = |why: String| KeyError::Malformed { path: path.to_owned(), why };
        // The parser's own words could quote the secret, so they are not passed on.
        let format: Format = serde_json::from_str(&text).map_err(|error| {
            malformed(format!("line {}: not what `tidemark agent new` writes", error.line()))
        })?;
        let Format { agent_version, name, owner, agent_key_hex: key_hex, .. } = format;
        if agent_version != VERSION {
            let why =
                format!("it has version {agent_version}, this program reads version {VERSION}");
            return Err(malformed(why));
        }
        let owner = Address::parse(&owner)
            .map_err(|refusal| malformed(format!("owner: {}", refusal.message)))?;
        let content = match (format.secret_hex, format.kdf, format.cipher) {
            (Some(secret_hex), None, None) => Content::Plain(secret_hex),
            (None, Some(kdf), Some(cipher)) => {
                Content::Sealed(Sealed::read(&kdf, &cipher).map_err(malformed)?)
            }
            _ => return Err(malformed("it has not one secret, plain or encrypted".into())),
        };
        Ok(Self { path: path.to_owned(), name, owner, key_hex, content })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The owner whose orders it signs. Of an encrypted file it is what the file says until it is
    /// opened.
    #[must_use]
    pub fn owner(&self) -> Address {
        self.owner
    }

    /// The public key in hex. As of [`Self::owner`].
    #[must_use]
    pub fn key_hex(&self) -> &str {
        &self.key_hex
    }

    /// The key in it. `source` is asked for the passphrase of an encrypted file, once.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`], what `source` says, and [`KeyError::NotEncrypted`] for a file
    /// without a passphrase where one is insisted on.
    pub fn open(self, source: &PassphraseSource) -> Result<AgentKeyPair, KeyError> {
        let Self { path, name, owner, key_hex, content } = self;
        let malformed = |why: String| KeyError::Malformed { path: path.clone(), why };
        let secret = match content {
            Content::Plain(_) if source.insists() => {
                return Err(KeyError::NotEncrypted { path, option: source.option() });
            }
            Content::Plain(secret_hex) => Zeroizing::new(
                hex::decode(secret_hex.as_str())
                    .map_err(|_| malformed("secret_hex is not 32 bytes in hex".into()))?,
            ),
            Content::Sealed(sealed) => {
                let passphrase = source.existing(&name)?;
                let about = about(&name, &owner.to_string(), &key_hex);
                match sealed.open(&passphrase, &about) {
                    Some(secret) => secret,
                    None => return Err(KeyError::WrongPassphrase { path }),
                }
            }
        };
        let secret = <[u8; 32]>::try_from(secret.as_slice())
            .map_err(|_| malformed("its secret is not 32 bytes".into()))?;
        let pair = AgentKeyPair { name, owner, secret: Zeroizing::new(secret) };
        let own = pair.key().to_string();
        if own != key_hex {
            return Err(malformed(format!(
                "it says key {key_hex}, but its secret is that of {own}"
            )));
        }
        Ok(pair)
    }
}

impl std::fmt::Debug for AgentFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgentFile({} of {})", self.name, self.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{nothing_named, source, write};
    use super::*;

    fn pair() -> AgentKeyPair {
        let secret = Zeroizing::new([9; 32]);
        AgentKeyPair { name: "bot".into(), owner: Address([7; 20]), secret }
    }

    #[test]
    fn an_agent_file_opens_with_its_passphrase_and_names_its_owner_without() {
        let folder = tempfile::tempdir().unwrap();
        let right = source(&folder, "correct horse");
        let passphrase = right.existing("bot").unwrap();
        let protection = Protection::Passphrase(&passphrase);
        let path = folder.path().join("bot.json");
        write(&path, &pair().to_text(protection, Cost::LEAST).unwrap(), 0o600);
        let file = AgentFile::load(&path).unwrap();
        assert_eq!((file.name(), file.owner()), ("bot", pair().owner));
        assert_eq!(file.key_hex(), pair().key().to_string());
        assert_eq!(file.open(&right).unwrap().key(), pair().key());
        let wrong = AgentFile::load(&path).unwrap().open(&source(&folder, "wrong horse"));
        assert!(matches!(wrong, Err(KeyError::WrongPassphrase { .. })));
        // Another owner's name on it: the orders would be signed for somebody else.
        let other = pair().to_text(protection, Cost::LEAST).unwrap();
        let renamed = other.replace(&pair().owner.to_string(), &Address([8; 20]).to_string());
        write(&path, &renamed, 0o600);
        let right = source(&folder, "correct horse");
        let opened = AgentFile::load(&path).unwrap().open(&right);
        assert!(matches!(opened, Err(KeyError::WrongPassphrase { .. })));
    }

    #[test]
    fn an_agent_file_is_plain_only_where_that_was_asked_for_and_never_an_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agents/bot.json");
        pair().save_new(&path, Protection::Plain).unwrap();
        assert!(matches!(pair().save_new(&path, Protection::Plain), Err(KeyError::Exists { .. })));
        let open = |source: &PassphraseSource| AgentFile::load(&path).unwrap().open(source);
        assert_eq!(open(&nothing_named()).unwrap().key(), pair().key());
        let insisting = source(&folder, "correct horse");
        assert!(matches!(open(&insisting), Err(KeyError::NotEncrypted { .. })));
        let owners = folder.path().join("alice.json");
        let key = super::super::Key::from_secret("alice", &[7; 32]).unwrap();
        key.save_new(&owners, Protection::Plain).unwrap();
        let refused = AgentFile::load(&owners).unwrap_err().to_string();
        assert!(refused.ends_with("not what `tidemark agent new` writes"), "{refused}");
        assert!(super::super::KeyFile::load(&path).is_err());
        let text = pair().to_text(Protection::Plain, Cost::LEAST).unwrap();
        let swapped = text.replace(&pair().key().to_string(), &"00".repeat(32));
        write(&path, &swapped, 0o600);
        let refused = open(&nothing_named()).unwrap_err().to_string();
        assert!(refused.contains("but its secret is that of"), "{refused}");
    }
}
