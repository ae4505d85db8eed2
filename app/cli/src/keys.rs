//! `tidemark keys`: secret keys in the user's home.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{json, Value};
use tidemark_client::key_file::{
    new_words, read_words, Key, KeyError, KeyFile, Passphrase, PassphraseSource, Protection,
};
use tidemark_client::Table;
use zeroize::Zeroizing;

use super::args::KeysCommand;
use super::{CliError, Context};

/// More words than this on standard input are not a mnemonic.
const MAX_WORDS_BYTES: u64 = 4096;

pub(super) fn run(context: &Context, command: &KeysCommand) -> Result<(), CliError> {
    let home = context.home()?;
    match command {
        KeysCommand::Add { name, recover, plain } => add(context, &home, name, *recover, *plain),
        KeysCommand::Passphrase { name, new_passphrase_file, remove } => {
            passphrase(context, &home, name, new_passphrase_file.clone(), *remove)
        }
        KeysCommand::List => list(context, &home),
        KeysCommand::Show { name } => {
            let key = load(&home, name)?;
            context.print(|| key.address().to_owned(), || one(&key));
            Ok(())
        }
    }
}

fn one(key: &KeyFile) -> Value {
    json!({"name": key.name(), "address": key.address(), "encrypted": key.is_encrypted()})
}

fn list(context: &Context, home: &Path) -> Result<(), CliError> {
    let keys: Vec<_> =
        names(home)?.iter().map(|name| load(home, name)).collect::<Result<_, _>>()?;
    let text = || {
        if keys.is_empty() {
            return "No keys yet: make one with `tidemark keys add NAME`.".to_owned();
        }
        let mut table = Table::new(3, &["name", "address", "passphrase"]);
        for key in &keys {
            let passphrase = if key.is_encrypted() { "yes" } else { "no" };
            table.row(vec![key.name().into(), key.address().into(), passphrase.into()]);
        }
        table.render()
    };
    context.print(text, || keys.iter().map(one).collect());
    Ok(())
}

fn add(
    context: &Context,
    home: &Path,
    name: &str,
    recover: bool,
    plain: bool,
) -> Result<(), CliError> {
    check_name(name)?;
    let path = path(home, name);
    if path.exists() {
        // Before anybody types words and a passphrase for nothing.
        return Err(KeyError::Exists { path }.into());
    }
    let words = if recover { read_words(&ask_for_words()?)? } else { new_words()? };
    let key = Key::from_words(name, &words)?;
    let source = context.passphrase().or_plain("--plain");
    let passphrase = if plain { None } else { Some(source.for_new(name)?) };
    key.save_new(&path, protection(passphrase.as_ref()))?;
    let shown = (!recover).then(|| words.to_string());
    let how = if plain { ", unencrypted" } else { "" };
    let text = || match &shown {
        None => format!("Restored key {name}{how}: {}", key.address),
        Some(words) => format!(
            "Made key {name}{how}: {}\n\nWrite down these 24 words. They restore the key with \
             `tidemark keys add {name} --recover`;\nwhoever has them has the key, and they are \
             not shown again.\n\n{words}",
            key.address
        ),
    };
    context.print(
        text,
        || json!({"name": name, "address": key.address, "encrypted": !plain, "words": shown}),
    );
    Ok(())
}

fn protection(passphrase: Option<&Passphrase>) -> Protection<'_> {
    passphrase.map_or(Protection::Plain, Protection::Passphrase)
}

/// Writes a key's file anew, with another passphrase or with none.
fn passphrase(
    context: &Context,
    home: &Path,
    name: &str,
    new_file: Option<PathBuf>,
    remove: bool,
) -> Result<(), CliError> {
    let file = load(home, name)?;
    let had_one = file.is_encrypted();
    let key = file.open(&context.passphrase())?;
    let source =
        PassphraseSource::new("--new-passphrase-file", new_file, "TIDEMARK_NEW_PASSPHRASE");
    let passphrase = if remove { None } else { Some(source.for_new(name)?) };
    key.replace(&path(home, name), protection(passphrase.as_ref()))?;
    let done = match (had_one, remove) {
        (true, false) => "has a new passphrase",
        (false, false) => "is encrypted with its passphrase",
        (_, true) => "has no passphrase: who reads its file has the key",
    };
    context.print(
        || format!("{name} {done}"),
        || json!({"name": name, "address": key.address, "encrypted": !remove}),
    );
    Ok(())
}

fn ask_for_words() -> Result<Zeroizing<String>, CliError> {
    let stdin = io::stdin();
    let mut text = Zeroizing::new(String::new());
    let read = if stdin.is_terminal() {
        eprintln!("Type the words of the key in one line:");
        stdin.read_line(&mut text)
    } else {
        stdin.lock().take(MAX_WORDS_BYTES).read_to_string(&mut text)
    };
    read.map(|_| text).map_err(|error| CliError::Usage(format!("cannot read the words: {error}")))
}

/// Names become file names.
pub(super) fn check_name(name: &str) -> Result<(), CliError> {
    let letters_ok =
        name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    if letters_ok && (1..=64).contains(&name.len()) {
        return Ok(());
    }
    Err(CliError::Usage(format!("key name {name:?} must be 1 to 64 letters, digits, '-' or '_'")))
}

fn path(home: &Path, name: &str) -> PathBuf {
    home.join("keys").join(format!("{name}.json"))
}

/// The key of a name.
pub(super) fn load(home: &Path, name: &str) -> Result<KeyFile, CliError> {
    check_name(name)?;
    let path = path(home, name);
    if path.exists() {
        return Ok(KeyFile::load(&path)?);
    }
    let known = names(home)?;
    let known = if known.is_empty() {
        "there are none yet".to_owned()
    } else {
        format!("known: {}", known.join(", "))
    };
    Err(CliError::Usage(format!(
        "there is no key {name} ({known}); `tidemark keys add {name}` makes it"
    )))
}

/// All keys' names, in order.
pub(super) fn names(home: &Path) -> Result<Vec<String>, CliError> {
    let folder = home.join("keys");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(CliError::Usage(format!("cannot read {}: {error}", folder.display())))
        }
    };
    let name_of = |entry: io::Result<fs::DirEntry>| {
        entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned)
    };
    let mut names: Vec<_> = entries.filter_map(name_of).collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_folder() {
        for bad in ["", "../x", "a/b", "a b", ".hidden", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("alice_2-b").is_ok());
    }

    #[test]
    fn an_unknown_key_lists_the_known_ones() {
        let home = tempfile::tempdir().unwrap();
        assert!(load(home.path(), "bob").unwrap_err().to_string().contains("none yet"));
        let key = Key::from_words("alice", &new_words().unwrap()).unwrap();
        key.save_new(&path(home.path(), "alice"), Protection::Plain).unwrap();
        assert_eq!(load(home.path(), "alice").unwrap().address(), key.address);
        assert!(load(home.path(), "bob").unwrap_err().to_string().contains("known: alice"));
    }
}
