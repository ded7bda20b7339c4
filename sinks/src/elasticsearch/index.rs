//! Names of indices: what the servers take, and what a template makes sure of.
//!
//! A name is in lower case, of at most 255 bytes, begins with a letter or a digit, and has none of
//! the characters that mean something in a search. Values from records are made of letters, digits,
//! `_`, `.` and `-` by the template already, so only upper case and length are left to do.

use std::borrow::Cow;

use pump_core::template::Template;

/// The longest name that servers take, in bytes.
const MAX_NAME: usize = 255;

/// What is wrong with a template for names, if something is.
pub(super) fn check(template: &Template) -> Result<(), String> {
    // A sign that no name may have, so that it stands for dates and fields only.
    const GAP: char = '*';
    let pattern = template.pattern(GAP);
    let is_allowed = |c: char| !c.is_uppercase() && !c.is_whitespace() && !"\\/?\"<>|,#:*%".contains(c);
    let written = pattern.chars().filter(|c| *c != GAP).count();
    let gaps = pattern.chars().count() - written;
    // A star that was written cannot be told from a gap but by their number.
    let is_star_written = gaps != template.gaps();
    if let Some(wrong) = pattern.chars().find(|c| *c != GAP && !is_allowed(*c)) {
        return Err(format!("`{wrong}` cannot be part of an index's name: use small letters, digits, _ . -"));
    }
    if is_star_written {
        return Err("`*` cannot be part of an index's name: use small letters, digits, _ . -".to_owned());
    }
    if !pattern.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        return Err("a name begins with fixed text, and that with a small letter or a digit".to_owned());
    }
    if pattern.len() > MAX_NAME {
        return Err(format!("a name has at most {MAX_NAME} bytes"));
    }
    Ok(())
}

/// The name for a route.
pub(super) fn name(route: &str) -> Cow<'_, str> {
    let cut = crate::http::cut(route, MAX_NAME);
    if cut.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(cut.to_ascii_lowercase())
    } else {
        Cow::Borrowed(cut)
    }
}

/// The pattern of all names that a template can give.
pub(super) fn pattern(template: &Template) -> String {
    let mut pattern = template.pattern('*');
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        check(&Template::parse(text).expect("it is a template"))
    }

    #[test]
    fn a_name_that_servers_take_is_taken() {
        for text in ["tyk_analytics", "tyk-%Y.%m.%d", "a-{api_id}-%Y", "1", "a+b", "caf\u{e9}"] {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_name_that_servers_refuse_is_refused() {
        for text in [
            "{api_id}", "%Y", "_all", "-a", ".a", "Tyk", "tyK", "a b", "a%%b", "a/b", "a*", "a,b", "a#b",
            "a:b",
        ] {
            assert!(checked(text).is_err(), "{text}");
        }
        assert!(checked(&"a".repeat(256)).is_err());
    }

    #[test]
    fn names_are_in_lower_case_and_cut() {
        assert_eq!(name("tyk-ABC"), "tyk-abc");
        assert_eq!(name(&"a".repeat(300)).len(), 255);
    }

    #[test]
    fn the_pattern_covers_all_names() {
        let pattern_of = |text| pattern(&Template::parse(text).expect("it is a template"));
        assert_eq!(pattern_of("tyk-%Y.%m.%d"), "tyk-*");
        assert_eq!(pattern_of("tyk-{api_id}%Y"), "tyk-*");
        assert_eq!(pattern_of("tyk"), "tyk");
    }
}
