//! Rules, decisions and paths that the text names.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{File, Tree};

const RULES: &str = "docs/rules/";
const DECISIONS: &str = "docs/adr/";

/// The numbers that follow each `§` or `§§` of a line, those between the ends of a range included:
/// `§7.3`, `§§2, 3`, `§§2–4`, `§§2.11 to 2.15`.
fn cited(line: &str) -> Vec<String> {
    let mut numbers = Vec::new();
    for part in line.split('§').skip(1) {
        let part = part.replace(" to ", "–").replace(" and ", ", ");
        let list: String = part
            .chars()
            .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | ' ' | '–'))
            .collect();
        for item in list.split([',', ' ']) {
            let ends: Vec<&str> = item.split('–').map(|end| end.trim_matches('.')).collect();
            match ends[..] {
                [from, to] if !to.is_empty() => numbers.extend(range(from, to)),
                [number, ..] if !number.is_empty() => numbers.push(number.to_owned()),
                _ => {}
            }
        }
    }
    numbers
}

/// All numbers of a range within one section, or of whole sections; both ends where it is neither.
fn range(from: &str, to: &str) -> Vec<String> {
    let split = |end: &str| -> Option<(String, u32)> {
        let (section, rule) = end.rsplit_once('.').unwrap_or(("", end));
        Some((section.to_owned(), rule.parse().ok()?))
    };
    match (split(from), split(to)) {
        (Some((section, first)), Some((last_section, last))) if section == last_section => {
            let dot = if section.is_empty() { "" } else { "." };
            (first..=last).map(|rule| format!("{section}{dot}{rule}")).collect()
        }
        _ => vec![from.to_owned(), to.to_owned()],
    }
}

#[test]
fn a_range_of_rules_cites_each_of_them() {
    assert_eq!(cited("rules §7.3, then rules §§2–4."), ["7.3", "2", "3", "4"]);
    assert_eq!(cited("(rules §§2.11 to 2.13, 3)"), ["2.11", "2.12", "2.13", "3"]);
    assert_eq!(cited("§2.3, §2.18 and §8.1–8.2"), ["2.3", "2.18", "8.1", "8.2"]);
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

/// The links of a line, each with its text, without back ticks, and its path from the root.
fn links(line: &str) -> Vec<(&str, String)> {
    let mut links = Vec::new();
    for rest in line.split("[`").skip(1) {
        if let Some((name, (path, _))) =
            rest.split_once("`](").and_then(|(name, rest)| Some((name, rest.split_once(')')?)))
        {
            links.push((name, path.trim_start_matches("../../").to_owned()));
        }
    }
    links
}

/// Returns true if a file defines a test of this name; inside of `proptest!`, too, a test has the
/// attribute.
fn defines_test(file: &File, name: &str) -> bool {
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let is_definition = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with('('))
    };
    let is_test = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
    lines.iter().enumerate().any(|(at, line)| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with(['#', '/']));
        is_definition(line) && above.into_iter().any(|line| is_test(line))
    })
}

/// Rules without a line `Code:` or `Tests:`, or with a link there to a file that does not exist or
/// does not define the test.
pub fn rules_without_proof(tree: &Tree) -> Vec<String> {
    let files: BTreeMap<&str, &File> =
        tree.files().map(|file| (file.path.as_str(), file)).collect();
    let mut findings = Vec::new();
    for rule in rules(tree).into_iter().filter(|rule| !rule.is_section) {
        let line = |label: &str| rule.text.lines().find_map(|line| line.strip_prefix(label));
        let mut report = |what: String| {
            findings.push(format!("{}: §{} {what}", rule.place, rule.number));
        };
        let code = links(line("Code:").unwrap_or_default());
        if code.is_empty() {
            report("names no code".to_owned());
        }
        for (name, path) in code {
            if name != path || !files.contains_key(path.as_str()) {
                report(format!("names no file {name} at {path}"));
            }
        }
        let tests = links(line("Tests:").unwrap_or_default());
        if tests.is_empty() {
            report("names no test".to_owned());
        }
        for (name, path) in tests {
            let file = files.get(path.as_str());
            if !file.is_some_and(|file| defines_test(file, name)) {
                report(format!("names no test {name} of {path}"));
            }
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
