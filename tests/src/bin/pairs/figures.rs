//! Throughput as a benchmark tells it: in its measures, or as older revisions did.

use std::collections::BTreeMap;

use serde_json::Value;
use tidemark_tests::measures::{Better, Measure};

/// Throughput by the measure's name and unit.
pub type Figures = BTreeMap<String, f64>;

/// Reads what a benchmark wrote and printed; `None` if there is no throughput.
pub fn read(json: Option<&str>, printed: &str) -> Option<Figures> {
    let json: Option<Value> = json.and_then(|text| serde_json::from_str(text).ok());
    let json = json.unwrap_or(Value::Null);
    let figures = measures(&json).or_else(|| rows(&json)).or_else(|| table(printed))?;
    (!figures.is_empty()).then_some(figures)
}

fn key(name: &str, unit: &str) -> String {
    format!("{name}, {unit}")
}

fn measures(json: &Value) -> Option<Figures> {
    let measures: Vec<Measure> = serde_json::from_value(json.get("measures")?.clone()).ok()?;
    let throughput = measures.into_iter().filter(|measure| measure.better == Better::Higher);
    Some(throughput.map(|measure| (key(&measure.name, &measure.unit), measure.value)).collect())
}

/// `bench-matching` before it wrote measures: our rows, with the rates of all runs, ascending.
fn rows(json: &Value) -> Option<Figures> {
    let mut figures = Figures::new();
    for row in json.get("engines")?.as_array()? {
        let engine = row.get("engine")?.as_str()?;
        let rates = row.get("mops")?.as_array()?;
        let median = rates.get(rates.len() / 2).and_then(Value::as_f64);
        let is_ours = engine.starts_with("tidemark");
        if let Some(rate) = median.filter(|_| is_ours) {
            let name = format!("{engine}, {} orders before", row.get("warm")?);
            figures.insert(key(&name, "M operations/s"), rate);
        }
    }
    Some(figures)
}

/// `bench-exec` before it wrote measures: a table of phases, whose last column is ns an operation.
fn table(printed: &str) -> Option<Figures> {
    let last = |line: &str| -> Option<f64> {
        line.trim_end_matches([' ', '|']).rsplit('|').next()?.trim().parse().ok()
    };
    let rows = printed.lines().skip_while(|line| !line.contains("ns an operation")).skip(2);
    let ns: f64 = rows.map_while(last).sum::<f64>();
    (ns > 0.0).then(|| Figures::from([(key("operations", "operations/s"), 1e9 / ns)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_forms_and_measures_tell_the_same() {
        let printed = "8 operations in 2 blocks, 0 refused\n\
                       | phase | µs a block | ns an operation |\n|---|---:|---:|\n\
                       | transactions | 3 | 800 |\n| hash | 1 | 200 |\n";
        let of_table = read(None, printed);
        let measure = Measure::throughput("operations", 1e6, "operations/s");
        let json = serde_json::json!({ "measures": [measure] }).to_string();
        assert_eq!(of_table, read(Some(&json), ""));
        let json = r#"{"engines":[{"engine":"tidemark","warm":9,"mops":[1.0,2.0,3.0]},
                       {"engine":"other","warm":9,"mops":[7.0]}]}"#;
        let figures = Figures::from([("tidemark, 9 orders before, M operations/s".into(), 2.0)]);
        assert_eq!(read(Some(json), ""), Some(figures));
        assert_eq!(read(None, "nothing"), None);
    }
}
