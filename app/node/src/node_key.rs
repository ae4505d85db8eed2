//! `config/tidemark_node_key.json`: the key with which a validator's node signs bundles.
//!
//! Nothing is lost with it: a node without the file makes another, and its validator's next vote
//! registers that. So the file is plain, for its owner's eyes only.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidemark_consensus::node_key::{NodeIdentity, NodeSecret};

/// The file's name, in the home's `config` folder.
pub const FILE_NAME: &str = "tidemark_node_key.json";

/// The file of CometBFT that names its validator.
const VALIDATOR_FILE: &str = "priv_validator_key.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    key_type: String,
    public_hex: String,
    secret_hex: String,
}

/// The key of the node at `home`, which is made where there is none.
///
/// # Errors
/// A sentence that names the file.
pub fn load_or_make(home: &Path) -> Result<NodeSecret, String> {
    let path = home.join("config").join(FILE_NAME);
    match fs::read_to_string(&path) {
        Ok(text) => read(&text).map_err(|why| {
            format!("{}: {why}; without the file the node makes another key", path.display())
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn read(text: &str) -> Result<NodeSecret, String> {
    let file: KeyFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file.key_type != "ed25519" {
        return Err(format!("key_type is {:?}, must be \"ed25519\"", file.key_type));
    }
    let secret = NodeSecret::from_hex(&file.secret_hex)
        .ok_or_else(|| "secret_hex is not 64 digits of hex".to_owned())?;
    if secret.key_hex() != file.public_hex {
        return Err("public_hex is not the key of secret_hex".into());
    }
    Ok(secret)
}

fn make(path: &Path) -> Result<NodeSecret, String> {
    let secret = NodeSecret::random();
    let file = KeyFile {
        key_type: "ed25519".into(),
        public_hex: secret.key_hex(),
        secret_hex: secret.to_hex(),
    };
    let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
    write(path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(secret)
}

/// Writes beside the place and renames, so that no half of a key is ever in place.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let beside: PathBuf = path.with_extension("json.new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The node at `home`, if it is a validator's: its key, and the address that CometBFT's file of the
/// validator's key says. Without that file, as with a remote signer, it makes no bundles.
///
/// # Errors
/// A sentence that names the file.
pub fn identity(home: &Path) -> Result<Option<NodeIdentity>, String> {
    let secret = load_or_make(home)?;
    let validator = validator(home)?;
    Ok(validator.map(|validator| NodeIdentity::new(secret, validator)))
}

/// The address that CometBFT's file of the validator's key says; `None` without the file.
///
/// # Errors
/// A sentence that names the file.
pub fn validator(home: &Path) -> Result<Option<[u8; 20]>, String> {
    let path = home.join("config").join(VALIDATOR_FILE);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
    let file: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| format!("{} is not JSON: {error}", path.display()))?;
    let address = file["address"].as_str().and_then(NodeIdentity::address_from_hex);
    let address = address.ok_or_else(|| format!("{} has no address", path.display()))?;
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("config")).unwrap();
        home
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_read_again() {
        let home = home();
        let made = load_or_make(home.path()).unwrap();
        let path = home.path().join("config").join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_make(home.path()).unwrap().key(), made.key());
        fs::remove_file(path).unwrap();
        assert_ne!(load_or_make(home.path()).unwrap().key(), made.key());
    }

    #[test]
    fn a_damaged_key_file_is_refused_with_its_name() {
        let home = home();
        load_or_make(home.path()).unwrap();
        let path = home.path().join("config").join(FILE_NAME);
        let text = fs::read_to_string(&path).unwrap();
        for (right, wrong, named) in [
            ("ed25519", "secp256k1", "key_type"),
            ("secret_hex\": \"", "secret_hex\": \"0", "secret_hex"),
            ("public_hex\": \"", "public_hex\": \"0", "public_hex"),
            ("{", "", FILE_NAME),
        ] {
            fs::write(&path, text.replace(right, wrong)).unwrap();
            let refusal = load_or_make(home.path()).unwrap_err();
            assert!(refusal.contains(named) && refusal.contains(FILE_NAME), "{refusal}");
        }
    }

    #[test]
    fn the_validator_is_the_one_of_comet_bfts_file() {
        let home = home();
        assert!(identity(home.path()).unwrap().is_none(), "no file, no validator");
        let path = home.path().join("config").join(VALIDATOR_FILE);
        let address = "00112233445566778899AABBCCDDEEFF00112233";
        fs::write(&path, format!("{{\"address\": \"{address}\"}}")).unwrap();
        assert!(identity(home.path()).unwrap().is_some());
        fs::write(&path, "{\"address\": \"0011\"}").unwrap();
        assert!(identity(home.path()).unwrap_err().contains("no address"));
    }
}
