//! Bytes from anybody, thrown at what reads them.
//!
//! A [`Target`] takes any bytes and panics when something that must hold does not. The fuzzer in
//! `fuzz/` and the ordinary test below call the same targets: the one with coverage for as long as it is
//! given, the other for some seconds with a [`Mutator`] of our own, from the same corpus.

mod frames;
mod mutator;
mod pipeline;
mod records;
#[cfg(test)]
mod tests;

pub use mutator::Mutator;

/// Something that reads bytes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its folder in the corpus.
    pub name: &'static str,
    run: fn(&[u8]),
}

impl Target {
    /// Entries as a gateway writes them by default: transactions and health checks.
    pub const MSGPACK: Self = Self { name: "msgpack", run: records::msgpack };
    /// Entries as a gateway writes them with `serializer_type: protobuf`.
    pub const PROTOBUF: Self = Self { name: "protobuf", run: records::protobuf };
    /// The pipeline file.
    pub const PIPELINE: Self = Self { name: "pipeline", run: pipeline::run };
    /// Frames of the disk log; the first byte says what is made of the others.
    pub const FRAMES: Self = Self { name: "frames", run: frames::run };

    /// Every target.
    pub const ALL: [Self; 4] = [Self::MSGPACK, Self::PROTOBUF, Self::PIPELINE, Self::FRAMES];

    /// Reads the bytes and checks what came of it.
    ///
    /// # Panics
    ///
    /// When something does not hold that must hold for any bytes.
    pub fn run(self, bytes: &[u8]) {
        (self.run)(bytes);
    }
}
