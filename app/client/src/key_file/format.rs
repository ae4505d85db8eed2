//! The text of a key's file.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::sealed::{Cost, Sealed};
use super::{Key, KeyError, Passphrase};

/// The version of encrypted files. Plain files have none.
const VERSION: u32 = 1;

/// A file, once its JSON is read.
pub(super) enum Format {
    Plain(PlainFile),
    Sealed(SealedFile),
}

/// A key that is not encrypted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlainFile {
    name: String,
    address: String,
    /// Secret key of secp256k1, 32 bytes in hex.
    secret_hex: Zeroizing<String>,
}

/// A key that is encrypted with a passphrase.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedFile {
    version: u32,
    name: String,
    address: String,
    /// How the passphrase becomes a key of the cipher.
    pub kdf: Kdf,
    /// The encryption of the secret.
    pub cipher: Cipher,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kdf {
    pub algorithm: String,
    pub memory_kib: u32,
    pub iterations: u32,
    pub lanes: u32,
    pub salt_hex: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cipher {
    pub algorithm: String,
    pub nonce_hex: String,
    /// The encrypted secret and its tag.
    pub sealed_hex: String,
}

/// Tells the two forms apart.
#[derive(Deserialize)]
struct AnyVersion {
    version: Option<u32>,
}

/// The text that the tag covers beside the secret.
pub(super) fn about(name: &str, address: &str) -> String {
    format!("tidemark key 1\n{address}\n{name}")
}

impl Format {
    /// Reads a file's text. The parser's own words could quote the secret, so they are not passed
    /// on.
    pub fn read(text: &str) -> Result<Self, String> {
        let other = |error: serde_json::Error| {
            format!("line {}: not what `tidemark keys add` writes", error.line())
        };
        let any: AnyVersion = serde_json::from_str(text).map_err(other)?;
        match any.version {
            None => serde_json::from_str(text).map(Self::Plain).map_err(other),
            Some(VERSION) => serde_json::from_str(text).map(Self::Sealed).map_err(other),
            Some(version) => {
                Err(format!("it has version {version}, this program reads version {VERSION}"))
            }
        }
    }

    pub fn plain(key: &Key, secret: &[u8; 32]) -> Self {
        let (name, address) = (key.name.clone(), key.address.clone());
        Self::Plain(PlainFile { name, address, secret_hex: Zeroizing::new(hex::encode(secret)) })
    }

    pub fn sealed(
        key: &Key,
        secret: &[u8; 32],
        passphrase: &Passphrase,
        cost: Cost,
    ) -> Result<Self, KeyError> {
        let sealed = Sealed::seal(secret, passphrase, cost, &about(&key.name, &key.address))?;
        let (name, address) = (key.name.clone(), key.address.clone());
        let (kdf, cipher) = sealed.write();
        Ok(Self::Sealed(SealedFile { version: VERSION, name, address, kdf, cipher }))
    }

    /// Its name and its address.
    pub fn names(&self) -> (&str, &str) {
        match self {
            Self::Plain(file) => (&file.name, &file.address),
            Self::Sealed(file) => (&file.name, &file.address),
        }
    }

    pub fn to_text(&self) -> Zeroizing<String> {
        let text = match self {
            Self::Plain(file) => serde_json::to_string_pretty(file),
            Self::Sealed(file) => serde_json::to_string_pretty(file),
        };
        // Numbers and strings are always JSON.
        Zeroizing::new(text.unwrap_or_default())
    }
}

impl PlainFile {
    pub fn key(&self) -> Result<Key, String> {
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(self.secret_hex.as_str(), secret.as_mut())
            .map_err(|_| "secret_hex is not 32 bytes in hex".to_owned())?;
        Key::from_secret(&self.name, secret.as_ref()).map_err(|error| error.to_string())
    }
}
