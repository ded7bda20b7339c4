//! Records as real gateways write them: golden files, a real gateway's records, and bytes from anybody.

mod fixture;
mod golden;
mod hostile;
mod msgpack_model;
mod protobuf_model;
mod real;
