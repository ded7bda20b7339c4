//! Several files as one: their sections side by side, nothing said twice.

use super::check::Findings;
use super::error::{ConfigError, below, listed, quoted};
use super::nearest::nearest;
use super::node::{Entry, Location, Mapping, Node, Value};

/// The sections that are named entries, and come together from all files.
const NAMED: [&str; 2] = ["sources", "sinks"];

/// The sections that one file has for all.
const SINGLE: [&str; 6] = ["log", "dead_letters", "admin", "shutdown_timeout", "telemetry", "record_id"];

/// How many sources, and how many sinks, one pipeline may have.
const MAX_ENTRIES: usize = 1000;

/// The sections of all files.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) sources: Named,
    pub(super) sinks: Named,
    single: Mapping,
    /// Where the first file begins: the place of what is missing altogether.
    pub(super) start: Option<Location>,
}

/// The entries of `sources` or `sinks`.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) entries: Vec<Entry>,
    /// Where the section is; also when nothing is in it, or its name is misspelt.
    pub(super) location: Option<Location>,
    /// Something in it was wrong, so that what is missing may be there after all.
    pub(super) is_incomplete: bool,
}

impl Merged {
    /// Adds what one file says.
    pub(super) fn add(&mut self, root: Node, findings: &mut Findings) {
        self.start.get_or_insert_with(|| root.location.clone());
        let mapping = match root.value {
            Value::Mapping(mapping) => mapping,
            Value::Null => return,
            _ => {
                (self.sources.is_incomplete, self.sinks.is_incomplete) = (true, true);
                let message = format!("expected a mapping with sections, found {}", root.kind());
                return findings.push(ConfigError::new(message).at(&root.location).help(sections()));
            }
        };
        for entry in mapping.entries {
            findings.show_key(&entry);
            match entry.key.as_str() {
                "sources" => self.sources.add(entry, findings),
                "sinks" => self.sinks.add(entry, findings),
                key if SINGLE.contains(&key) => match self.single.get(key) {
                    Some(first) => findings.push(used_twice("section", &entry, &first.location).on(key)),
                    None => self.single.entries.push(entry),
                },
                _ => self.unknown(&entry, findings),
            }
        }
    }

    /// A section that stands in one file.
    pub(super) fn section(&self, key: &str) -> Option<&Entry> {
        self.single.get(key)
    }

    /// Every value with its path, for the hash.
    pub(super) fn values(&self) -> impl Iterator<Item = (String, &Node)> {
        let sources = self.sources.entries.iter().map(|entry| (below("sources", &entry.key), &entry.value));
        let sinks = self.sinks.entries.iter().map(|entry| (below("sinks", &entry.key), &entry.value));
        let single = self.single.entries.iter().map(|entry| (entry.key.clone(), &entry.value));
        sources.chain(sinks).chain(single)
    }

    fn unknown(&mut self, entry: &Entry, findings: &mut Findings) {
        let error = ConfigError::new(format!("unknown section {}", quoted(&entry.key)))
            .at(&entry.location)
            .on(below("", &entry.key));
        let meant = nearest(&entry.key, NAMED.into_iter().chain(SINGLE));
        match meant {
            Some("sources") => self.sources.is_incomplete = true,
            Some("sinks") => self.sinks.is_incomplete = true,
            _ => {}
        }
        findings.push(match meant {
            Some(name) => error.help(format!("did you mean `{name}`?")),
            None => error.help(sections()),
        });
    }
}

impl Named {
    fn add(&mut self, section: Entry, findings: &mut Findings) {
        let mapping = match section.value.value {
            Value::Mapping(mapping) => mapping,
            Value::Null => Mapping::default(),
            _ => {
                self.is_incomplete = true;
                if section.value.is_resolved() {
                    let message = format!("expected a mapping of names, found {}", section.value.kind());
                    findings.push(ConfigError::new(message).at(&section.value.location).on(section.key));
                }
                return;
            }
        };
        self.location.get_or_insert(section.location);
        for entry in mapping.entries {
            findings.show_key(&entry);
            if self.entries.len() == MAX_ENTRIES {
                self.is_incomplete = true;
                let message = format!("there are more than {MAX_ENTRIES} {}", section.key);
                return findings.push(ConfigError::new(message).at(&entry.location).on(section.key));
            }
            match self.entries.iter().find(|first| first.key == entry.key) {
                Some(first) => {
                    let path = below(&section.key, &entry.key);
                    findings.push(used_twice("name", &entry, &first.location).on(path));
                }
                None => self.entries.push(entry),
            }
        }
    }
}

fn used_twice(what: &str, entry: &Entry, first: &Location) -> ConfigError {
    ConfigError::new(format!("the {what} {} is used twice", quoted(&entry.key)))
        .at(&entry.location)
        .help("remove or rename one of the two")
        .note("first here", first)
}

fn sections() -> String {
    format!("the sections are {}", listed(NAMED.into_iter().chain(SINGLE)))
}
