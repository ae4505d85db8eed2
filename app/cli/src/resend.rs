//! Transactions whose outcome is unknown: their bytes are kept, and `resend` sends these again.
//! They are carried out once at most, and the answer says what became of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use tidemark_client::{usdc, ClientError, Receipt};
use tidemark_proto::{v1, Code};

use super::args::Resend;
use super::order::{fee_words, print_accepted};
use super::{wait_for, CliError, Context};

/// Most that are kept; the oldest go first.
const MAX_KEPT: usize = 64;

/// Keeps the bytes of a transaction whose outcome is unknown; returns what to say of it.
pub(super) fn keep(context: &Context, error: &CliError) -> Option<String> {
    let CliError::Client(ClientError::Unknown { tx_hash: Some(tx_hash), tx, .. }) = error else {
        return None;
    };
    if tx.is_empty() {
        return None;
    }
    let folder = folder(context).ok()?;
    // Who cannot keep them has still been told the hash.
    write(&folder, tx_hash, tx).ok()?;
    Some(format!(
        "; `tidemark answer {tx_hash}` says what became of it, and `tidemark resend {tx_hash}` \
         sends the same bytes again, which is harmless"
    ))
}

/// The bytes of a transaction that is kept, and the place of them.
pub(super) fn kept(context: &Context, tx_hash: &str) -> Result<(PathBuf, Vec<u8>), CliError> {
    let path = path(&folder(context)?, tx_hash);
    match fs::read(&path) {
        Ok(tx) => Ok((path, tx)),
        Err(error) => {
            Err(CliError::Usage(format!("cannot read transaction {}: {error}", path.display())))
        }
    }
}

/// A hash that was typed, in upper case.
pub(super) fn parse_hash(text: &str) -> Result<String, CliError> {
    if text.len() == 64 && text.chars().all(|letter| letter.is_ascii_hexdigit()) {
        return Ok(text.to_uppercase());
    }
    Err(CliError::Usage(format!("{text:?} is not 64 digits of hex")))
}

fn folder(context: &Context) -> Result<PathBuf, CliError> {
    Ok(context.home()?.join("unknown"))
}

fn path(folder: &Path, tx_hash: &str) -> PathBuf {
    folder.join(format!("{tx_hash}.tx"))
}

fn write(folder: &Path, tx_hash: &str, tx: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(path(folder, tx_hash), tx)?;
    let age = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
    };
    let mut kept: Vec<_> = fs::read_dir(folder)?.filter_map(age).collect();
    kept.sort_unstable();
    let surplus = kept.len().saturating_sub(MAX_KEPT);
    kept.iter().take(surplus).try_for_each(|(_, oldest)| fs::remove_file(oldest))
}

pub(super) async fn run(context: &Context, args: &Resend) -> Result<(), CliError> {
    let tx_hash = parse_hash(&args.tx_hash)?;
    let (path, tx) = kept(context, &tx_hash)?;
    let answer = context.connect().await?.send(tx, wait_for(args.wait.until)).await;
    // What an agent signed has its identity of other bytes than those that are sent.
    let answer = answer.map_err(|error| error.named(&tx_hash));
    let decided = match &answer {
        Ok(receipt) => receipt.height.is_some(),
        // Whatever else is refused may be taken later.
        Err(error) => error.code().is_some_and(Code::is_of_ended),
    };
    if decided {
        // It is of no more use; one that stays does no harm.
        let _ = fs::remove_file(&path);
    }
    print(context, &answer?);
    Ok(())
}

/// Prints what a block did.
pub(super) fn print(context: &Context, receipt: &Receipt) {
    let Receipt { tx_hash, height, results, flat_fee_atoms } = receipt;
    let Some(height) = height else {
        return print_accepted(context, tx_hash);
    };
    let text = || {
        let fee = fee_words(*flat_fee_atoms);
        let head = format!("transaction {tx_hash} is in block {height}{fee}");
        let lines = results.iter().zip(1..).map(|(result, at)| format!("\n{}", line(at, result)));
        lines.fold(head, |text, line| text + &line)
    };
    let result = |result: &v1::OperationResult| {
        json!({
            "code": result.code,
            "message": result.message,
            "order_id": result.order_id,
            "filled_lots": result.filled_lots,
            "resting_lots": result.resting_lots,
        })
    };
    let results: Vec<_> = results.iter().map(result).collect();
    context.print(text, || {
        json!({
            "outcome": "committed",
            "tx_hash": tx_hash,
            "height": height,
            "flat_fee": usdc(*flat_fee_atoms),
            "results": results,
        })
    });
}

/// The outcome of an operation, in the chain's units: the bytes are not read again.
fn line(at: usize, result: &v1::OperationResult) -> String {
    if result.code != 0 {
        let word = Code::from_number(result.code).map_or("refused", Code::word);
        return format!("operation {at}: {word}: {}", result.message);
    }
    let v1::OperationResult { order_id, filled_lots, resting_lots, .. } = result;
    format!("operation {at}: order {order_id}, {filled_lots} lots traded, {resting_lots} rest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_unknown_transactions_are_kept_and_no_more() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("unknown");
        for number in 0..MAX_KEPT + 3 {
            write(&folder, &format!("{number:064X}"), &[7]).unwrap();
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), MAX_KEPT);
        let last = path(&folder, &format!("{:064X}", MAX_KEPT + 2));
        assert_eq!(fs::read(last).unwrap(), [7]);
    }
}
