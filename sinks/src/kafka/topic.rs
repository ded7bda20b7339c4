//! Names of topics: what brokers take.

use pump_core::template::Template;

use crate::words::cut;

/// The longest name that brokers take, in bytes.
const MAX_NAME: usize = 249;

/// What is wrong with a template for names, if something is. Values from records are made of letters, digits,
/// `_`, `.` and `-` by the template already.
pub(super) fn check(template: &Template) -> Result<(), String> {
    // A sign that no name may have stands for dates and fields; one that was written is found by their number.
    const GAP: char = '*';
    let pattern = template.pattern(GAP);
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let gaps = pattern.chars().filter(|c| *c == GAP).count();
    let wrong = pattern.chars().find(|c| *c != GAP && !is_allowed(*c));
    if let Some(wrong) = wrong.or((gaps != template.gaps()).then_some(GAP)) {
        return Err(format!("`{wrong}` cannot be part of a topic's name: use letters, digits, _ . -"));
    }
    if pattern == "." || pattern == ".." {
        return Err("a topic cannot be called `.` or `..`".to_owned());
    }
    if pattern.len() > MAX_NAME {
        return Err(format!("a topic's name has at most {MAX_NAME} bytes"));
    }
    Ok(())
}

/// The name for a route.
pub(super) fn name(route: &str) -> &str {
    cut(route, MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_brokers_take_is_taken_and_no_other() {
        let checked = |text: &str| check(&Template::parse(text).expect("it is a template"));
        for text in ["tyk", "tyk-{org_id}", "{kind}", "tyk.%Y-%m-%d", "A_b-1"] {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
        for text in ["a b", "a/b", "a*", "caf\u{e9}", "a%%b", ".", "..", "a:b"] {
            assert!(checked(text).is_err(), "{text}");
        }
        assert!(checked(&"a".repeat(250)).is_err());
        assert_eq!(name(&"a".repeat(300)).len(), 249);
    }
}
