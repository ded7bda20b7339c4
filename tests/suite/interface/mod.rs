//! What plugins are written against, as it was when somebody last looked: a change of it is seen in review, and breaks
//! sinks and sources that are no part of pump.
//!
//! It is read from the source of `pump-core`: public items of the modules below, without bodies and comments, and the
//! traits that their types have. `INSTA_UPDATE=always cargo test --test suite interface` writes it anew.

mod foreign;
mod public;

use public::Surface;

/// A module to look at.
struct Module {
    /// Its path in `pump_core`.
    name: &'static str,
    /// Its items that belong to the interface, where not all do.
    only: Option<&'static [&'static str]>,
}

/// The types of the pipeline file that plugins share; the rest of `config` is the pump's own.
const CONFIG: &[&str] = &[
    "Auth",
    "AuthConfig",
    "BasicAuth",
    "ByteSize",
    "ConfigDuration",
    "Format",
    "HostPort",
    "HttpCompression",
    "HttpUrl",
    "Rate",
    "RedisMode",
    "RedisServer",
    "RedisUrl",
    "Secret",
    "TextError",
    "TlsConfig",
];

const MODULES: &[Module] = &[
    Module { name: "plugin", only: None },
    Module { name: "record", only: None },
    Module { name: "template", only: None },
    Module { name: "encode", only: None },
    Module { name: "edit", only: None },
    Module { name: "config", only: Some(CONFIG) },
    Module { name: "testing::behaviour", only: None },
];

#[test]
fn the_plugin_interface_is_as_it_was() {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    for module in MODULES {
        let surface = Surface::of(module);
        let name = module.name.replace("::", "_");
        settings.bind(|| insta::assert_snapshot!(name, surface.to_text()));
    }
}

#[test]
fn the_plugin_interface_names_nobody_elses_types() {
    let foreign: Vec<String> =
        MODULES.iter().flat_map(|module| foreign::named_in(&Surface::of(module))).collect();
    assert!(foreign.is_empty(), "types of other crates in the plugin interface:\n{}", foreign.join("\n"));
}
