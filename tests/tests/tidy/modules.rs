//! Which module of a crate names which other, by file, and what the engine may not name at all.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::source::{is_test_only, Tree};

/// Sources of the engine.
pub const ENGINE: &str = "app/engine/src";

/// Modules of `tidemark_proto` that are the wire.
const WIRE: [&str; 3] = ["v1", "tx", "grpc"];

/// Crates of the wire and of consensus.
const WIRE_CRATES: [&str; 6] =
    ["prost", "tonic", "tendermint", "tendermint_proto", "cosmrs", "cosmos_sdk_proto"];

/// Paths of the engine that lead to the wire.
pub fn wire_types(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.production().filter(|file| file.path.starts_with(ENGINE)) {
        let mut names = Names::default();
        names.visit_file(&file.syntax());
        for path in names.paths.iter().chain(names.passed_on.values()) {
            let is_in = |list: &[&str], at: usize| {
                path.get(at).is_some_and(|part| list.contains(&part.as_str()))
            };
            let is_proto = is_in(&["tidemark_proto"], 0);
            if is_in(&WIRE_CRATES, 0) || is_in(&["v1"], 0) || (is_proto && is_in(&WIRE, 1)) {
                findings.push(format!("{}: {}", file.path, path.join("::")));
            }
        }
    }
    findings
}

/// The floors of a block's execution, from the lowest; the rest of the engine is below all.
const FLOORS: [&[&str]; 6] = [
    &["account/"],
    &["collateral/"],
    &["order/"],
    &["operation/"],
    &["liquidation/", "settlement.rs", "administration.rs"],
    &["phases/"],
];

/// The floor of a file of the engine, from 1; 0 below them.
fn floor(file: &str) -> usize {
    let inside = file.strip_prefix(ENGINE).and_then(|path| path.strip_prefix("/exec/"));
    let is_on = |floor: &&[&str]| {
        inside.is_some_and(|inside| floor.iter().any(|part| inside.starts_with(part)))
    };
    FLOORS.iter().position(is_on).map_or(0, |at| at + 1)
}

/// Imports of the engine that lead to a higher floor.
pub fn upward_imports(tree: &Tree) -> Vec<String> {
    let modules = Crate::read(tree, ENGINE);
    let mut findings = Vec::new();
    for (file, names) in modules.edges() {
        for other in names.iter().filter(|other| floor(other) > floor(file)) {
            findings.push(format!("{file} → {other}"));
        }
    }
    findings
}

/// Files of a crate from which a chain of names leads through another file back to them, each with
/// the files that it names in its circle.
pub fn circles(tree: &Tree, sources: &str) -> Vec<String> {
    let modules = Crate::read(tree, sources);
    let edges = modules.edges();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|file| (*file, reachable(&edges, file))).collect();
    let mut findings = Vec::new();
    for (file, names) in &edges {
        let returns = |other: &&&str| reached[*other].contains(file);
        let circle: Vec<&str> = names.iter().filter(returns).copied().collect();
        if !circle.is_empty() {
            findings.push(format!("{file} → {}", circle.join(", ")));
        }
    }
    findings
}

type Edges<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

fn reachable<'a>(edges: &Edges<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = edges[from].iter().copied().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(&edges[file]);
        }
    }
    reached
}

/// The path of a module from the crate's root, e.g. `["state", "table"]`.
type ModulePath = Vec<String>;

struct Module<'a> {
    file: &'a str,
    /// Paths that the module names, as written.
    names: Vec<ModulePath>,
    /// Names under which it passes on what other modules hold.
    passed_on: BTreeMap<String, ModulePath>,
}

struct Crate<'a>(BTreeMap<ModulePath, Module<'a>>);

impl<'a> Crate<'a> {
    fn read(tree: &'a Tree, sources: &str) -> Self {
        let mut modules = BTreeMap::new();
        for file in tree.production() {
            let Some(inside) = file.path.strip_prefix(sources) else { continue };
            let inside = inside.trim_start_matches('/').trim_end_matches(".rs");
            let mut path: ModulePath = inside.split('/').map(str::to_owned).collect();
            if path[0] == "bin" || path == ["main"] {
                continue;
            }
            if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
                path.pop();
            }
            let mut names = Names::default();
            names.visit_file(&file.syntax());
            let module =
                Module { file: &file.path, names: names.paths, passed_on: names.passed_on };
            modules.insert(path, module);
        }
        Self(modules)
    }

    fn edges(&self) -> Edges<'a> {
        let mut edges = Edges::new();
        for (path, module) in &self.0 {
            let named = module.names.iter().filter_map(|name| self.resolve(path, name, 8));
            let named = named.filter(|file| *file != module.file).collect();
            edges.insert(module.file, named);
        }
        edges
    }

    /// The file that holds what a module calls `name`; `None` if that is outside of the crate.
    fn resolve(&self, module: &ModulePath, name: &[String], depth: u8) -> Option<&'a str> {
        let mut at = module.clone();
        let (first, mut rest) = name.split_first()?;
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
            }
            child => {
                at.push(child.to_owned());
                if !self.0.contains_key(&at) {
                    return None;
                }
            }
        }
        while let Some((segment, further)) = rest.split_first() {
            if segment == "super" {
                at.pop()?;
                rest = further;
                continue;
            }
            let child: ModulePath = at.iter().chain([segment]).cloned().collect();
            if self.0.contains_key(&child) {
                (at, rest) = (child, further);
                continue;
            }
            let passed_on = self.0.get(&at)?.passed_on.get(segment).filter(|_| depth > 0);
            let found = passed_on.and_then(|name| self.resolve(&at, name, depth - 1));
            return found.or(Some(self.0.get(&at)?.file));
        }
        self.0.get(&at).map(|module| module.file)
    }
}

/// Collects the paths that a file names outside of its tests.
#[derive(Default)]
struct Names {
    paths: Vec<ModulePath>,
    passed_on: BTreeMap<String, ModulePath>,
}

impl Names {
    /// Every path of a `use`, with the name that it gets.
    fn flatten(prefix: &[String], tree: &syn::UseTree, out: &mut Vec<(String, ModulePath)>) {
        let with = |ident: &syn::Ident| -> ModulePath {
            prefix.iter().cloned().chain([ident.to_string()]).collect()
        };
        match tree {
            syn::UseTree::Path(path) => Self::flatten(&with(&path.ident), &path.tree, out),
            syn::UseTree::Name(name) if name.ident == "self" => {
                let last = prefix.last().cloned().unwrap_or_default();
                out.push((last, prefix.to_vec()));
            }
            syn::UseTree::Name(name) => out.push((name.ident.to_string(), with(&name.ident))),
            syn::UseTree::Rename(name) => out.push((name.rename.to_string(), with(&name.ident))),
            syn::UseTree::Glob(_) => out.push(("*".to_owned(), prefix.to_vec())),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| Self::flatten(prefix, item, out));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test_only(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test_only(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if is_test_only(&item.attrs) {
            return;
        }
        let mut used = Vec::new();
        Self::flatten(&[], &item.tree, &mut used);
        for (name, path) in used {
            if matches!(item.vis, syn::Visibility::Inherited) {
                self.paths.push(path);
            } else {
                self.passed_on.insert(name, path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|part| part.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}
