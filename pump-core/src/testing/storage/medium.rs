//! What is on a simulated disk: of each file what is durable, what reads back, and the writes between the
//! two.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;

/// What a disk writes at once, if it is a good one.
const SECTOR: u64 = 512;

/// What a power loss takes of the writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: all of them happen to be durable.
    Nothing,
    /// Everything.
    All,
    /// Whatever chance has it: some of the writes, some of their sectors, or a first part of them, and one
    /// may be torn inside a sector.
    Some,
}

/// One change of the disk.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Create { name: String, len: u64 },
    Write { name: String, offset: u64, bytes: Bytes },
    Sync { name: String },
    FailedSync { name: String, kept: Vec<Write> },
    Truncate { name: String, len: u64 },
    Replace { name: String, content: Bytes },
    Rename { from: String, to: String },
    Remove { name: String },
    Flip { name: String, offset: u64, bit: u8 },
}

/// Bytes at a place in a file.
#[derive(Debug, Clone)]
pub(super) struct Write {
    offset: u64,
    bytes: Bytes,
}

/// All files.
#[derive(Debug, Clone, Default)]
pub(super) struct Medium(BTreeMap<String, File>);

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    /// What reads back.
    written: Vec<u8>,
    /// What the next sync makes durable.
    unsynced: Vec<Write>,
}

impl Medium {
    pub(super) fn list(&self) -> Vec<(String, u64)> {
        self.0.iter().map(|(name, file)| (name.clone(), file.written.len() as u64)).collect()
    }

    pub(super) fn size(&self) -> u64 {
        self.0.values().map(|file| file.written.len() as u64).sum()
    }

    /// How many more bytes are needed while that is done.
    pub(super) fn growth(&self, step: &Step) -> u64 {
        match step {
            Step::Create { len, .. } => *len,
            Step::Write { name, offset, bytes } => {
                let len = self.0.get(name).map_or(0, |file| file.written.len() as u64);
                if bytes.is_empty() { 0 } else { (offset + bytes.len() as u64).saturating_sub(len) }
            }
            Step::Replace { content, .. } => content.len() as u64,
            _ => 0,
        }
    }

    pub(super) fn apply(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Create { name, len } => {
                self.must_be_free(name)?;
                let zeros = vec![0; *len as usize];
                let file = File { durable: zeros.clone(), written: zeros, unsynced: Vec::new() };
                self.0.insert(name.clone(), file);
            }
            Step::Write { name, offset, bytes } => {
                let write = Write { offset: *offset, bytes: bytes.clone() };
                let file = self.file(name)?;
                write.put(&mut file.written);
                file.unsynced.push(write);
            }
            Step::Sync { name } => {
                let file = self.file(name)?;
                file.unsynced.drain(..).for_each(|write| write.put(&mut file.durable));
            }
            Step::FailedSync { name, kept } => {
                let file = self.file(name)?;
                kept.iter().for_each(|write| write.put(&mut file.durable));
                file.unsynced.clear();
            }
            Step::Truncate { name, len } => self.file(name)?.truncate(*len),
            Step::Replace { name, content } => {
                let file =
                    File { durable: content.to_vec(), written: content.to_vec(), unsynced: Vec::new() };
                self.0.insert(name.clone(), file);
            }
            Step::Rename { from, to } => {
                self.must_be_free(to)?;
                let file = self.0.remove(from).ok_or(ErrorKind::NotFound)?;
                self.0.insert(to.clone(), file);
            }
            Step::Remove { name } => drop(self.0.remove(name)),
            Step::Flip { name, offset, bit } => self.file(name)?.flip_bit(*offset as usize, *bit)?,
        }
        Ok(())
    }

    pub(super) fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Bytes> {
        let written = &self.0.get(name).ok_or(ErrorKind::NotFound)?.written;
        let start = written.len().min(offset as usize);
        let end = written.len().min(start.saturating_add(len));
        Ok(Bytes::copy_from_slice(&written[start..end]))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What happens to be durable of a file's writes that were not synced.
    pub(super) fn survivors(&self, name: &str, random: &mut StdRng) -> Vec<Write> {
        self.0.get(name).map_or(Vec::new(), |file| survivors(&file.unsynced, random))
    }

    pub(super) fn lose_power(&mut self, loss: Loss, random: &mut StdRng) {
        for file in self.0.values_mut() {
            let unsynced = std::mem::take(&mut file.unsynced);
            let kept = match loss {
                Loss::Nothing => unsynced,
                Loss::All => Vec::new(),
                Loss::Some => survivors(&unsynced, random),
            };
            kept.iter().for_each(|write| write.put(&mut file.durable));
            file.written.clone_from(&file.durable);
        }
    }

    /// A file that was being made at that moment may be there, and too short.
    pub(super) fn lose_power_within(&mut self, next: &Step, random: &mut StdRng) {
        if let Step::Create { name, len } = next
            && !self.0.contains_key(name)
            && random.random()
        {
            let content = vec![0; random.random_range(0..=*len) as usize];
            let file = File { durable: content.clone(), written: content, unsynced: Vec::new() };
            self.0.insert(name.clone(), file);
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.0.get_mut(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn must_be_free(&self, name: &str) -> io::Result<()> {
        if self.0.contains_key(name) { Err(ErrorKind::AlreadyExists.into()) } else { Ok(()) }
    }
}

impl File {
    fn flip_bit(&mut self, offset: usize, bit: u8) -> io::Result<()> {
        for content in [&mut self.durable, &mut self.written] {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= 1 << (bit % 8);
            }
        }
        if offset < self.written.len() { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn truncate(&mut self, len: u64) {
        for content in [&mut self.durable, &mut self.written] {
            content.resize(len as usize, 0);
        }
        self.unsynced.retain_mut(|write| {
            write.bytes.truncate(len.saturating_sub(write.offset) as usize);
            !write.bytes.is_empty()
        });
    }
}

impl Write {
    fn put(&self, content: &mut Vec<u8>) {
        if self.bytes.is_empty() {
            return;
        }
        let start = self.offset as usize;
        let end = start + self.bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(&self.bytes);
    }

    /// Its parts, each within one sector.
    fn sectors(&self) -> impl Iterator<Item = Self> {
        let (mut offset, mut left) = (self.offset, self.bytes.clone());
        std::iter::from_fn(move || {
            let len = left.len().min((SECTOR - offset % SECTOR) as usize);
            let part = Self { offset, bytes: left.split_to(len) };
            offset += len as u64;
            (len > 0).then_some(part)
        })
    }

    fn tear(&mut self, random: &mut StdRng) {
        self.bytes.truncate(random.random_range(0..=self.bytes.len()));
    }
}

fn survivors(unsynced: &[Write], random: &mut StdRng) -> Vec<Write> {
    match random.random_range(0..5) {
        0 => Vec::new(),
        1 => unsynced.to_vec(),
        // What was written first, and a part of one more.
        2 => {
            let count = random.random_range(0..=unsynced.len());
            let mut kept: Vec<_> = unsynced.iter().take(count).cloned().collect();
            if let Some(last) = kept.last_mut() {
                last.tear(random);
            }
            kept
        }
        // Each write or not, whatever was before it.
        3 => unsynced.iter().filter(|_| random.random()).cloned().collect(),
        _ => {
            let share = random.random_range(0.05..0.95);
            let sectors = unsynced.iter().flat_map(Write::sectors);
            let mut kept: Vec<_> = sectors.filter(|_| random.random_bool(share)).collect();
            if !kept.is_empty() && random.random() {
                let torn = random.random_range(0..kept.len());
                kept[torn].tear(random);
            }
            kept
        }
    }
}
