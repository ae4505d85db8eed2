//! `tidemark agent`: keys that sign an owner's orders and a keeper's messages, and nothing else.

mod signing;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{json, Value};
use tidemark_client::agent::{authorize_agent, revoke_agent};
use tidemark_client::format::time_text;
use tidemark_client::key_file::{AgentFile, AgentKeyPair, KeyError, PassphraseSource, Protection};
use tidemark_client::{ClientError, Receipt, Sender, Table};
use tidemark_proto::types::{Address, AgentKey};
use tidemark_proto::v1;

use super::args::{AgentCommand, NewAgent, ScopeArg};
use super::keys::check_name;
use super::trade::send;
use super::{CliError, Context};

pub(super) use signing::{keepers_key, OrderSigner};

pub(super) async fn run(context: &Context, command: &AgentCommand) -> Result<(), CliError> {
    match command {
        AgentCommand::New(args) => new(context, args).await,
        AgentCommand::List { owner } => list(context, owner).await,
        AgentCommand::Revoke { agent } => revoke(context, agent).await,
    }
}

fn folder(home: &Path) -> PathBuf {
    home.join("agents")
}

/// The file of an agent that was named: by a path, which has a `/` or ends in `.json`, or by its
/// name in the folder of agents.
pub(super) fn path(home: &Path, named: &str) -> Result<PathBuf, CliError> {
    if named.contains('/') || named.ends_with(".json") {
        return Ok(PathBuf::from(named));
    }
    check_name(named)?;
    Ok(folder(home).join(format!("{named}.json")))
}

/// A name that was given, that of the file that was given, or the first that is free.
fn name(home: &Path, args: &NewAgent) -> Result<String, CliError> {
    let of_file = args.out.as_ref().and_then(|out| out.file_stem()?.to_str().map(str::to_owned));
    let free = || {
        let mut names = (1..).map(|number: u32| format!("agent-{number}"));
        names.find(|name| !folder(home).join(format!("{name}.json")).exists())
    };
    let name = args.name.clone().or(of_file).or_else(free).unwrap_or_default();
    check_name(&name)?;
    Ok(name)
}

async fn new(context: &Context, args: &NewAgent) -> Result<(), CliError> {
    let home = context.home()?;
    let name = name(&home, args)?;
    let path = args.out.clone().unwrap_or_else(|| folder(&home).join(format!("{name}.json")));
    if path.exists() {
        // Before anybody types a passphrase for nothing.
        return Err(KeyError::Exists { path }.into());
    }
    let owner = context.owners_key()?;
    let address =
        Address::parse(&owner.address).map_err(|refusal| CliError::Usage(refusal.message))?;
    let pair = AgentKeyPair::generate(&name, address)?;
    let source = PassphraseSource::new(
        "--new-passphrase-file",
        args.new_passphrase_file.clone(),
        "TIDEMARK_NEW_PASSPHRASE",
    );
    let source = source.or_plain("--plain");
    let passphrase = if args.plain { None } else { Some(source.for_new(&name)?) };
    let mut sender = context.sender(&owner).await?;
    let until_ms = match args.until {
        Some(until_ms) => until_ms,
        None => {
            let span_ms = u64::try_from(args.valid_for.as_millis()).unwrap_or(u64::MAX);
            sender.client().status().await?.time_ms.saturating_add(span_ms)
        }
    };
    // First of all: a key that was authorised and is lost would take one of eight places.
    pair.save_new(&path, passphrase.as_ref().map_or(Protection::Plain, Protection::Passphrase))?;
    let message = authorize_agent(&pair.key(), scope(args.scope), &args.subaccounts, until_ms);
    let receipt = authorise(&mut sender, &message, &path).await?;
    let agent = told(&name, &pair.key(), &message);
    let text = || {
        format!(
            "Agent {name} may {} for {} in {}, until {} (block {}).\nIts key is in {}{}; \
             `tidemark --agent {name} place …` signs with it.",
            agent.may(),
            owner.address,
            agent.where_to(),
            time_text(until_ms),
            receipt.height.unwrap_or_default(),
            path.display(),
            if args.plain { ", unencrypted" } else { "" },
        )
    };
    context.print(text, || {
        let mut json = agent.json();
        json["owner"] = json!(owner.address);
        json["file"] = json!(path.display().to_string());
        json["encrypted"] = json!(!args.plain);
        json["tx_hash"] = json!(receipt.tx_hash);
        json["height"] = json!(receipt.height);
        json
    });
    Ok(())
}

fn scope(scope: ScopeArg) -> v1::AgentScope {
    match scope {
        ScopeArg::Trade => v1::AgentScope::Trading,
        ScopeArg::Cancel => v1::AgentScope::Cancelling,
    }
}

/// Sends the authorisation of a key whose file is there. If it is refused, the file goes again.
async fn authorise(
    sender: &mut Sender,
    message: &v1::MsgAuthorizeAgent,
    path: &Path,
) -> Result<Receipt, CliError> {
    match sender.submit(message, v1::WaitFor::Committed).await {
        Ok(receipt) => Ok(receipt),
        Err(ClientError::Unknown { why, last_height, tx_hash, tx }) => {
            let why = format!("{why}; the agent's key stays in {}", path.display());
            Err(ClientError::Unknown { why, last_height, tx_hash, tx }.into())
        }
        Err(error) => {
            // Of no use; one that stays does no harm.
            let _ = fs::remove_file(path);
            Err(error.into())
        }
    }
}

/// An agent as people are told of it.
struct Told {
    name: Option<String>,
    key_hex: String,
    scope: v1::AgentScope,
    subaccounts: Vec<u32>,
    until_ms: u64,
    expired: bool,
}

