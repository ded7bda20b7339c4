//! The public items of a module of `pump-core`, wherever below it they are written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::{
    Attribute, Fields, Ident, ImplItem, Item, ItemImpl, TraitItem, Type, UseTree, Visibility, parse_quote,
};

use super::Module;

/// An item that others can name, or what is implemented for one.
pub(super) struct Written {
    pub(super) item: Item,
    pub(super) file: PathBuf,
    /// The crates that names in the file come from by `use`.
    pub(super) crates: BTreeMap<String, String>,
    /// The public module within the module that it stands in; empty for the module's own.
    below: String,
}

/// What of a module others can see.
pub(super) struct Surface(pub(super) Vec<Written>);

/// A module as it is written.
struct Source {
    file: PathBuf,
    items: Vec<Item>,
    crates: BTreeMap<String, String>,
    children: BTreeMap<String, Source>,
}

impl Surface {
    pub(super) fn of(module: &Module) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pump-core/src");
        let source = Source::read(&folder.join(module.name.replace("::", "/")));
        let mut shown = Vec::new();
        source.public("", &mut shown);
        let is_wanted = |item: &Item| match module.only {
            Some(only) => name_of(item).is_some_and(|name| only.contains(&&*name.to_string())),
            None => true,
        };
        shown.retain(|written| is_wanted(&written.item));
        let names: Vec<_> = shown.iter().filter_map(|written| name_of(&written.item)).cloned().collect();
        source.implemented(&names, &mut shown);
        shown.iter_mut().for_each(|written| strip(&mut written.item));
        Self(shown)
    }

    /// As Rust without bodies.
    pub(super) fn to_text(&self) -> String {
        let mut items: Vec<Item> = Vec::new();
        let mut modules: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
        for Written { item, below, .. } in &self.0 {
            match below.as_str() {
                "" => items.push(item.clone()),
                below => modules.entry(below).or_default().push(item.clone()),
            }
        }
        for (name, within) in modules {
            let name = name_from(name);
            items.push(parse_quote!(pub mod #name { #(#within)* }));
        }
        prettyplease::unparse(&parse_quote!(#(#items)*))
    }
}

impl Source {
    /// The module whose file is `stem` with `.rs`, or `mod.rs` in a folder of that name.
    fn read(stem: &Path) -> Self {
        let files = [stem.with_extension("rs"), stem.join("mod.rs")];
        let file =
            files.iter().find(|file| file.is_file()).unwrap_or_else(|| panic!("no {}", stem.display()));
        let text = fs::read_to_string(file).expect("it is text");
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let items: Vec<_> = parsed.items.into_iter().filter(|item| !is_for_tests(item)).collect();
        let (mut crates, mut children) = (BTreeMap::new(), BTreeMap::new());
        for item in &items {
            match item {
                Item::Use(import) => {
                    for path in leaves(&import.tree) {
                        let (first, last) = (path.first(), path.last());
                        crates.extend(last.zip(first).map(|(name, root)| (name.clone(), root.clone())));
                    }
                }
                Item::Mod(module) if module.content.is_none() => {
                    let name = module.ident.to_string();
                    let child = Self::read(&stem.join(&name));
                    children.insert(name, child);
                }
                _ => {}
            }
        }
        crates
            .values_mut()
            .filter(|root| children.contains_key(*root))
            .for_each(|root| *root = "self".to_owned());
        Self { file: file.clone(), items, crates, children }
    }

    fn written(&self, item: Item, below: &str) -> Written {
        Written { item, file: self.file.clone(), crates: self.crates.clone(), below: below.to_owned() }
    }

    /// What can be named from outside, in the order in which it is written.
    fn public(&self, below: &str, shown: &mut Vec<Written>) {
        for item in &self.items {
            match item {
                Item::Use(import) if is_public(&import.vis) => {
                    for path in leaves(&import.tree) {
                        match self.find(&path) {
                            Some(written) => shown.push(Written { below: below.to_owned(), ..written }),
                            // Of another module of the crate, where it is looked at.
                            None => {
                                let import = format!("pub use {};", path.join("::"));
                                let import = syn::parse_str(&import).expect("it was one before");
                                shown.push(self.written(Item::Use(import), below));
                            }
                        }
                    }
                }
                Item::Mod(module) if is_public(&module.vis) => {
                    if let Some(child) = self.children.get(&module.ident.to_string()) {
                        child.public(&module.ident.to_string(), shown);
                    }
                }
                item if visibility(item).is_some_and(is_public) => {
                    shown.push(self.written(item.clone(), below))
                }
                _ => {}
            }
        }
    }

    /// What a path from here leads to, when it is in a module below.
    fn find(&self, path: &[String]) -> Option<Written> {
        match path {
            [name] => {
                let item = self.items.iter().find(|item| name_of(item).is_some_and(|own| own == name))?;
                Some(self.written(item.clone(), ""))
            }
            [child, rest @ ..] => self.children.get(child)?.find(rest),
            [] => None,
        }
    }

    /// What is implemented for these types, and what these traits are implemented for.
    fn implemented(&self, names: &[Ident], shown: &mut Vec<Written>) {
        for item in &self.items {
            if let Item::Impl(block) = item
                && is_about(block, names)
                && let Some(block) = public_part(block.clone())
            {
                shown.push(self.written(Item::Impl(block), ""));
            }
        }
        self.children.values().for_each(|child| child.implemented(names, shown));
    }
}

fn name_from(text: &str) -> Ident {
    syn::parse_str(text).expect("it was a name before")
}

/// The paths that a `use` brings in.
fn leaves(tree: &UseTree) -> Vec<Vec<String>> {
    match tree {
        UseTree::Path(path) => {
            let below = leaves(&path.tree).into_iter();
            below.map(|rest| [vec![path.ident.to_string()], rest].concat()).collect()
        }
        UseTree::Name(name) => vec![vec![name.ident.to_string()]],
        UseTree::Rename(name) => vec![vec![name.rename.to_string()]],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
        UseTree::Glob(_) => Vec::new(),
    }
}

fn is_for_tests(item: &Item) -> bool {
    let (Item::Mod(syn::ItemMod { attrs, .. })
    | Item::Impl(ItemImpl { attrs, .. })
    | Item::Use(syn::ItemUse { attrs, .. })) = item
    else {
        return false;
    };
    let is_test = |one: &Attribute| one.parse_args::<Ident>().is_ok_and(|of| of == "test");
    attrs.iter().any(|one| one.path().is_ident("cfg") && is_test(one))
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn name_of(item: &Item) -> Option<&Ident> {
    Some(match item {
        Item::Const(one) => &one.ident,
        Item::Enum(one) => &one.ident,
        Item::Fn(one) => &one.sig.ident,
        Item::Struct(one) => &one.ident,
        Item::Trait(one) => &one.ident,
        Item::Type(one) => &one.ident,
        _ => return None,
    })
}

fn visibility(item: &Item) -> Option<&Visibility> {
    Some(match item {
        Item::Const(one) => &one.vis,
        Item::Enum(one) => &one.vis,
        Item::Fn(one) => &one.vis,
        Item::Struct(one) => &one.vis,
        Item::Trait(one) => &one.vis,
        Item::Type(one) => &one.vis,
        _ => return None,
    })
}

/// Whether a block is for one of these types, or of one of these traits.
fn is_about(block: &ItemImpl, names: &[Ident]) -> bool {
    let of_trait = block.trait_.as_ref().and_then(|(path, _)| path.segments.last());
    let for_type = match &*block.self_ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    };
    [of_trait, for_type].into_iter().flatten().any(|segment| names.contains(&segment.ident))
}

/// A block without what only the crate can see; `None` when nothing is left of it.
fn public_part(mut block: ItemImpl) -> Option<ItemImpl> {
    if block.trait_.is_some() {
        // The trait says what is in it, but for its types.
        block.items.retain(|item| matches!(item, ImplItem::Type(_)));
        return Some(block);
    }
    block.items.retain(|item| match item {
        ImplItem::Fn(one) => is_public(&one.vis),
        ImplItem::Const(one) => is_public(&one.vis),
        _ => false,
    });
    (!block.items.is_empty()).then_some(block)
}

/// Takes away what others cannot see of an item: bodies, private fields, comments.
fn strip(item: &mut Item) {
    match item {
        Item::Const(one) => {
            keep(&mut one.attrs);
            *one.expr = parse_quote!(_);
        }
        Item::Enum(one) => {
            keep(&mut one.attrs);
            for variant in &mut one.variants {
                keep(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| keep(&mut field.attrs));
            }
        }
        Item::Fn(one) => {
            keep(&mut one.attrs);
            *one.block = parse_quote!({});
        }
        Item::Struct(one) => {
            keep(&mut one.attrs);
            hide(&mut one.fields);
        }
        Item::Trait(one) => {
            keep(&mut one.attrs);
            for item in &mut one.items {
                match item {
                    TraitItem::Const(one) => keep(&mut one.attrs),
                    TraitItem::Type(one) => keep(&mut one.attrs),
                    TraitItem::Fn(one) => {
                        keep(&mut one.attrs);
                        // That there is a default is a part of the promise; what it does is not.
                        one.default = one.default.is_some().then(|| parse_quote!({}));
                    }
                    _ => {}
                }
            }
        }
        Item::Type(one) => keep(&mut one.attrs),
        Item::Impl(one) => {
            keep(&mut one.attrs);
            for item in &mut one.items {
                match item {
                    ImplItem::Const(one) => {
                        keep(&mut one.attrs);
                        one.expr = parse_quote!(_);
                    }
                    ImplItem::Fn(one) => {
                        keep(&mut one.attrs);
                        one.block = parse_quote!({});
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// What an attribute says to others: traits that are derived, what has to be used, what is there at all.
fn keep(attributes: &mut Vec<Attribute>) {
    let said = ["async_trait", "cfg", "derive", "must_use", "non_exhaustive"];
    attributes.retain(|one| said.iter().any(|name| one.path().is_ident(name)));
}

/// Private fields only say that there are some.
fn hide(fields: &mut Fields) {
    match fields {
        Fields::Named(named) => {
            let all = named.named.len();
            named.named =
                std::mem::take(&mut named.named).into_iter().filter(|one| is_public(&one.vis)).collect();
            let hidden = named.named.len() < all;
            named.named.iter_mut().for_each(|field| keep(&mut field.attrs));
            if hidden {
                named.named.push(parse_quote!(private: _));
            }
        }
        Fields::Unnamed(unnamed) => {
            for field in &mut unnamed.unnamed {
                keep(&mut field.attrs);
                if !is_public(&field.vis) {
                    field.vis = Visibility::Inherited;
                    field.ty = parse_quote!(_);
                }
            }
        }
        Fields::Unit => {}
    }
}
