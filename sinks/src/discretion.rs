//! What must not be shown, taken out of what is shown.
//!
//! A receiver may quote a request when it refuses it: "unknown token abc". Its words get into logs, `/status` and
//! dead letters, so our secrets are taken out of them first.

use std::fmt;

/// A shorter text is no secret, and would be found everywhere.
const SHORTEST: usize = 4;

/// Texts that are not to be shown.
pub(crate) struct Discretion(Vec<Box<str>>);

impl Discretion {
    pub(crate) fn new<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Self {
        let mut texts = Vec::<Box<str>>::new();
        for secret in secrets.into_iter().filter(|secret| secret.len() >= SHORTEST) {
            // A receiver may also quote it as JSON has it.
            let quoted = serde_json::Value::from(secret).to_string();
            let escaped = &quoted[1..quoted.len() - 1];
            if escaped != secret {
                texts.push(escaped.into());
            }
            texts.push(secret.into());
        }
        // The longest first: one may be part of another.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self(texts)
    }

    /// The text without them.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(&**secret, "***"))
    }
}

impl fmt::Debug for Discretion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} texts", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_however_they_are_quoted() {
        let discretion = Discretion::new(["hunter2", "hunter2-long", "with\"quote", "a"]);
        let said = r#"{"a":"no hunter2-long, no hunter2, no with\"quote and no with"quote"}"#;
        let expected = r#"{"a":"no ***, no ***, no *** and no ***"}"#;
        assert_eq!(discretion.hide(said), expected);
    }
}
