//! One health check of an upstream, as borrowed fields.

use super::{Text, Timestamp, UptimeField, UptimeFieldSet, Value};

/// The fields of one uptime record. A field in `omitted` is zero here too, as in a transaction.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the fields are described in docs/records.md, one row each")]
pub struct Uptime<'a> {
    pub url: Text<'a>,
    /// Milliseconds.
    pub request_time: i64,
    pub response_code: i64,
    pub tcp_error: bool,
    pub server_error: bool,
    pub day: i64,
    pub month: i64,
    pub year: i64,
    pub hour: i64,
    pub minute: i64,
    pub timestamp: Timestamp,
    pub expire_at: Timestamp,
    pub api_id: Text<'a>,
    pub org_id: Text<'a>,
    /// What `omit` took out.
    pub omitted: UptimeFieldSet,
}

impl Default for Uptime<'_> {
    fn default() -> Self {
        Self {
            url: Text::default(),
            request_time: 0,
            response_code: 0,
            tcp_error: false,
            server_error: false,
            day: 0,
            month: 0,
            year: 0,
            hour: 0,
            minute: 0,
            timestamp: Timestamp::ZERO,
            expire_at: Timestamp::ZERO,
            api_id: Text::default(),
            org_id: Text::default(),
            omitted: UptimeFieldSet::EMPTY,
        }
    }
}

impl<'a> Uptime<'a> {
    /// A field's value by its name in the table of fields.
    pub fn get(&self, field: UptimeField) -> Value<'a> {
        use Value::{Bool, Int, Text, Time};
        match field {
            UptimeField::Url => Text(self.url),
            UptimeField::RequestTime => Int(self.request_time),
            UptimeField::ResponseCode => Int(self.response_code),
            UptimeField::TcpError => Bool(self.tcp_error),
            UptimeField::ServerError => Bool(self.server_error),
            UptimeField::Day => Int(self.day),
            UptimeField::Month => Int(self.month),
            UptimeField::Year => Int(self.year),
            UptimeField::Hour => Int(self.hour),
            UptimeField::Minute => Int(self.minute),
            UptimeField::Timestamp => Time(self.timestamp),
            UptimeField::ExpireAt => Time(self.expire_at),
            UptimeField::ApiId => Text(self.api_id),
            UptimeField::OrgId => Text(self.org_id),
        }
    }
}
