//! The words that people keep of a key.

use bip39::Mnemonic;
use zeroize::Zeroizing;

use super::KeyError;

/// Words to make a key from: 24 of BIP-39, from the system's randomness.
///
/// # Errors
/// [`KeyError::System`] when the system gives no randomness.
pub fn new_words() -> Result<Mnemonic, KeyError> {
    let entropy = random::<32>()?;
    Mnemonic::from_entropy(entropy.as_ref()).map_err(|error| KeyError::Words(error.to_string()))
}

/// Bytes of the system's randomness.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).map_err(|error| KeyError::System {
        doing: "get randomness from the system",
        why: error.to_string(),
    })?;
    Ok(bytes)
}

/// Reads words that a person kept: 12 to 24 of BIP-39, in any case and spacing.
///
/// # Errors
/// [`KeyError::Words`] saying which word is not one, or that the last does not fit the others.
pub fn read_words(text: &str) -> Result<Mnemonic, KeyError> {
    let words = text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
    let words = Zeroizing::new(words);
    let joined = Zeroizing::new(words.join(" "));
    Mnemonic::parse_normalized(&joined).map_err(|error| {
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
