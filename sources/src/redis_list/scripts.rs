//! The four scripts. Each runs in Redis as one step; what each line is for stands in it.

use redis::Script;

/// Their texts.
#[derive(Debug, Clone)]
pub(super) struct ScriptTexts {
    pub(super) seal: String,
    pub(super) steal: String,
    pub(super) read: String,
    pub(super) ack: String,
}

impl Default for ScriptTexts {
    fn default() -> Self {
        Self {
            seal: include_str!("scripts/seal.lua").into(),
            steal: include_str!("scripts/steal.lua").into(),
            read: include_str!("scripts/read.lua").into(),
            ack: include_str!("scripts/ack.lua").into(),
        }
    }
}

/// The scripts with their hashes.
pub(super) struct Scripts {
    pub(super) seal: Script,
    pub(super) steal: Script,
    pub(super) read: Script,
    pub(super) ack: Script,
}

impl Scripts {
    pub(super) fn new(texts: &ScriptTexts) -> Self {
        Self {
            seal: Script::new(&texts.seal),
            steal: Script::new(&texts.steal),
            read: Script::new(&texts.read),
            ack: Script::new(&texts.ack),
        }
    }
}
