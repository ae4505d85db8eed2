//! A secret that is encrypted with a passphrase: Argon2id makes a key of the passphrase, and
//! ChaCha20-Poly1305 encrypts with it (ADR 41).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use zeroize::{Zeroize as _, Zeroizing};

use super::format::{Cipher, Kdf};
use super::words::random;
use super::{KeyError, Passphrase};

const KDF: &str = "argon2id";
const CIPHER: &str = "chacha20poly1305";

/// Bounds of what a file may ask for: whoever hands over a file must not take all memory with it,
/// nor minutes.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 16;
const MAX_LANES: u32 = 8;

/// The cost of a guess of the passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
}

impl Cost {
    /// The memory and iterations that RFC 9106 recommends where memory is scarce, in one lane,
    /// because one thread computes it: 0.2 s of a core.
    pub const USUAL: Self = Self { memory_kib: 64 * 1024, iterations: 3, lanes: 1 };

    /// For tests that make many.
    #[cfg(test)]
    pub const LEAST: Self = Self { memory_kib: 8, iterations: 1, lanes: 1 };

    fn params(self) -> Result<Params, String> {
        for (field, value, most) in [
            ("memory_kib", self.memory_kib, MAX_MEMORY_KIB),
            ("iterations", self.iterations, MAX_ITERATIONS),
            ("lanes", self.lanes, MAX_LANES),
        ] {
            if value > most {
                return Err(format!("kdf.{field} is {value}, at most {most}"));
            }
        }
        Params::new(self.memory_kib, self.iterations, self.lanes, Some(32))
            .map_err(|error| format!("kdf: {error}"))
    }
}

/// An encrypted secret.
pub(super) struct Sealed {
    params: Params,
    salt: [u8; 16],
    nonce: [u8; 12],
    /// The encrypted secret, then its tag of 16 bytes.
    bytes: [u8; 48],
}

impl Sealed {
    /// Encrypts a secret. The tag covers `about` too, so that a file with other names does not
    /// open. A new salt each time, so no key of the cipher is used twice.
    pub fn seal(
        secret: &[u8; 32],
        passphrase: &Passphrase,
        cost: Cost,
        about: &str,
    ) -> Result<Self, KeyError> {
        let failed = |why: String| KeyError::System { doing: "encrypt the key", why };
        let params = cost.params().map_err(failed)?;
        let (salt, nonce) = (*random::<16>()?, *random::<12>()?);
        let cipher = cipher(&params, &salt, passphrase).map_err(failed)?;
        let bytes = cipher
            .encrypt(&nonce.into(), Payload { msg: secret, aad: about.as_bytes() })
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| failed("the cipher refuses".into()))?;
        Ok(Self { params, salt, nonce, bytes })
    }

    /// The secret; `None` if the passphrase is another's, or anything of the file was changed.
    pub fn open(&self, passphrase: &Passphrase, about: &str) -> Option<Zeroizing<Vec<u8>>> {
        let cipher = cipher(&self.params, &self.salt, passphrase).ok()?;
        let payload = Payload { msg: &self.bytes, aad: about.as_bytes() };
        cipher.decrypt(&self.nonce.into(), payload).ok().map(Zeroizing::new)
    }

    /// Reads it from its file.
    pub fn read(kdf: &Kdf, cipher: &Cipher) -> Result<Self, String> {
        let Kdf { algorithm, memory_kib, iterations, lanes, salt_hex } = kdf;
        if algorithm != KDF {
            return Err(format!("kdf.algorithm is {algorithm:?}, must be {KDF:?}"));
        }
        if cipher.algorithm != CIPHER {
            let algorithm = &cipher.algorithm;
            return Err(format!("cipher.algorithm is {algorithm:?}, must be {CIPHER:?}"));
        }
        let cost = Cost { memory_kib: *memory_kib, iterations: *iterations, lanes: *lanes };
        Ok(Self {
            params: cost.params()?,
            salt: bytes("kdf.salt_hex", salt_hex)?,
            nonce: bytes("cipher.nonce_hex", &cipher.nonce_hex)?,
            bytes: bytes("cipher.sealed_hex", &cipher.sealed_hex)?,
        })
    }

    /// Its parts in a file.
    pub fn write(&self) -> (Kdf, Cipher) {
        let kdf = Kdf {
            algorithm: KDF.to_owned(),
            memory_kib: self.params.m_cost(),
            iterations: self.params.t_cost(),
            lanes: self.params.p_cost(),
            salt_hex: hex::encode(self.salt),
        };
        let cipher = Cipher {
            algorithm: CIPHER.to_owned(),
            nonce_hex: hex::encode(self.nonce),
            sealed_hex: hex::encode(self.bytes),
        };
        (kdf, cipher)
    }
}

fn bytes<const N: usize>(field: &str, text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map(|()| bytes)
        .map_err(|_| format!("{field} is not {N} bytes in hex"))
}

/// The cipher with the key that the passphrase gives. What both work with is zeroed.
fn cipher(
    params: &Params,
    salt: &[u8; 16],
    passphrase: &Passphrase,
) -> Result<ChaCha20Poly1305, String> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut memory = Vec::new();
    memory.try_reserve_exact(params.block_count()).map_err(|error| error.to_string())?;
    memory.resize(params.block_count(), Block::default());
    let mut key = Zeroizing::new([0; 32]);
    let made = argon2.hash_password_into_with_memory(
        passphrase.as_bytes(),
        salt,
        key.as_mut(),
        &mut memory,
    );
    memory.iter_mut().for_each(|block| block.zeroize());
    made.map_err(|error| error.to_string())?;
    Ok(ChaCha20Poly1305::new(key.as_ref().into()))
}
