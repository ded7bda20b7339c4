//! The built-in sinks: one folder and one cargo feature each.
