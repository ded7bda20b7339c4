//! The core of pump: records, the plugin interface, the log, the lanes and delivery.
//!
//! It knows no client library of any destination.
