//! Lines of at most 100 columns. Exempt are tables, links, code blocks, and, in Rust, literals
//! that cannot be broken.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};

use super::source::{File, Tree};

const COLUMNS: usize = 100;

/// A literal without a space, longer than this, leaves no place to break its line.
const UNBREAKABLE: usize = 60;

fn is_wide(line: &str) -> bool {
    line.chars().count() > COLUMNS
}

fn finding(file: &File, number: usize, line: &str) -> String {
    format!("{}:{number}: {} columns", file.path, line.chars().count())
}

pub fn rust(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| file.lines().any(|(_, line)| is_wide(line))) {
        let exempt = literal_lines(file);
        let mut block = false;
        for (number, line) in file.lines() {
            let doc = line.trim_start();
            let doc = doc.strip_prefix("//!").or_else(|| doc.strip_prefix("///"));
            let doc = doc.map(str::trim_start);
            block ^= doc.is_some_and(|text| text.starts_with("```"));
            let is_table = doc.is_some_and(|text| text.starts_with('|'));
            let is_code = block && doc.is_some();
            let is_exempt = is_table || is_code || line.contains("://") || exempt.contains(&number);
            if is_wide(line) && !is_exempt {
                findings.push(finding(file, number, line));
            }
        }
    }
    findings
}

/// Lines that hold a literal which cannot be broken: a raw string, or a long one without spaces.
fn literal_lines(file: &File) -> BTreeSet<usize> {
    fn visit(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => visit(group.stream(), lines),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let is_raw = text.starts_with("r\"") || text.starts_with("r#");
                    let longest = text.split_whitespace().map(str::len).max().unwrap_or(0);
                    if is_raw || longest > UNBREAKABLE {
                        let span = literal.span();
                        lines.extend(span.start().line..=span.end().line);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
    let mut lines = BTreeSet::new();
    visit(file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path)), &mut lines);
    lines
}

pub fn markdown(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.markdown() {
        let mut block = false;
        for (number, line) in file.lines() {
            let text = line.trim_start();
            let is_fence = text.starts_with("```");
            block ^= is_fence;
            let is_exempt = block
                || is_fence
                || text.starts_with('|')
                || text.contains("](")
                || text.contains("://");
            if is_wide(line) && !is_exempt {
                findings.push(finding(file, number, line));
            }
        }
    }
    findings
}
