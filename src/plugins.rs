//! `pump plugins`: what there is, and one plugin's keys.

use std::fmt::Write;

use pump_core::config::key_table;
use pump_core::plugin::Registry;

/// All sources and sinks.
pub(crate) fn list(registry: &Registry) -> String {
    let mut out = String::from("sources:\n");
    for plugin in registry.catalog().sources() {
        let _ = writeln!(out, "  {}", plugin.name());
    }
    out.push_str("sinks:\n");
    for plugin in registry.catalog().sinks() {
        let _ = writeln!(out, "  {}", plugin.name());
    }
    out.push_str("\n`pump plugins NAME` prints a plugin's keys.\n");
    out
}

/// One plugin's keys; when a source and a sink have the same name, both.
pub(crate) fn describe(registry: &Registry, name: &str) -> Result<String, String> {
    let catalog = registry.catalog();
    let mut out = String::new();
    for (what, plugins) in [("source", catalog.sources()), ("sink", catalog.sinks())] {
        if let Some(plugin) = plugins.iter().find(|plugin| plugin.name() == name) {
            let _ = writeln!(out, "{what} {name}\n\n{}", key_table(&plugin.schema()).to_text());
        }
    }
    if out.is_empty() {
        return Err(format!("there is no plugin `{name}`: `pump plugins` lists them"));
    }
    Ok(out)
}
