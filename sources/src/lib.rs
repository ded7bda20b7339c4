//! The built-in sources: one folder and one cargo feature each.

#[cfg(feature = "redis_list")]
mod connection;
#[cfg(feature = "redis_list")]
pub mod dead_letter_list;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "redis_list")]
pub mod redis_list;
#[cfg(feature = "redis_list")]
mod redis_target;
#[cfg(feature = "redis_list")]
mod redis_tls;
