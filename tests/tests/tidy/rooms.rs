//! The table of crates in the architecture, against the crates' manifests.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Tree;

const TABLE: &str = "docs/architecture.md";
const OURS: &str = "tidemark-";

/// The crates of this repository that each crate imports, by folder, from the manifests.
fn manifests(tree: &Tree) -> BTreeMap<&str, BTreeSet<String>> {
    let mut imports = BTreeMap::new();
    for file in tree.files() {
        let Some(folder) = file.path.strip_suffix("/Cargo.toml") else { continue };
        // A package with a workspace of its own is no room of this house.
        if file.text.lines().any(|line| line == "[workspace]") {
            continue;
        }
        let lines = file.text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
        let names = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| {
            let name = line.strip_prefix(OURS)?.split([' ', '.', '=']).next()?;
            Some(name.replace('-', "_"))
        });
        imports.insert(folder, names.collect());
    }
    imports
}

/// The imports of each crate by the table: its first column is the folder, its last the imports.
fn table(tree: &Tree) -> BTreeMap<&str, BTreeSet<String>> {
    let page = tree.markdown().find(|file| file.path == TABLE).expect("the architecture");
    let rows = page.text.lines().skip_while(|line| !line.starts_with("| crate |")).skip(2);
    let mut imports = BTreeMap::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else { continue };
        let names = last.split('`').skip(1).step_by(2).map(str::to_owned);
        imports.insert(first.trim_matches('`'), names.collect());
    }
    imports
}

/// Rows of the table that are not as the manifests are, and crates that have none.
pub fn of_another_house(tree: &Tree) -> Vec<String> {
    let (built, told) = (manifests(tree), table(tree));
    let folders: BTreeSet<&str> = built.keys().chain(told.keys()).copied().collect();
    let mut findings = Vec::new();
    for folder in folders {
        match (built.get(folder), told.get(folder)) {
            (Some(built), Some(told)) if built == told => {}
            (built, told) => {
                findings
                    .push(format!("{TABLE}: {folder} imports {built:?}, the table has {told:?}"));
            }
        }
    }
    findings
}
