//! Records as real gateways write them: golden files, a real gateway's records, and rubbish.

mod fixture;
mod golden;
mod real;
mod rubbish;
