use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use tempfile::TempDir;
use tidemark_proto::tx::Signer;

use super::sealed::Cost;
use super::*;

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon abandon abandon abandon art";

/// A source of one passphrase: a file, as `--passphrase-file` names it.
pub(super) fn source(folder: &TempDir, passphrase: &str) -> PassphraseSource {
    let path = folder.path().join("passphrase");
    write(&path, &format!("{passphrase}\n"), 0o600);
    PassphraseSource::new("--passphrase-file", Some(path), "TIDEMARK_NO_SUCH_VARIABLE")
}

/// Nothing is named. Tests must not ask at the terminal of who runs them, so no test reads a
/// passphrase from it.
pub(super) fn nothing_named() -> PassphraseSource {
    PassphraseSource::new("--passphrase-file", None, "TIDEMARK_NO_SUCH_VARIABLE")
}

pub(super) fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn key() -> Key {
    Key::from_secret("alice", &[7; 32]).unwrap()
}

/// The text of an encrypted file that costs a test little.
fn sealed_text(folder: &TempDir, passphrase: &str) -> String {
    let passphrase = source(folder, passphrase).existing("alice").unwrap();
    key().to_text(Protection::Passphrase(&passphrase), Cost::LEAST).unwrap().to_string()
}

#[test]
fn words_give_the_key_that_cosmos_wallets_give() {
    let key = Key::from_words("k", &read_words(WORDS).unwrap()).unwrap();
    // BIP-39's seed of these words at m/44'/118'/0'/0/0.
    assert_eq!(key.address, address_of_published_seed());
    let shouted = WORDS.to_uppercase().replace(' ', "  ");
    assert_eq!(Key::from_words("k", &read_words(&shouted).unwrap()).unwrap(), key);
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
    let key = Key::from_words("a", &new_words().unwrap()).unwrap();
    key.save_new(&path, Protection::Plain).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file = KeyFile::load(&path).unwrap();
    assert!(!file.is_encrypted());
    assert_eq!((file.name(), file.address()), ("a", key.address.as_str()));
    assert_eq!(file.open(&nothing_named()).unwrap(), key);
    assert!(matches!(key.save_new(&path, Protection::Plain), Err(KeyError::Exists { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(KeyFile::load(&path), Err(KeyError::Exposed { .. })));
    assert!(matches!(KeyFile::load(&folder.path().join("b")), Err(KeyError::Missing { .. })));
}

#[test]
fn a_file_of_before_passphrases_still_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.json");
    let Key { address, .. } = key();
    let old = format!(
        "{{\n  \"name\": \"alice\",\n  \"address\": \"{address}\",\n  \"secret_hex\": \"{}\"\n}}\n",
        "07".repeat(32)
    );
    write(&path, &old, 0o600);
    assert_eq!(KeyFile::load(&path).unwrap().open(&nothing_named()).unwrap(), key());
}

#[test]
fn an_encrypted_file_opens_with_its_passphrase_only_and_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.json");
    let right = source(&folder, "correct horse");
    let passphrase = right.for_new("alice").unwrap();
    key().save_new(&path, Protection::Passphrase(&passphrase)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&"07".repeat(8)), "{text}");
    assert!(text.contains("\"memory_kib\": 65536") && text.contains("\"version\": 1"), "{text}");
    let file = KeyFile::load(&path).unwrap();
    assert!(file.is_encrypted());
    assert_eq!(file.address(), key().address, "without the passphrase");
    assert_eq!(file.open(&right).unwrap(), key());
    let wrong = KeyFile::load(&path).unwrap().open(&source(&folder, "correct house"));
    let error = wrong.unwrap_err().to_string();
    assert_eq!(error, format!("wrong passphrase or damaged file: {}", path.display()));
}

#[test]
fn two_files_of_one_key_and_passphrase_share_nothing_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (sealed_text(&folder, "correct horse"), sealed_text(&folder, "correct horse"));
    for field in ["salt_hex", "nonce_hex", "sealed_hex"] {
        let line = |text: &str| text.lines().find(|line| line.contains(field)).map(str::to_owned);
        assert_ne!(line(&one), line(&two), "{field}");
    }
}

