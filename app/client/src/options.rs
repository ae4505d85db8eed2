//! Options that the command line and the devnet share.

use std::time::Duration;

use clap::ValueEnum;
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document, or one a line where results go on.
    Json,
}

/// A span of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// A sentence with examples.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let span_ms = unit_ms.and_then(|unit_ms: u64| number.parse::<u64>().ok()?.checked_mul(unit_ms));
    match span_ms {
        Some(0) | None => {
            Err("a duration is a whole number above 0 with a unit: 500ms, 30s, 10m, 2h, 1d".into())
        }
        Some(span_ms) => Ok(Duration::from_millis(span_ms)),
    }
}

/// A moment in UTC as Unix milliseconds: a date, `2026-12-31`, or with the time of day as RFC 3339
/// has it, `2026-12-31T18:00:00Z`.
///
/// # Errors
/// A sentence with examples.
pub fn time_ms(text: &str) -> Result<u64, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time = OffsetDateTime::parse(&whole, &Rfc3339).ok();
    let millis = time.and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok());
    millis.ok_or_else(|| "a time is 2026-12-31 or 2026-12-31T18:00:00Z, in UTC".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in
            ["", "10", "m", "0s", "1.5s", "-1s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_dates_or_rfc_3339() {
        assert_eq!(time_ms("1970-01-02"), Ok(86_400_000));
        assert_eq!(time_ms("2026-11-28T12:00:00.250Z"), Ok(1_795_867_200_250));
        assert_eq!(time_ms("1970-01-01T01:00:00+01:00"), Ok(0));
        for bad in ["", "tomorrow", "2026-13-01", "2026-11-28 12:00", "1969-12-31", "1795867200"] {
            assert!(time_ms(bad).is_err(), "{bad}");
        }
    }
}
