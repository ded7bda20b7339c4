//! Tests of the whole: what holds between the crates, and end to end against real servers.

mod command_line;
mod documents;
mod gateway;
mod layout;
mod process;
mod real_gateway;
mod redis_list;
mod wrong_files;
