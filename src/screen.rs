//! A few lines at the bottom of a terminal that are drawn anew; nothing where there is no terminal.

use std::io::{IsTerminal, Write, stderr};

/// Lines that are drawn over themselves, on standard error.
pub(crate) struct Screen {
    is_terminal: bool,
    drawn: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { is_terminal: stderr().is_terminal(), drawn: 0 }
    }

    /// Whether anybody sees it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Replaces what was drawn before. `text` ends with a newline.
    pub(crate) fn draw(&mut self, text: &str) {
        if !self.is_terminal {
            return;
        }
        let mut out = stderr().lock();
        // A terminal that went away is no reason to stop pumping.
        let _ = match self.drawn {
            0 => write!(out, "{text}"),
            lines => write!(out, "\x1b[{lines}A\x1b[J{text}"),
        };
        let _ = out.flush();
        self.drawn = text.lines().count();
    }

    /// Takes away what was drawn.
    pub(crate) fn clear(&mut self) {
        self.draw("");
    }
}
