//! The built-in sources: one folder and one cargo feature each.
