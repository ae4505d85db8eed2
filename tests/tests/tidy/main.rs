//! The habits of this repository that a machine can see: width, length, citations that lead
//! somewhere, and modules without circles. A bound above 0 is a ratchet: it is what the tree has
//! today, and it may only fall.

mod citations;
mod length;
mod modules;
mod prose;
mod rooms;
mod source;
mod width;

use source::Tree;

/// Asserts that there are no more findings than the bound allows.
fn ratchet(what: &str, findings: &[String], bound: usize) {
    let (count, list) = (findings.len(), findings.join("\n"));
    assert!(count <= bound, "{what}: {count}, at most {bound}\n{list}");
    if count < bound {
        println!("{what}: {count} are left of {bound}: lower the bound");
    }
}

#[test]
fn lines_are_at_most_100_columns_wide() {
    let tree = Tree::read();
    ratchet("wide lines of Rust", &width::rust(&tree), 0);
    ratchet("wide lines of Markdown", &width::markdown(&tree), 0);
}

#[test]
fn files_and_functions_of_production_code_are_short() {
    let tree = Tree::read();
    ratchet("long files", &length::files(&tree), 0);
    ratchet("long functions", &length::functions(&tree), 0);
}

#[test]
fn rules_that_are_cited_exist_and_have_a_test() {
    let tree = Tree::read();
    ratchet("citations of no rule", &citations::of_no_rule(&tree), 0);
    ratchet("rules without code or test", &citations::rules_without_proof(&tree), 0);
}

#[test]
fn decisions_that_are_cited_exist() {
    ratchet("citations of no ADR", &citations::of_no_adr(&Tree::read()), 0);
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    ratchet("paths of a machine", &citations::machine_paths(&Tree::read()), 0);
}

#[test]
fn the_engine_knows_no_wire_type() {
    ratchet("wire types in the engine", &modules::wire_types(&Tree::read()), 0);
}

#[test]
fn modules_of_the_engine_form_no_circle() {
    ratchet("files in a circle", &modules::circles(&Tree::read(), modules::ENGINE), 0);
}

#[test]
fn floors_of_a_blocks_execution_import_only_from_below() {
    ratchet("upward imports", &modules::upward_imports(&Tree::read()), 0);
}

#[test]
fn the_table_of_crates_is_that_of_the_manifests() {
    ratchet("rooms of another house", &rooms::of_another_house(&Tree::read()), 0);
}

#[test]
fn modules_of_matching_form_no_circle() {
    ratchet("files in a circle", &modules::circles(&Tree::read(), "matching/src"), 0);
}

#[test]
fn modules_of_risk_form_no_circle() {
    ratchet("files in a circle", &modules::circles(&Tree::read(), "risk/src"), 0);
}

#[test]
fn doc_comments_begin_with_their_subject() {
    ratchet(
        "comments that begin with What, Whether, That or The same",
        &prose::riddles(&Tree::read()),
        0,
    );
}
