//! Rules, decisions and paths that the text names.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{File, Tree};

const RULES: &str = "docs/rules/";
const DECISIONS: &str = "docs/adr/";

/// The numbers that follow each `§` or `§§` of a line: `§7.3`, `§§2, 3`, `§§2–4`.
fn cited(line: &str) -> Vec<String> {
    let mut numbers = Vec::new();
    for part in line.split('§').skip(1) {
        let list: String = part
            .chars()
            .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | ' '))
            .collect();
        let of_list = list.split([',', ' ']).map(|number| number.trim_matches('.'));
        numbers.extend(of_list.filter(|number| !number.is_empty()).map(str::to_owned));
    }
    numbers
}

/// A rule: its heading's number, and what follows it up to the next heading.
struct Rule {
    number: String,
    /// The heading is that of a whole section, whose rules follow.
    is_section: bool,
    place: String,
    text: String,
}

fn rules(tree: &Tree) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for file in tree.files().filter(|file| file.path.starts_with(RULES)) {
        let mut is_rule = false;
        for (line_number, line) in file.lines() {
            if line.starts_with('#') {
                let number = line.split_once('§').map(|(_, rest)| {
                    let digits = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.');
                    digits.collect::<String>().trim_matches('.').to_owned()
                });
                is_rule = number.is_some();
                let (place, is_section) =
                    (format!("{}:{line_number}", file.path), !line.starts_with("### "));
                rules.extend(number.map(|number| Rule {
                    number,
                    is_section,
                    place,
                    text: String::new(),
                }));
            } else if let Some(rule) = rules.last_mut().filter(|_| is_rule) {
                rule.text.push_str(line);
                rule.text.push('\n');
            }
        }
    }
    rules
}

/// Citations of sections that no heading of the rules has.
pub fn of_no_rule(tree: &Tree) -> Vec<String> {
    let known: BTreeSet<String> = rules(tree).into_iter().map(|rule| rule.number).collect();
    let mut findings = Vec::new();
    for file in tree.files().filter(|file| file.is_rust() || file.path.ends_with(".md")) {
        for (number, line) in file.lines() {
            for section in cited(line).iter().filter(|section| !known.contains(*section)) {
                findings.push(format!("{}:{number}: §{section}", file.path));
            }
        }
    }
    findings
}

/// Rules without a line `Code:` or `Tests:`, or with a test there that does not exist.
pub fn rules_without_proof(tree: &Tree) -> Vec<String> {
    let mut tests = BTreeSet::new();
    for file in tree.rust() {
        let words = file.text.split("fn ").skip(1);
        tests.extend(words.map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
        }));
    }
    let mut findings = Vec::new();
    for rule in rules(tree).into_iter().filter(|rule| !rule.is_section) {
        let line = |label: &str| rule.text.lines().find_map(|line| line.strip_prefix(label));
        if line("Code:").is_none() {
            findings.push(format!("{}: §{} names no code", rule.place, rule.number));
        }
        let named: Vec<&str> = line("Tests:")
            .map(|line| line.split('`').skip(1).step_by(2).collect())
            .unwrap_or_default();
        if named.is_empty() {
            findings.push(format!("{}: §{} names no test", rule.place, rule.number));
        }
        for name in named.into_iter().filter(|name| !tests.contains(*name)) {
            findings.push(format!("{}: §{} names no test {name}", rule.place, rule.number));
        }
    }
    findings
}

/// Citations `ADR 15` of decisions that are not there.
pub fn of_no_adr(tree: &Tree) -> Vec<String> {
    let known: BTreeMap<u32, &str> = tree
        .files()
        .filter_map(|file| {
            let name = file.path.strip_prefix(DECISIONS)?;
            Some((name.split('-').next()?.parse().ok()?, name))
        })
        .collect();
    let mut findings = Vec::new();
    for file in tree.files().filter(|file| !file.path.starts_with("tests/tests/tidy/")) {
        for (number, line) in file.lines() {
            for rest in line.split("ADR ").skip(1) {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                if digits.parse().is_ok_and(|adr: u32| !known.contains_key(&adr)) {
                    findings.push(format!("{}:{number}: ADR {digits}", file.path));
                }
            }
        }
    }
    findings
}

/// Paths that exist on one machine only.
pub fn machine_paths(tree: &Tree) -> Vec<String> {
    let marks = ["/root", "/work", "/Users"].map(|path| format!("{path}/"));
    let mut findings = Vec::new();
    let is_text = |file: &&File| !file.path.ends_with(".lock");
    for file in tree.files().filter(is_text) {
        for (number, line) in file.lines() {
            let starts = |mark: &String| {
                let at = line.find(mark.as_str());
                at.is_some_and(|at| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.')
                })
            };
            if marks.iter().any(starts) {
                findings.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    findings
}
