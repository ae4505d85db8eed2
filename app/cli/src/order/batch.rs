//! `tidemark batch`: order commands from a file, one a line, in one transaction.

use std::io::Read as _;
use std::path::Path;

use clap::Parser as _;
use serde_json::{json, Value};
use tidemark_client::{usdc, ClientError, Receipt};
use tidemark_proto::types::MAX_OPERATIONS;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::{v1, Code, Refusal};

use super::build::ChainData;
use super::{fee_words, outcome, print_accepted, without_result, word};
use crate::agents::OrderSigner;
use crate::args::{Batch, BatchLine, OrderCommand};
use crate::{wait_for, CliError, Context};

/// An order command with the number of its line.
type Line = (usize, OrderCommand);

pub(crate) async fn run(context: &Context, args: &Batch) -> Result<(), CliError> {
    let lines = lines(&read(&args.file)?).map_err(CliError::Usage)?;
    let subaccount = context.global.subaccount;
    let mut signer = OrderSigner::of(context).await?;
    let commands: Vec<&OrderCommand> = lines.iter().map(|(_, command)| command).collect();
    signer.check(subaccount, &commands)?;
    let chain_data = ChainData::of(&signer.sender, subaccount, &commands).await?;
    let operations = operations(&chain_data, &lines).map_err(CliError::Usage)?;
    let mode = if args.all_or_none { v1::BatchMode::All } else { v1::BatchMode::Each };
    let wait_for = wait_for(args.wait.until);
    let submitted = signer.sender.batch(subaccount, operations.clone(), mode, wait_for).await;
    let Receipt { tx_hash, height, results, flat_fee_atoms } =
        submitted.map_err(|error| by_line(error, &lines))?;
    let Some(height) = height else {
        print_accepted(context, &tx_hash);
        return Ok(());
    };
    if results.len() != operations.len() {
        return Err(without_result(height, tx_hash));
    }
    let outcomes: Vec<LineOutcome> = lines
        .iter()
        .zip(operations.iter().zip(&results))
        .map(|((line, _), (operation, result))| LineOutcome { line: *line, operation, result })
        .collect();
    if let Some(cause) =
        outcomes.iter().filter(|_| args.all_or_none).find(|outcome| outcome.is_cause())
    {
        let message =
            format!("line {}: {}{}", cause.line, cause.result.message, cause.hint(&chain_data));
        return Err(CliError::refused(cause.result.code, &format!("nothing was done: {message}")));
    }
    context.print(
        || {
            let mut text: Vec<String> =
                outcomes.iter().map(|outcome| outcome.text(&chain_data)).collect();
            text.push(format!("(block {height}){}", fee_words(flat_fee_atoms)));
            text.join("\n")
        },
        || {
            let results: Vec<Value> =
                outcomes.iter().map(|outcome| outcome.json(&chain_data)).collect();
            json!({
                "outcome": "committed",
                "tx_hash": tx_hash,
                "height": height,
                "flat_fee": usdc(flat_fee_atoms),
                "results": results,
            })
        },
    );
    match results.iter().filter(|result| result.code != 0).count() {
        0 => Ok(()),
        refused => Err(CliError::Partly { refused, of: results.len() }),
    }
}

fn read(file: &Path) -> Result<String, CliError> {
    let read = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| CliError::Usage(format!("{} cannot be read: {error}", file.display())))
}

/// The commands of a file.
///
/// # Errors
/// A sentence for each malformed line, or one about their number.
fn lines(text: &str) -> Result<Vec<Line>, String> {
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        let words: Vec<&str> =
            words.enumerate().filter(|word| *word != (0, "tidemark")).map(|word| word.1).collect();
        if words.is_empty() {
            continue;
        }
        match BatchLine::try_parse_from(words) {
            Ok(BatchLine { command }) if command.wait().is_some() => {
                drop(command);
                wrong.push(format!(
                    "line {}: --wait goes with `tidemark batch`, for all lines",
                    at + 1
                ));
            }
            Ok(BatchLine { command }) => lines.push((at + 1, command)),
            Err(error) => {
                wrong.push(format!("line {}: {}", at + 1, one_sentence(&error.to_string())))
            }
        }
    }
    match lines.len() {
        _ if !wrong.is_empty() => Err(wrong.join("\n")),
        1..=MAX_OPERATIONS => Ok(lines),
        0 => Err("there is no line with an operation".into()),
        count => Err(format!("there are {count} operations, must be 1 to {MAX_OPERATIONS}")),
    }
}

/// Clap's error for a line, without the usage of the whole program.
fn one_sentence(error: &str) -> String {
    let said = error.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = said.take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    let text = said.collect::<Vec<_>>().join(" ");
    text.strip_prefix("error: ").unwrap_or(&text).replace(" tip: ", "; ")
}

