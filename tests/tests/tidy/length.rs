//! Files of at most 450 lines and functions of at most 60, in production code.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::source::{is_test_only, Tree};

const FILE_LINES: usize = 450;
const FUNCTION_LINES: usize = 60;

pub fn files(tree: &Tree) -> Vec<String> {
    let long = tree.production().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES).then(|| format!("{}: {lines} lines", file.path))
    });
    long.collect()
}

pub fn functions(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.production() {
        let mut functions = Functions { path: &file.path, findings: &mut findings };
        functions.visit_file(&file.syntax());
    }
    findings
}

/// Collects the functions that are too long, from the signature to the closing brace.
struct Functions<'a> {
    path: &'a str,
    findings: &'a mut Vec<String>,
}

impl Functions<'_> {
    fn check(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line + 1 - first;
        if lines > FUNCTION_LINES {
            let (path, name) = (self.path, &signature.ident);
            self.findings.push(format!("{path}:{first}: {name} has {lines} lines"));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test_only(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test_only(&function.attrs) {
            self.check(&function.sig, &function.block);
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test_only(&function.attrs) {
            self.check(&function.sig, &function.block);
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.check(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}
