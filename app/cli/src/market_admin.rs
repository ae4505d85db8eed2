//! `tidemark market`: parameters of markets, as files that people edit.

use std::fs;
use std::path::Path;

use rust_decimal::Decimal;
use serde_json::json;
use tidemark_proto::params::MarketParams;
use tidemark_proto::v1;

use super::args::MarketCommand;
use super::trade::send;
use super::{find, print_line, CliError, Context};

/// A parameter file is a screenful; more is another file.
const MAX_FILE_BYTES: u64 = 1 << 20;

pub(super) async fn run(context: &Context, command: &MarketCommand) -> Result<(), CliError> {
    match command {
        MarketCommand::Show { market } => show(context, market).await,
        MarketCommand::Template { symbol, tick_size, lot_size, max_leverage } => {
            let params =
                MarketParams::with_defaults(symbol, e9(*tick_size)?, e9(*lot_size)?, *max_leverage);
            params.check().map_err(|refusal| CliError::Usage(refusal.message))?;
            print_line(&format!("{:#}", json!(params)));
            Ok(())
        }
        MarketCommand::ListNew { file, shares_collateral } => {
            let params = read(file)?;
            let done = format!("listed {}", params.symbol);
            let mut sender = context.sender(&context.key()?).await?;
            let message = v1::MsgListMarket {
                params: Some((&params).into()),
                shares_collateral: *shares_collateral,
                ..Default::default()
            };
            send(context, &mut sender, &message, &done).await
        }
        MarketCommand::Update { file } => {
            let params = read(file)?;
            let done = format!("changed {}", params.symbol);
            let mut sender = context.sender(&context.key()?).await?;
            let message =
                v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() };
            send(context, &mut sender, &message, &done).await
        }
    }
}

async fn show(context: &Context, symbol: &str) -> Result<(), CliError> {
    let markets = context.connect().await?.markets().await?;
    let (_, state) = find(&markets, symbol)?;
    let wire = state.params.clone().unwrap_or_default();
    let params =
        MarketParams::try_from(&wire).map_err(|refusal| CliError::Usage(refusal.message))?;
    let document = json!(params);
    let text = || {
        let fields = document.as_object().into_iter().flatten();
        let lines = fields.map(|(name, value)| format!("{name:<28} {value}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    context.print(text, || document.clone());
    Ok(())
}

fn read(file: &Path) -> Result<MarketParams, CliError> {
    let problem = |why: String| CliError::Usage(format!("{}: {why}", file.display()));
    let length = fs::metadata(file).map_err(|error| problem(error.to_string()))?.len();
    if length > MAX_FILE_BYTES {
        return Err(problem(format!("{length} bytes, at most {MAX_FILE_BYTES}")));
    }
    let text = fs::read_to_string(file).map_err(|error| problem(error.to_string()))?;
    let params: MarketParams = serde_json::from_str(&text).map_err(|error| {
        problem(format!("{error}; `tidemark market template` prints a whole file"))
    })?;
    params.check().map_err(|refusal| problem(refusal.message))?;
    Ok(params)
}

/// A size in 10⁻⁹ units.
fn e9(size: Decimal) -> Result<u64, CliError> {
    let units = size.checked_mul(Decimal::from(1_000_000_000));
    let whole = units.filter(|units| units.fract().is_zero() && units.is_sign_positive());
    whole.and_then(|units| u64::try_from(units).ok()).ok_or_else(|| {
        CliError::Usage(format!(
            "size {size} must be positive with at most 9 decimals, below 2^64 of them"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_file_reads_back_what_show_prints() {
        let params = MarketParams::with_defaults("DOGE-USD", 1_000_000, 1_000_000_000, 20);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{:#}", json!(params))).unwrap();
        assert_eq!(read(file.path()).unwrap(), params);
    }

    #[test]
    fn a_file_that_is_not_whole_says_what_is_missing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "{\"symbol\": \"X-USD\"}").unwrap();
        let error = read(file.path()).unwrap_err().to_string();
        assert!(error.contains("missing field") && error.contains("template"), "{error}");
    }
}
