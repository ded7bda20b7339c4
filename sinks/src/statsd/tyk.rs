//! Names as Tyk Pump's `statsd` and `dogstatsd` pumps write them, unescaped: dashboards go on working.
//!
//! A client can put dots, colons and bars into a path, and so into a name. Newlines are escaped or taken out, as
//! there.

use std::io::Write;

use pump_core::encode::json;
use pump_core::record::{Text, Transaction, Zone};

use super::config::TimeField;
use super::window::time_of;

/// The names of the `statsd` pump: values as JSON, in lower case, without quotes and spaces.
#[derive(Debug)]
pub(super) struct TykNames {
    by: Box<[NamePart]>,
    has_separated_method: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamePart {
    Path,
    Method,
    ResponseCode,
    ApiKey,
    TimeStamp,
    ApiVersion,
    ApiName,
    ApiId,
    OrgId,
    OauthId,
    IpAddress,
    Time(TimeField),
}

/// The tags of the `dogstatsd` pump.
#[derive(Debug)]
pub(super) struct TykTags {
    by: Box<[Tag]>,
    /// Slashes at the end of a path go only where tags were asked for.
    is_path_trimmed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Path,
    Method,
    ResponseCode,
    ApiVersion,
    ApiName,
    ApiId,
    OrgId,
    Tracked,
    OauthId,
}

impl TykNames {
    pub(super) fn new(by: Option<&[String]>, has_separated_method: bool) -> Result<Self, String> {
        let by: Result<_, _> = by.unwrap_or_default().iter().map(|name| name_part(name)).collect();
        Ok(Self { by: by?, has_separated_method })
    }

    pub(super) fn series(&self, record: &Transaction<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        // Without tags a name ends with the dot.
        if self.by.is_empty() {
            out.push(b'.');
        }
        for part in &self.by {
            out.push(b'.');
            scratch.clear();
            self.value(*part, record, scratch);
            lower_case(scratch, out);
        }
    }

    pub(super) fn other(&self, out: &mut Vec<u8>) {
        match &*self.by {
            [] => out.push(b'.'),
            parts => parts.iter().for_each(|_| out.extend_from_slice(b".other")),
        }
    }

    fn value(&self, part: NamePart, record: &Transaction<'_>, out: &mut Vec<u8>) {
        let mut text = |text: Text<'_>| json::escaped(text.bytes(), out);
        match part {
            NamePart::Path => {
                if !self.has_separated_method {
                    text(record.method);
                }
                text(Text(without_slashes(record.path.bytes())));
            }
            NamePart::Method if self.has_separated_method => text(record.method),
            NamePart::Method => out.extend_from_slice(b"null"),
            NamePart::ResponseCode => json::int(record.response_code, out),
            NamePart::ApiKey => text(record.api_key),
            NamePart::TimeStamp => {
                let mut time = record.timestamp;
                time.nanos = 0;
                time.write_go(&Zone::UTC, out);
                out.iter_mut().filter(|byte| **byte == b':').for_each(|byte| *byte = b'-');
            }
            NamePart::ApiVersion => text(record.api_version),
            NamePart::ApiName => text(record.api_name),
            NamePart::ApiId => text(record.api_id),
            NamePart::OrgId => text(record.org_id),
            NamePart::OauthId => text(record.oauth_id),
            NamePart::IpAddress => text(record.ip_address),
            NamePart::Time(field) => json::int(time_of(field, record).unwrap_or_default(), out),
        }
    }
}

impl TykTags {
    pub(super) fn new(by: Option<&[String]>) -> Result<Self, String> {
        use Tag::{ApiId, ApiName, ApiVersion, Method, OauthId, OrgId, Path, ResponseCode, Tracked};
        let default = || {
            vec![Path, Method, ResponseCode, ApiVersion, ApiName, ApiId, OrgId, Tracked, OauthId]
                .into_boxed_slice()
        };
        match by {
            None => Ok(Self { by: default(), is_path_trimmed: false }),
            Some(names) => {
                let by: Result<_, _> = names.iter().map(|name| tag(name)).collect();
                Ok(Self { by: by?, is_path_trimmed: true })
            }
        }
    }

