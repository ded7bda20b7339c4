//! Which records a lane takes, by API, organisation and response code.
//!
//! A block list (`skip_…`) beats an allow list, and of several allow lists each must match. A record
//! that lacks a field does not match: an allow list on that field excludes it, a block list does not.
//! An empty list asks for nothing.
//!
//! Transactions and health checks have all three fields. Application logs, audit entries and events
//! have what members they have: `api_id`, `org_id`, and as response code the first of
//! `response_code`, `status` and `code` that is a number from 0 to 65535, or a string of one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Object, View};

/// Settings of `filter`, the same for every sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// Only records of these APIs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_ids: Vec<String>,
    /// Only records of these organisations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub org_ids: Vec<String>,
    /// Only records with these response codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_codes: Vec<u16>,
    /// No records of these APIs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_api_ids: Vec<String>,
    /// No records of these organisations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_org_ids: Vec<String>,
    /// No records with these response codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_response_codes: Vec<u16>,
}

/// Says of each record whether a lane takes it; allocates nothing save for text that JSON escaped.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    api_ids: Lists<Box<[u8]>>,
    org_ids: Lists<Box<[u8]>>,
    response_codes: Lists<i64>,
}

impl Filter {
    /// From the settings.
    pub fn new(config: &FilterConfig) -> Self {
        let texts = |list: &[String]| sorted(list.iter().map(|text| text.as_bytes().into()));
        let codes = |list: &[u16]| sorted(list.iter().map(|code| i64::from(*code)));
        Self {
            api_ids: Lists { allow: texts(&config.api_ids), block: texts(&config.skip_api_ids) },
            org_ids: Lists { allow: texts(&config.org_ids), block: texts(&config.skip_org_ids) },
            response_codes: Lists {
                allow: codes(&config.response_codes),
                block: codes(&config.skip_response_codes),
            },
        }
    }

    /// Whether it takes every record.
    pub fn is_empty(&self) -> bool {
        self.api_ids.is_empty() && self.org_ids.is_empty() && self.response_codes.is_empty()
    }

    /// Whether the lane takes this record. `view` is the record before `omit` and `redact`.
    pub fn accepts(&self, view: &View<'_>) -> bool {
        self.refusal(view).is_none()
    }

    /// The setting that keeps this record from the lane, such as `skip_api_ids`; `None` when it is taken.
    pub fn refusal(&self, view: &View<'_>) -> Option<&'static str> {
        match view {
            View::Transaction(transaction) => self.refusal_of(
                transaction.response_code,
                transaction.api_id.bytes(),
                transaction.org_id.bytes(),
            ),
            View::Uptime(uptime) => {
                self.refusal_of(uptime.response_code, uptime.api_id.bytes(), uptime.org_id.bytes())
            }
            View::Object(object) => self.refusal_of_object(*object),
        }
    }

    fn refusal_of(&self, response_code: i64, api_id: &[u8], org_id: &[u8]) -> Option<&'static str> {
        self.response_codes
            .refusal(Some(&response_code), RESPONSE_CODES)
            .or_else(|| self.api_ids.refusal(Some(api_id), API_IDS))
            .or_else(|| self.org_ids.refusal(Some(org_id), ORG_IDS))
    }