#[test]
fn a_file_cannot_ask_for_more_memory_or_time_than_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.json");
    let text = sealed_text(&folder, "correct horse");
    for (from, to, why) in [
        (
            "\"memory_kib\": 8",
            "\"memory_kib\": 4194304",
            "kdf.memory_kib is 4194304, at most 262144",
        ),
        (
            "\"iterations\": 1",
            "\"iterations\": 4000000000",
            "kdf.iterations is 4000000000, at most 16",
        ),
        ("\"lanes\": 1", "\"lanes\": 9", "kdf.lanes is 9, at most 8"),
        ("\"memory_kib\": 8", "\"memory_kib\": 7", "kdf: "),
        ("argon2id", "md5", "kdf.algorithm is \"md5\", must be \"argon2id\""),
        ("chacha20poly1305", "rot13", "must be \"chacha20poly1305\""),
        ("\"version\": 1", "\"version\": 2", "it has version 2, this program reads version 1"),
        ("\"salt_hex\": \"", "\"salt_hex\": \"00", "kdf.salt_hex is not 16 bytes in hex"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        write(&path, &changed, 0o600);
        let error = KeyFile::load(&path).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    write(&path, &" ".repeat(20_000), 0o600);
    let error = KeyFile::load(&path).unwrap_err().to_string();
    assert!(error.contains("20000 bytes, at most 16384"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever byte of an encrypted file is changed, no other key comes of it.
    #[test]
    fn a_changed_byte_gives_an_error_or_the_same_key(at in 0_usize..600, byte in 0_u8..=255) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.json");
        let right = source(&folder, "correct horse");
        let mut bytes = sealed_text(&folder, "correct horse").into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        fs::write(&path, &bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Ok(opened) = KeyFile::load(&path).and_then(|file| file.open(&right)) {
            // White space, or a hex digit's other case.
            prop_assert_eq!(opened, key());
        }
    }
}

#[test]
fn another_name_or_address_in_the_file_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.json");
    let right = source(&folder, "correct horse");
    let text = sealed_text(&folder, "correct horse");
    let other = Key::from_secret("alice", &[8; 32]).unwrap().address;
    for changed in [text.replace(&key().address, &other), text.replace("alice", "mallory")] {
        write(&path, &changed, 0o600);
        let opened = KeyFile::load(&path).unwrap().open(&right);
        assert!(matches!(opened, Err(KeyError::WrongPassphrase { .. })), "{opened:?}");
    }
    let plain = key().to_text(Protection::Plain, Cost::LEAST).unwrap();
    write(&path, &plain.replace(&key().address, &other), 0o600);
    let error = KeyFile::load(&path).unwrap_err().to_string();
    assert!(error.contains("its secret is that of"), "{error}");
}

#[test]
fn a_named_passphrase_refuses_a_file_that_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.json");
    key().save_new(&path, Protection::Plain).unwrap();
    let opened = KeyFile::load(&path).unwrap().open(&source(&folder, "correct horse"));
    let error = opened.unwrap_err().to_string();
    assert!(error.contains("has no passphrase, but --passphrase-file names one"), "{error}");
}

#[test]
fn a_passphrase_is_changed_added_and_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.json");
    key().save_new(&path, Protection::Plain).unwrap();
    let (old, new) = (source(&folder, "correct horse"), source(&folder, "battery staple"));
    // Both name one file; the passphrases are read before it is written again.
    let new_passphrase = new.for_new("alice").unwrap();
    key().replace(&path, Protection::Passphrase(&new_passphrase)).unwrap();
    assert_eq!(KeyFile::load(&path).unwrap().open(&old).unwrap(), key());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    key().replace(&path, Protection::Plain).unwrap();
    assert!(!KeyFile::load(&path).unwrap().is_encrypted());
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "the key, and the passphrase's file: {left:?}");
}

#[test]
fn a_passphrase_that_cannot_be_used_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passphrase");
    let error = source(&folder, "seven 7").for_new("alice").unwrap_err().to_string();
    let expected = format!(
        "the first line of {} has 7 characters, a new passphrase at least 8",
        path.display()
    );
    assert_eq!(error, expected);
    // One that a key has is taken as it is: another program may have made it.
    assert!(source(&folder, "seven 7").existing("alice").is_ok());
    let error = source(&folder, "").existing("alice").unwrap_err().to_string();
    assert!(error.ends_with("is empty"), "{error}");
    let long = source(&folder, &"x".repeat(2_000)).existing("alice").unwrap_err().to_string();
    assert!(long.contains("is no passphrase: it has 2001 bytes, at most 1024"), "{long}");
    let right = source(&folder, "correct horse");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(right.existing("alice"), Err(KeyError::Exposed { .. })));
}

#[test]
fn no_secret_is_in_debug_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alice.json");
    key().save_new(&path, Protection::Plain).unwrap();
    let passphrase = source(&folder, "correct horse").existing("alice").unwrap();
    let said = format!("{:?} {passphrase:?} {:?}", key(), KeyFile::load(&path).unwrap());
    assert!(!said.contains("0707") && !said.contains("horse"), "{said}");
}