fn operations(chain_data: &ChainData, lines: &[Line]) -> Result<Vec<Operation>, String> {
    let (mut operations, mut wrong) = (Vec::new(), Vec::new());
    for (line, command) in lines {
        match chain_data.operation(command) {
            Ok(operation) => operations.push(operation),
            Err(refusal) => wrong.push(format!("line {line}: {refusal}")),
        }
    }
    if wrong.is_empty() {
        Ok(operations)
    } else {
        Err(wrong.join("\n"))
    }
}

/// A refusal of the whole transaction for one operation, with the number of its line.
fn by_line(error: ClientError, lines: &[Line]) -> ClientError {
    let ClientError::Refused(refusal) = &error else { return error };
    let named = refusal.message.strip_prefix("operation ").and_then(|rest| rest.split_once(": "));
    let line = named.and_then(|(at, why)| Some((lines.get(at.parse::<usize>().ok()?)?.0, why)));
    match line {
        Some((line, why)) => {
            Refusal::new(refusal.code, format!("nothing was done: line {line}: {why}")).into()
        }
        None => error,
    }
}

/// The outcome of a line.
struct LineOutcome<'a> {
    line: usize,
    operation: &'a Operation,
    result: &'a v1::OperationResult,
}

impl LineOutcome<'_> {
    /// True if this line is why an all-or-none batch was refused.
    fn is_cause(&self) -> bool {
        self.result.code != 0 && self.result.code != Code::BatchRefused.number()
    }

    fn hint(&self, chain_data: &ChainData) -> String {
        outcome::hint(self.operation, self.result, &chain_data.markets)
    }

    fn text(&self, chain_data: &ChainData) -> String {
        let Self { line, operation, result } = self;
        match result.code {
            0 => format!(
                "line {line}: {}",
                outcome::sentence(operation, result, chain_data.market_of(operation))
            ),
            code => format!(
                "line {line}: refused, {}{}",
                CliError::refused(code, &result.message),
                self.hint(chain_data)
            ),
        }
    }

    fn json(&self, chain_data: &ChainData) -> Value {
        let market = chain_data.market_of(self.operation);
        let mut json = outcome::result_json(self.operation, self.result, market);
        json["line"] = json!(self.line);
        json["market"] = json!(market.map(|market| &market.symbol));
        json["code"] = json!(word(self.result.code));
        json["message"] = json!((self.result.code != 0).then_some(&self.result.message));
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_command_a_line() {
        let text = "# quotes\nplace --market BTC-USD --side buy --price 1 --size 1\n\n  tidemark \
                    cancel-all # all\ndead-man --off";
        let lines = lines(text).unwrap();
        assert_eq!(lines.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4, 5]);
        assert!(matches!(lines[1].1, OrderCommand::CancelAll(_)));
    }

    #[test]
    fn a_transaction_that_is_refused_for_an_operation_names_its_line() {
        let lines = lines("# first\ncancel-all\n\ncancel-all").unwrap();
        let refused =
            |message: &str| by_line(Refusal::new(Code::InvalidArgument, message).into(), &lines);
        for (message, expected) in [
            ("operation 1: lots is 0", "INVALID_ARGUMENT: nothing was done: line 4: lots is 0"),
            ("operation 2: lots is 0", "INVALID_ARGUMENT: operation 2: lots is 0"),
            ("not signed", "INVALID_ARGUMENT: not signed"),
        ] {
            assert_eq!(refused(message).to_string(), expected);
        }
    }

    #[test]
    fn a_line_that_is_no_operation_is_named_with_what_is_wrong() {
        for (text, sentence) in [
            (
                "cancel-all\nplce --market X",
                "line 2: unrecognized subcommand 'plce'; a similar subcommand exists: 'place'",
            ),
            (
                "place --market X --side up",
                "line 1: invalid value 'up' for '--side <SIDE>' [possible values: buy, sell]",
            ),
            (
                "cancel --market X",
                "line 1: the following required arguments were not provided: --id <N>",
            ),
            ("cancel-all --key a", "line 1: unexpected argument '--key' found"),
            ("cancel-all --wait accepted", "line 1: --wait goes with `tidemark batch`"),
            ("deposit --amount 1", "line 1: unrecognized subcommand 'deposit'"),
            ("--help", "line 1: unexpected argument '--help' found"),
            ("# nothing\n", "no line with an operation"),
        ] {
            let refusal = lines(text).unwrap_err();
            assert!(refusal.contains(sentence), "{text}: {refusal}");
        }
        let both = lines("x\ncancel-all\ny").unwrap_err();
        assert!(both.contains("line 1: ") && both.contains("\nline 3: "), "{both}");
        assert_eq!(lines(&"cancel-all\n".repeat(512)).unwrap().len(), 512);
        assert!(lines(&"cancel-all\n".repeat(513)).unwrap_err().contains("513 operations"));
    }
}