fn told(name: &str, key: &AgentKey, message: &v1::MsgAuthorizeAgent) -> Told {
    Told {
        name: Some(name.to_owned()),
        key_hex: key.to_string(),
        scope: message.scope(),
        subaccounts: message.subaccounts.clone(),
        until_ms: message.until_ms,
        expired: false,
    }
}

impl Told {
    fn may(&self) -> &'static str {
        match self.scope {
            v1::AgentScope::Trading => "trade",
            v1::AgentScope::Cancelling => "cancel",
            v1::AgentScope::Unspecified => "do nothing",
        }
    }

    fn where_to(&self) -> String {
        match self.subaccounts.as_slice() {
            [] => "all subaccounts".to_owned(),
            [one] => format!("subaccount {one}"),
            some => {
                let numbers: Vec<String> = some.iter().map(u32::to_string).collect();
                format!("subaccounts {}", numbers.join(", "))
            }
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "agent_key": self.key_hex,
            "scope": self.may(),
            "subaccounts": self.subaccounts,
            "until_ms": self.until_ms,
            "until": time_text(self.until_ms),
            "expired": self.expired,
        })
    }
}

/// Names and public keys of the agents whose files are in the folder. A file that cannot be read
/// has no name here.
fn known(home: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder(home)).into_iter().flatten();
    let files = entries.filter_map(|entry| AgentFile::load(&entry.ok()?.path()).ok());
    files.map(|file| (file.name().to_owned(), file.key_hex().to_owned())).collect()
}

async fn list(context: &Context, owner: &Option<String>) -> Result<(), CliError> {
    let owner = context.address(owner)?;
    let answer = context.connect().await?.agents(&owner).await?;
    let known = known(&context.home()?);
    let agents = answer.agents.iter().map(|agent| {
        let key_hex = hex::encode(&agent.agent_key);
        let name = known.iter().find(|(_, key)| *key == key_hex).map(|(name, _)| name.clone());
        Told {
            name,
            key_hex,
            scope: agent.scope(),
            subaccounts: agent.subaccounts.clone(),
            until_ms: agent.until_ms,
            expired: agent.expired,
        }
    });
    let agents: Vec<Told> = agents.collect();
    let text = || {
        if agents.is_empty() {
            return format!("{owner} has no agents: `tidemark agent new` makes one.");
        }
        let mut table = Table::new(5, &["agent", "may", "in", "until", "key"]);
        for agent in &agents {
            let until = time_text(agent.until_ms);
            let until = if agent.expired { format!("{until}, expired") } else { until };
            let name = agent.name.clone().unwrap_or_else(|| "-".to_owned());
            let (may, key) = (agent.may().to_owned(), agent.key_hex.clone());
            table.row(vec![name, may, agent.where_to(), until, key]);
        }
        table.render()
    };
    context.print(text, || agents.iter().map(Told::json).collect());
    Ok(())
}

/// The public key of an agent that was named.
fn named_key(home: &Path, named: &str) -> Result<AgentKey, CliError> {
    let hex_of =
        |text: &str| hex::decode(text).ok().and_then(|key| AgentKey::from_bytes(&key).ok());
    if let Some(key) = hex_of(named) {
        return Ok(key);
    }
    let path = path(home, named)?;
    let file = AgentFile::load(&path)?;
    hex_of(file.key_hex()).ok_or_else(|| {
        let why = "its agent_key_hex is no key".to_owned();
        KeyError::Malformed { path, why }.into()
    })
}

async fn revoke(context: &Context, named: &str) -> Result<(), CliError> {
    let key = named_key(&context.home()?, named)?;
    let mut sender = context.sender(&context.owners_key()?).await?;
    let done = format!("agent {named} of {} may nothing any more", sender.address());
    send(context, &mut sender, &revoke_agent(&key), &done).await
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        new: NewAgent,
    }

    fn args(words: &[&str]) -> NewAgent {
        Line::try_parse_from([&["new"], words].concat()).unwrap().new
    }

    #[test]
    fn an_agent_has_the_name_that_is_given_or_that_of_its_file_or_the_first_that_is_free() {
        let home = tempfile::tempdir().unwrap();
        let name = |words: &[&str]| name(home.path(), &args(words));
        assert_eq!(name(&["--name", "bot", "--out", "x/y.json"]).unwrap(), "bot");
        assert_eq!(name(&["--out", "x/quoter.json"]).unwrap(), "quoter");
        assert_eq!(name(&[]).unwrap(), "agent-1");
        let pair = AgentKeyPair::generate("agent-1", Address([1; 20])).unwrap();
        pair.save_new(&path(home.path(), "agent-1").unwrap(), Protection::Plain).unwrap();
        assert_eq!(name(&[]).unwrap(), "agent-2");
        assert!(name(&["--name", "../x"]).is_err());
        assert_eq!(known(home.path()), [("agent-1".to_owned(), pair.key().to_string())]);
        let by_name = named_key(home.path(), "agent-1").unwrap();
        assert_eq!(by_name, named_key(home.path(), &pair.key().to_string()).unwrap());
        assert!(named_key(home.path(), "agent-7").is_err());
    }

    #[test]
    fn an_agent_is_for_a_span_or_until_a_time() {
        assert_eq!(args(&[]).valid_for.as_secs(), 30 * 86_400);
        let until = args(&["--until", "2026-12-31", "--subaccounts", "0,3"]);
        assert_eq!((until.until, until.subaccounts), (Some(1_798_675_200_000), vec![0, 3]));
        let both = ["new", "--until", "2026-12-31", "--valid-for", "1d"];
        assert!(Line::try_parse_from(both).is_err());
    }
}
