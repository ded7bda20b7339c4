//! Types of other crates in signatures: whoever uses such a type is bound to that crate's releases.
//!
//! What `#[async_trait]` makes of a method are types of the standard library, and a derived trait binds nobody: neither
//! is looked at.

use std::collections::BTreeMap;

use syn::visit::{Visit, visit_path};
use syn::{Attribute, Path};

use super::public::{Surface, Written};

/// Where names may come from: these crates are a part of the interface.
const ALLOWED: &[&str] = &["std", "core", "alloc", "crate", "self", "super", "bytes", "serde", "schemars"];

/// Every type of another crate, with the file it is named in.
pub(super) fn named_in(surface: &Surface) -> Vec<String> {
    let mut found = Vec::new();
    for Written { item, file, crates, .. } in &surface.0 {
        let mut names = Names { crates, found: Vec::new() };
        names.visit_item(item);
        let file = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(file);
        found.extend(names.found.into_iter().map(|name| format!("{}: {name}", file.display())));
    }
    found
}

struct Names<'s> {
    crates: &'s BTreeMap<String, String>,
    found: Vec<String>,
}

impl<'s> Visit<'s> for Names<'_> {
    fn visit_attribute(&mut self, _: &'s Attribute) {}

    fn visit_path(&mut self, path: &'s Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let root = match self.crates.get(&names[0]) {
            Some(root) => root.as_str(),
            // A name alone is one of this file, of the prelude, or a parameter; two and more begin with a crate unless
            // the first is a type or a module of this file, which `use` then knows, or `Self`.
            None if names.len() == 1 || names[0].starts_with(char::is_uppercase) => "self",
            None => &names[0],
        };
        if !ALLOWED.contains(&root) {
            self.found.push(format!("{} of {root}", names.join("::")));
        }
        visit_path(self, path);
    }
}