    pub(super) fn series(&self, record: &Transaction<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"tyk-pump");
        for tag in &self.by {
            if *tag == Tag::OauthId && record.oauth_id.is_empty() {
                continue;
            }
            out.push(b',');
            out.extend_from_slice(tag.name().as_bytes());
            out.push(b':');
            let text = match tag {
                Tag::Path if self.is_path_trimmed => without_slashes(record.path.bytes()),
                Tag::Path => record.path.bytes(),
                Tag::Method => record.method.bytes(),
                Tag::ApiVersion => record.api_version.bytes(),
                Tag::ApiName => record.api_name.bytes(),
                Tag::ApiId => record.api_id.bytes(),
                Tag::OrgId => record.org_id.bytes(),
                Tag::OauthId => record.oauth_id.bytes(),
                Tag::ResponseCode => {
                    json::int(record.response_code, out);
                    continue;
                }
                Tag::Tracked => {
                    json::bool(record.track_path, out);
                    continue;
                }
            };
            out.extend(text.iter().filter(|byte| **byte != b'\n'));
        }
    }

    pub(super) fn other(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"tyk-pump");
        for tag in &self.by {
            // Writing into memory does not fail.
            let _ = write!(out, ",{}:other", tag.name());
        }
    }
}

impl Tag {
    const ALL: [Self; 9] = [
        Self::Path,
        Self::Method,
        Self::ResponseCode,
        Self::ApiVersion,
        Self::ApiName,
        Self::ApiId,
        Self::OrgId,
        Self::Tracked,
        Self::OauthId,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Method => "method",
            Self::ResponseCode => "response_code",
            Self::ApiVersion => "api_version",
            Self::ApiName => "api_name",
            Self::ApiId => "api_id",
            Self::OrgId => "org_id",
            Self::Tracked => "tracked",
            Self::OauthId => "oauth_id",
        }
    }
}

fn name_part(name: &str) -> Result<NamePart, String> {
    Ok(match name {
        "path" => NamePart::Path,
        "method" => NamePart::Method,
        "response_code" => NamePart::ResponseCode,
        "api_key" => NamePart::ApiKey,
        "time_stamp" => NamePart::TimeStamp,
        "api_version" => NamePart::ApiVersion,
        "api_name" => NamePart::ApiName,
        "api_id" => NamePart::ApiId,
        "org_id" => NamePart::OrgId,
        "oauth_id" => NamePart::OauthId,
        "ip_address" => NamePart::IpAddress,
        _ => match TimeField::ALL.into_iter().find(|field| field.name() == name) {
            Some(field) => NamePart::Time(field),
            None if matches!(name, "raw_request" | "raw_response") => {
                return Err(format!("`{name}` is whole messages: no daemon takes such names"));
            }
            None => return Err(format!("Tyk Pump's statsd has no tag `{name}`")),
        },
    })
}

fn tag(name: &str) -> Result<Tag, String> {
    let found = Tag::ALL.into_iter().find(|tag| tag.name() == name);
    found.ok_or_else(|| {
        let all: Vec<_> = Tag::ALL.into_iter().map(Tag::name).collect();
        format!("Tyk Pump's dogstatsd has no tag `{name}`; it has {}", all.join(", "))
    })
}

fn without_slashes(mut path: &[u8]) -> &[u8] {
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}

/// Appends what JSON has escaped, each character in lower case as Go does it, without quotes and spaces.
fn lower_case(escaped: &[u8], out: &mut Vec<u8>) {
    for part in escaped.utf8_chunks() {
        for char in part.valid().chars().filter(|char| !matches!(char, '"' | ' ')) {
            // One character for one: only a dotted capital I has more, of which Go takes the first.
            let lower = char.to_lowercase().next().unwrap_or(char);
            out.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}
