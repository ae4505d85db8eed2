//! How doc comments begin.

use super::source::Tree;

const RIDDLES: [&str; 4] = ["What", "Whether", "That", "The same"];

fn doc(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))
}

/// Doc comments whose first words are a question or point at something unnamed.
pub fn riddles(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let mut is_inside = false;
        for (number, line) in file.lines() {
            let text = doc(line).map(str::trim_start);
            let begins = |word: &str| {
                let rest = text.and_then(|text| text.strip_prefix(word));
                rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            };
            if !is_inside && RIDDLES.into_iter().any(begins) {
                findings.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
            is_inside = text.is_some();
        }
    }
    findings
}
