//! Tests of the whole: what holds between the crates, and end to end against real servers.

mod all_sinks;
mod command_line;
mod dead_letters;
mod disk_log;
mod documents;
mod gateway;
mod interface;
mod kafka;
mod layout;
mod new_plugin;
mod own_sink;
mod preview;
mod process;
mod real_gateway;
mod redis_in_production;
mod redis_list;
mod reload;
mod s3;
mod schema;
mod search;
mod search_faults;
mod small_disk;
mod statsd_daemons;
mod two_sinks_one_folder;
mod webhook_faults;
mod wrong_files;
