//! From the paths on the command line to a [`Pipeline`].
//!
//! Each file is parsed and its references are replaced; then the files are laid together and read
//! section by section. Nothing stops at the first error, and what was reported once is not reported
//! again as the cause of something else.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assemble::assemble;
use super::catalog::Catalog;
use super::check::Findings;
use super::error::{ConfigError, ConfigErrors};
use super::merge::Merged;
use super::pipeline::Pipeline;
use super::reference::{Environment, Resolver};
use super::snippet::Source;
use super::yaml::{self, MAX_FILE_SIZE};

/// More errors than anyone reads; what causes them is usually one.
const MAX_ERRORS: usize = 100;

/// How many files one pipeline may have.
const MAX_FILES: usize = 1000;

/// Reads files and directories as one pipeline. A directory gives its `*.yaml`, `*.yml` and `*.json`
/// in the order of their names.
pub fn load(
    paths: &[PathBuf],
    environment: Environment<'_>,
    catalog: &Catalog,
) -> Result<Pipeline, ConfigErrors> {
    let mut loader = Loader::new(environment);
    match files(paths) {
        Ok(files) => {
            for file in files {
                loader.add_file(&file);
            }
        }
        Err(errors) => {
            loader.is_incomplete = true;
            loader.findings.errors.extend(errors);
        }
    }
    loader.finish(catalog)
}

/// Reads a pipeline from a text, for tests and tools. `name` stands for the file in errors.
pub fn load_text(
    name: &str,
    text: &str,
    environment: Environment<'_>,
    catalog: &Catalog,
) -> Result<Pipeline, ConfigErrors> {
    let mut loader = Loader::new(environment);
    loader.add_text(name, text);
    loader.finish(catalog)
}

/// The files that [`load`] would read.
pub fn pipeline_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigErrors> {
    files(paths).map_err(ConfigErrors)
}

struct Loader<'e> {
    resolver: Resolver<'e>,
    merged: Merged,
    sources: HashMap<Arc<str>, Source>,
    order: Vec<Arc<str>>,
    findings: Findings,
    /// Something could not be read at all, so what is missing may be in there.
    is_incomplete: bool,
}

impl<'e> Loader<'e> {
    fn new(environment: Environment<'e>) -> Self {
        Self {
            resolver: Resolver::new(environment),
            merged: Merged::default(),
            sources: HashMap::new(),
            order: Vec::new(),
            findings: Findings::default(),
            is_incomplete: false,
        }
    }

    fn add_file(&mut self, path: &Path) {
        match read(path) {
            Ok(text) => self.add_text(&path.display().to_string(), &text),
            Err(err) => {
                self.is_incomplete = true;
                self.findings.push(err);
            }
        }
    }

    fn add_text(&mut self, name: &str, text: &str) {
        let file: Arc<str> = Arc::from(name);
        let document = yaml::parse(text, &file);
        self.is_incomplete |= document.root.is_none();
        self.order.push(Arc::clone(&file));
        match document.root {
            Some(mut root) => {
                self.findings.errors.extend(document.errors);
                self.resolver.resolve(&mut root, "");
                self.merged.add(root, &mut self.findings);
                self.sources.insert(file, document.source);
            }
            // Where the values of a broken file lie is not known, so its lines are not shown later.
            None => self.findings.errors.extend(document.errors.into_iter().map(|mut error| {
                error.show(|place| document.source.key_only(place));
                error
            })),
        }
    }

    fn finish(mut self, catalog: &Catalog) -> Result<Pipeline, ConfigErrors> {
        self.findings.errors.append(&mut self.resolver.errors);
        let pipeline = assemble(&self.merged, catalog, self.is_incomplete, &mut self.findings);
        let mut errors = self.findings.errors;
        match pipeline {
            Some(pipeline) if errors.is_empty() => return Ok(pipeline),
            _ => {}
        }
        // A stable sort: files keep the order in which they were named.
        let order: HashMap<_, _> = self.order.iter().zip(0..).collect();
        errors.sort_by_key(|error| {
            error.location().map(|place| (order.get(&place.file).copied(), place.line, place.column))
        });
        errors.dedup();
        let count = errors.len();
        errors.truncate(MAX_ERRORS);
        for error in &mut errors {
            error.show(|place| self.sources.get(&place.file)?.snippet(place, &self.findings.disclosure));
        }
        if count > MAX_ERRORS {
            errors.push(ConfigError::new(format!("there are {} more errors", count - MAX_ERRORS)));
        }
        Err(ConfigErrors(errors))
    }
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<ConfigError>> {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    if paths.is_empty() {
        errors.push(ConfigError::new("no pipeline file was named").help("name one with `-c FILE`"));
    }
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match directory(path) {
            Ok(found) if found.is_empty() => errors.push(
                ConfigError::new(format!("the directory {} holds no pipeline file", path.display()))
                    .help("it should hold *.yaml, *.yml or *.json"),
            ),
            Ok(found) => files.extend(found),
            Err(err) => {
                errors.push(ConfigError::new(format!(
                    "the directory {} cannot be read: {err}",
                    path.display()
                )));
            }
        }
    }
    if files.len() > MAX_FILES {
        errors.push(ConfigError::new(format!("there are more than {MAX_FILES} pipeline files")));
    }
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

fn directory(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let is_pipeline = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        // A mounted ConfigMap holds links into hidden directories; editors leave hidden copies.
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_pipeline && !is_hidden && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable =
        |err: std::io::Error| ConfigError::new(format!("the file {} cannot be read: {err}", path.display()));
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_SIZE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_FILE_SIZE {
        return Err(ConfigError::new(format!(
            "the file {} is larger than {} MiB",
            path.display(),
            MAX_FILE_SIZE >> 20
        )));
    }
    String::from_utf8(bytes)
        .map_err(|_| ConfigError::new(format!("the file {} is not UTF-8 text", path.display())))
}