    // Each member that is asked for is a walk through the object, so lists that ask for nothing do not ask.
    fn refusal_of_object(&self, object: Object<'_>) -> Option<&'static str> {
        let text = |lists: &Lists<Box<[u8]>>, member, names| match lists.is_empty() {
            true => None,
            false => lists.refusal(object.text(member).as_deref().map(str::as_bytes), names),
        };
        let code = || match self.response_codes.is_empty() {
            true => None,
            false => self.response_codes.refusal(response_code(object).as_ref(), RESPONSE_CODES),
        };
        text(&self.api_ids, "api_id", API_IDS)
            .or_else(|| text(&self.org_ids, "org_id", ORG_IDS))
            .or_else(code)
    }
}

/// The settings of an allow list and of the block list beside it.
type Names = [&'static str; 2];

const API_IDS: Names = ["api_ids", "skip_api_ids"];
const ORG_IDS: Names = ["org_ids", "skip_org_ids"];
const RESPONSE_CODES: Names = ["response_codes", "skip_response_codes"];

/// The response code that an object tells of, if any.
fn response_code(object: Object<'_>) -> Option<i64> {
    ["response_code", "status", "code"]
        .iter()
        .find_map(|name| object.text(name)?.parse::<u16>().ok())
        .map(i64::from)
}

/// What one field may and must not be; both sorted.
#[derive(Debug, Clone)]
struct Lists<T> {
    allow: Box<[T]>,
    block: Box<[T]>,
}

impl<T> Lists<T> {
    fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.block.is_empty()
    }

    /// Which of the two lists refuses a value.
    fn refusal<Q: Ord + ?Sized>(&self, value: Option<&Q>, [allow, block]: Names) -> Option<&'static str>
    where
        T: std::borrow::Borrow<Q>,
    {
        let is_in = |list: &[T]| {
            value.is_some_and(|value| list.binary_search_by(|entry| entry.borrow().cmp(value)).is_ok())
        };
        if is_in(&self.block) {
            return Some(block);
        }
        (!self.allow.is_empty() && !is_in(&self.allow)).then_some(allow)
    }
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { allow: Box::default(), block: Box::default() }
    }
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Box<[T]> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Transaction, Uptime};

    fn filter(json: &str) -> Filter {
        Filter::new(&serde_json::from_str(json).expect("a filter"))
    }

    fn transaction(api_id: &'static str, org_id: &'static str, response_code: i64) -> View<'static> {
        View::Transaction(Transaction {
            api_id: api_id.into(),
            org_id: org_id.into(),
            response_code,
            ..Default::default()
        })
    }

    fn object(body: &str) -> View<'_> {
        View::Object(Object::new(body.as_bytes()))
    }

    #[test]
    fn a_filter_that_asks_for_nothing_takes_everything() {
        for json in ["{}", r#"{"api_ids":[],"skip_response_codes":[]}"#] {
            assert!(filter(json).is_empty());
            assert!(filter(json).accepts(&transaction("a", "o", 200)));
            assert!(filter(json).accepts(&object("{}")));
        }
        assert!(!filter(r#"{"skip_org_ids":["o"]}"#).is_empty());
    }

    #[test]
    fn an_allow_list_takes_what_is_in_it() {
        let filter = filter(r#"{"api_ids":["b","a","b"]}"#);
        assert!(filter.accepts(&transaction("a", "o", 200)));
        assert!(filter.accepts(&transaction("b", "o", 200)));
        assert!(!filter.accepts(&transaction("c", "o", 200)));
        assert!(!filter.accepts(&transaction("", "o", 200)));
    }

    #[test]
    fn a_block_list_beats_an_allow_list() {
        let filter = filter(r#"{"api_ids":["a","b"],"skip_api_ids":["b"]}"#);
        assert!(filter.accepts(&transaction("a", "o", 200)));
        assert!(!filter.accepts(&transaction("b", "o", 200)));
    }

    #[test]
    fn several_allow_lists_must_all_match() {
        let filter = filter(r#"{"api_ids":["a"],"org_ids":["o"],"response_codes":[200,201]}"#);
        assert!(filter.accepts(&transaction("a", "o", 201)));
        assert!(!filter.accepts(&transaction("b", "o", 201)));
        assert!(!filter.accepts(&transaction("a", "p", 201)));
        assert!(!filter.accepts(&transaction("a", "o", 404)));
    }

    #[test]
    fn a_health_check_is_filtered_as_a_transaction_is() {
        let uptime = View::Uptime(Uptime { api_id: "a".into(), response_code: 521, ..Default::default() });
        assert!(filter(r#"{"api_ids":["a"],"response_codes":[521]}"#).accepts(&uptime));
        assert!(!filter(r#"{"skip_response_codes":[521]}"#).accepts(&uptime));
        assert!(!filter(r#"{"org_ids":["o"]}"#).accepts(&uptime));
    }

    #[test]
    fn what_lacks_a_field_is_excluded_by_an_allow_list_and_not_by_a_block_list() {
        let event = object(r#"{"event":"AuthFailure"}"#);
        for allow in [r#"{"api_ids":["a"]}"#, r#"{"org_ids":["a"]}"#, r#"{"response_codes":[200]}"#] {
            assert!(!filter(allow).accepts(&event), "{allow}");
        }
        let block = r#"{"skip_api_ids":["a"],"skip_org_ids":["a"],"skip_response_codes":[200]}"#;
        assert!(filter(block).accepts(&event));
    }

    #[test]
    fn an_objects_ids_are_compared_unescaped() {
        let skip = filter(r#"{"skip_api_ids":["äb"]}"#);
        assert!(!skip.accepts(&object(r#"{"api_id":"äb"}"#)));
        assert!(!skip.accepts(&object(r#"{"api\u005fid":"\u00e4b"}"#)));
        assert!(skip.accepts(&object(r#"{"api_id":"ab"}"#)));
    }

    #[test]
    fn an_objects_response_code_is_the_first_that_is_one() {
        let allow = filter(r#"{"response_codes":[503]}"#);
        assert!(allow.accepts(&object(r#"{"status":503}"#)));
        assert!(allow.accepts(&object(r#"{"response_code":"503","status":200}"#)));
        assert!(allow.accepts(&object(r#"{"status":"error","code":503}"#)));
        assert!(!allow.accepts(&object(r#"{"status":200,"code":503}"#)));
        assert!(!allow.accepts(&object(r#"{"status":[503]}"#)));
    }

    #[test]
    fn the_setting_that_refuses_a_record_is_named() {
        let filter = filter(r#"{"api_ids":["a","b"],"skip_api_ids":["b"],"skip_response_codes":[404]}"#);
        let refusals = [("a", 200), ("b", 200), ("c", 200), ("a", 404)]
            .map(|(api_id, code)| filter.refusal(&transaction(api_id, "o", code)));
        assert_eq!(refusals, [None, Some("skip_api_ids"), Some("api_ids"), Some("skip_response_codes")]);
        assert_eq!(filter.refusal(&object(r#"{"api_id":"b"}"#)), Some("skip_api_ids"));
        assert_eq!(filter.refusal(&object(r#"{"api_id":"a","status":404}"#)), Some("skip_response_codes"));
        assert_eq!(filter.refusal(&object("{}")), Some("api_ids"));
    }

    #[test]
    fn a_name_that_is_no_setting_is_refused() {
        assert!(serde_json::from_str::<FilterConfig>(r#"{"api_id":["a"]}"#).is_err());
        assert!(serde_json::from_str::<FilterConfig>(r#"{"response_codes":["404"]}"#).is_err());
    }
}
