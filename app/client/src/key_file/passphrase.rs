//! Passphrases, and where they come from.

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::{read_private, KeyError};

/// Fewer characters than this are guessed, whatever a guess costs.
const MIN_CHARS: usize = 8;
/// More bytes than this are not a passphrase but a file that was named by mistake.
const MAX_BYTES: u64 = 1024;

/// A passphrase, forgotten when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Where a passphrase comes from: a file, else an environment variable, else whoever sits at the
/// terminal.
#[derive(Clone, Debug)]
pub struct PassphraseSource {
    /// The command line's option for the file.
    option: &'static str,
    variable: &'static str,
    file: Option<PathBuf>,
    /// The variable is set, and to what; `None` for what is no text.
    set: Option<Option<Zeroizing<String>>>,
    /// The option that does without a passphrase, where there is one.
    plain_option: Option<&'static str>,
}

impl PassphraseSource {
    /// A file whose first line is the passphrase, given with `option`; without one the
    /// environment's `variable`, and without that the terminal.
    #[must_use]
    pub fn new(option: &'static str, file: Option<PathBuf>, variable: &'static str) -> Self {
        let set = std::env::var_os(variable).filter(|value| !value.is_empty());
        let set = set.map(|value| value.into_string().ok().map(Zeroizing::new));
        Self { option, variable, file, set, plain_option: None }
    }

    /// Of keys that are read: `--passphrase-file` and `TIDEMARK_PASSPHRASE`.
    #[must_use]
    pub fn usual(file: Option<PathBuf>) -> Self {
        Self::new("--passphrase-file", file, "TIDEMARK_PASSPHRASE")
    }

    /// Names the option that does without a passphrase to who has none.
    #[must_use]
    pub fn or_plain(self, option: &'static str) -> Self {
        Self { plain_option: Some(option), ..self }
    }

    /// True if it was named for this command, so that a key without a passphrase is not the one
    /// that was meant. The environment is there for every command.
    #[must_use]
    pub fn insists(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn option(&self) -> &'static str {
        self.option
    }

    /// The passphrase that a key has.
    ///
    /// # Errors
    /// [`KeyError`] when the file cannot be read, or nobody is there to ask.
    pub fn existing(&self, name: &str) -> Result<Passphrase, KeyError> {
        match self.named()? {
            Some((passphrase, _)) => Ok(passphrase),
            None => self.ask(&format!("Passphrase of {name}: "), name),
        }
    }

    /// A passphrase that a key shall have. At a terminal it is typed twice.
    ///
    /// # Errors
    /// As [`Self::existing`]; [`KeyError::Passphrase`] for one that is too short.
    pub fn for_new(&self, name: &str) -> Result<Passphrase, KeyError> {
        if let Some((passphrase, from)) = self.named()? {
            return check(passphrase, from);
        }
        let from = || "the passphrase".to_owned();
        let first = self.ask(&format!("New passphrase of {name}: "), name)?;
        let first = check(first, from())?;
        let again = self.ask(&format!("New passphrase of {name}, again: "), name)?;
        if first.as_bytes() != again.as_bytes() {
            let why = "was not typed the same way twice: try again".into();
            return Err(KeyError::Passphrase { from: from(), why });
        }
        Ok(first)
    }

    /// The passphrase of the file or of the environment, with its source as a sentence's subject.
    fn named(&self) -> Result<Option<(Passphrase, String)>, KeyError> {
        let (text, from) = match (&self.file, &self.set) {
            (Some(file), _) => {
                let from = format!("the first line of {}", file.display());
                (first_line(file)?, from)
            }
            (None, Some(Some(set))) => (set.clone(), self.variable.to_owned()),
            (None, Some(None)) => {
                let from = self.variable.to_owned();
                return Err(KeyError::Passphrase { from, why: "is not UTF-8".into() });
            }
            (None, None) => return Ok(None),
        };
        if text.is_empty() {
            return Err(KeyError::Passphrase { from, why: "is empty".into() });
        }
        Ok(Some((Passphrase(text), from)))
    }

    /// Asks at the terminal, whatever standard input is, without an echo.
    fn ask(&self, prompt: &str, name: &str) -> Result<Passphrase, KeyError> {
        match rpassword::prompt_password(prompt) {
            Ok(text) => Ok(Passphrase(Zeroizing::new(text))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Err(KeyError::System { doing: "read the passphrase", why: error.to_string() })
            }
            Err(_) => {
                let mut instead =
                    format!("name a file with {}, or set {}", self.option, self.variable);
                if let Some(option) = self.plain_option {
                    instead += &format!(", or write the key unencrypted with {option}");
                }
                Err(KeyError::NobodyToAsk { name: name.to_owned(), instead })
            }
        }
    }
}

fn first_line(file: &std::path::Path) -> Result<Zeroizing<String>, KeyError> {
    let text = match read_private(file, MAX_BYTES) {
        Err(KeyError::Malformed { path, why }) => {
            let from = path.display().to_string();
            return Err(KeyError::Passphrase { from, why: format!("is no passphrase: {why}") });
        }
        other => other?,
    };
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn check(passphrase: Passphrase, from: String) -> Result<Passphrase, KeyError> {
    let chars = passphrase.0.chars().count();
    if chars >= MIN_CHARS {
        return Ok(passphrase);
    }
    let why = format!("has {chars} characters, a new passphrase at least {MIN_CHARS}");
    Err(KeyError::Passphrase { from, why })
}
