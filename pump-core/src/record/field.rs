//! The fields of transactions and health checks by name: for filters, `omit`, `redact`, templates and
//! columns.

use super::{Text, TextList, Timestamp, Transaction, Uptime};

macro_rules! fields {
    (
        $(#[$docs:meta])* $Field:ident, $(#[$set_docs:meta])* $FieldSet:ident:
        $($variant:ident $name:literal),* $(,)?
    ) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the name is the documentation: docs/records.md has the table")]
        pub enum $Field { $($variant),* }

        impl $Field {
            /// All fields, in the order in which they are written.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in the pipeline file and in `full` JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The field of that name in the pipeline file; `None` for a name that is none.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|field| field.name() == name)
            }
        }

        $(#[$set_docs])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $FieldSet(u64);

        impl $FieldSet {
            /// No field.
            pub const EMPTY: Self = Self(0);

            /// This set and one field more.
            #[must_use]
            pub const fn with(self, field: $Field) -> Self {
                Self(self.0 | 1 << field as u8)
            }

            /// Whether the field is in the set.
            #[inline]
            pub const fn has(self, field: $Field) -> bool {
                self.0 & (1 << field as u8) != 0
            }

            /// Whether no field is in the set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// The fields in it, in writing order.
            pub fn iter(self) -> impl Iterator<Item = $Field> {
                $Field::ALL.iter().copied().filter(move |field| self.has(*field))
            }
        }
    };
}

fields! {
    /// A top-level field of a transaction.
    Field,
    /// A set of fields, one bit each.
    FieldSet:
    Method "method", Host "host", Path "path", RawPath "raw_path", ContentLength "content_length",
    UserAgent "user_agent", Day "day", Month "month", Year "year", Hour "hour",
    ResponseCode "response_code", ApiKey "api_key", Timestamp "timestamp",
    ApiVersion "api_version", ApiName "api_name", ApiId "api_id", OrgId "org_id",
    OauthId "oauth_id", RequestTime "request_time", RawRequest "raw_request",
    RawResponse "raw_response", IpAddress "ip_address", Geo "geo", Network "network",
    Latency "latency", Tags "tags", Alias "alias", TrackPath "track_path", ExpireAt "expireAt",
    ApiSchema "api_schema", OriginalPath "original_path", ListenPath "listen_path",
    GraphqlStats "graphql_stats", McpStats "mcp_stats",
}

fields! {
    /// A field of a health check.
    UptimeField,
    /// A set of a health check's fields, one bit each.
    UptimeFieldSet:
    Url "url", RequestTime "request_time", ResponseCode "response_code", TcpError "tcp_error",
    ServerError "server_error", Day "day", Month "month", Year "year", Hour "hour", Minute "minute",
    Timestamp "timestamp", ExpireAt "expireAt", ApiId "api_id", OrgId "org_id",
}

/// A field's value, for those who do not care which field it is.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Text.
    Text(Text<'a>),
    /// A whole number; its unit is the field's.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// A point in time.
    Time(Timestamp),
    /// Several texts.
    List(TextList<'a>),
    /// A structure, which has no single value.
    Nested,
}

/// What sort of value a field has; the same for every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    /// A number, a yes or no, a time.
    Scalar,
    List,
    Nested,
}

impl<'a> Value<'a> {
    /// The text; empty for what is not text.
    pub(crate) fn text(self) -> Text<'a> {
        match self {
            Self::Text(text) => text,
            _ => Text::default(),
        }
    }

    fn shape(self) -> Shape {
        match self {
            Self::Text(_) => Shape::Text,
            Self::Int(_) | Self::Bool(_) | Self::Time(_) => Shape::Scalar,
            Self::List(_) => Shape::List,
            Self::Nested => Shape::Nested,
        }
    }
}

// An empty record shows what its fields hold, so that no second table of them is needed.
impl Field {
    pub(crate) fn shape(self) -> Shape {
        Transaction::default().get(self).shape()
    }
}

impl UptimeField {
    pub(crate) fn shape(self) -> Shape {
        Uptime::default().get(self).shape()
    }
}
