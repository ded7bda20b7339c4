//! What it means when the store refuses, or does not answer.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use pump_core::plugin::SinkError;

use crate::retry_after::retry_after;

/// How much of a store's own words is shown, in bytes.
const MAX_WORDS: usize = 300;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The store answered, and not as we asked.
    Refused(Refusal),
    /// It did not answer, or was not asked.
    Other(SinkError),
}

/// A store's refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// S3's own word for it, such as `NoSuchBucket`; empty where there is none.
    pub(super) code: String,
    pub(super) message: String,
    /// How long it asked to wait.
    pub(super) wait: Option<Duration>,
}

impl Failure {
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let Some(response) = error.raw_response() else { return Self::Other(lost(&error)) };
        let status = response.status().as_u16();
        let wait = response.headers().get("retry-after").and_then(retry_after);
        // A success that cannot be read says nothing of what was done.
        if (200..300).contains(&status) && error.as_service_error().is_none() {
            return Self::Other(SinkError::retry("the reply of the store cannot be read", chain(&error)));
        }
        let meta = error.as_service_error().map(ProvideErrorMetadata::meta);
        let text = |text: Option<&str>| words(text.unwrap_or_default());
        Self::Refused(Refusal {
            status,
            code: text(meta.and_then(|meta| meta.code())),
            message: text(meta.and_then(|meta| meta.message())),
            wait,
        })
    }

    /// The object is there already.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == 412)
    }

    pub(super) fn into_error(self) -> SinkError {
        match self {
            Self::Refused(refusal) => refusal.into_error(),
            Self::Other(error) => error,
        }
    }
}

impl Refusal {
    pub(super) fn into_error(self) -> SinkError {
        let wait = self.wait;
        let error = self.judge();
        match wait {
            Some(wait) => error.after(wait),
            None => error,
        }
    }

    fn judge(&self) -> SinkError {
        let Self { status, code, message, .. } = self;
        let said = match (code.is_empty(), message.is_empty()) {
            (true, _) => format!("status {status}"),
            (false, true) => format!("status {status}: {code}"),
            (false, false) => format!("status {status}: {code}: {message}"),
        };
        match (&**code, status) {
            (
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "ExpiredToken"
                | "TokenRefreshRequired"
                | "NotSignedUp"
                | "AccountProblem"
                | "InvalidSecurity",
                _,
            ) => SinkError::unavailable(
                "the credentials are refused: check `access_key_id` and `secret_access_key`, or the environment's",
                said,
            ),
            ("RequestTimeTooSkewed" | "RequestExpired", _) => {
                SinkError::unavailable("the clock of this machine is wrong: set it", said)
            }
            ("NoSuchBucket", _) => {
                SinkError::unavailable("the bucket is not there: check `bucket` and `endpoint`", said)
            }
            (
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "IllegalLocationConstraintException"
                | "AuthorizationHeaderMalformed",
                _,
            )
            | (_, 300..=399) => {
                SinkError::unavailable("the bucket is somewhere else: check `region` and `endpoint`", said)
            }
            ("EntityTooLarge", _) | (_, 413) => {
                SinkError::too_large(format!("the store takes no objects of this size: {said}"))
            }
            // A part that got lost on the way, an upload that somebody has cleared away, somebody else at the
            // same key: the whole object again.
            (
                "RequestTimeout"
                | "IncompleteBody"
                | "BadDigest"
                | "XAmzContentSHA256Mismatch"
                | "InvalidDigest"
                | "InvalidPart"
                | "InvalidPartOrder"
                | "NoSuchUpload"
                | "SlowDown"
                | "InternalError"
                | "ServiceUnavailable"
                | "OperationAborted"
                | "ConditionalRequestConflict"
                | "Throttling",
                _,
            )
            | (_, 408 | 409 | 429) => SinkError::retry("the store refuses for now", said),
            (code, _) if code.starts_with("KMS.") => {
                SinkError::unavailable("the key of `encryption` cannot be used", said)
            }
            (_, 401 | 403) => SinkError::unavailable(
                "the credentials may not write there: the page of this sink has the policy that they need",
                said,
            ),
            (_, 501) => SinkError::unavailable("the store cannot do what the settings ask for", said),
            (_, 400..=499) => SinkError::unavailable(
                "the store does not take objects as the settings have them: check bucket and settings",
                said,
            ),
            _ => SinkError::retry("the store is in trouble", said),
        }
    }

    /// Whether a probe, which names an upload that is not there, was refused for that alone: we may write, and
    /// stores have different words for it.
    pub(super) fn is_willing(&self) -> bool {
        let is_unknown = matches!(self.status, 400 | 404)
            && self.judge().kind() == pump_core::plugin::SinkErrorKind::Unavailable
            && matches!(&*self.code, "InvalidArgument" | "InvalidRequest" | "NoSuchKey" | "InvalidURI");
        self.code == "NoSuchUpload" || is_unknown
    }
}

/// No answer: which is the network's fault, or that of what should have given us credentials.
fn lost<E>(error: &SdkError<E, HttpResponse>) -> SinkError
where
    E: Error + Send + Sync + 'static,
{
    let said = chain(error);
    if causes(error).any(|cause| cause.is::<CredentialsError>()) {
        return SinkError::unavailable(
            "there are no credentials: give `access_key_id`, or mend the environment's",
            said,
        );
    }
    if matches!(error, SdkError::ConstructionFailure(_)) {
        return SinkError::unavailable("no request can be made of these settings", said);
    }
    if said.contains("dns error") {
        let message = "the store's name is not known: check `endpoint`, and `path_style: true` for a store of one's own";
        return SinkError::unavailable(message, said);
    }
    let is_late = match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    };
    SinkError::retry(if is_late { "no answer in time" } else { "the store cannot be reached" }, said)
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let beneath =
        |error: &&'e (dyn Error + 'static)| -> Option<&'e (dyn Error + 'static)> { (**error).source() };
    std::iter::successors(Some(error), beneath)
}

/// What the error and what lies beneath it say, each once: the client's errors repeat each other.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = String::new();
    for cause in causes(error) {
        let text = words(&cause.to_string());
        if !said.contains(&text) {
            let colon = if said.is_empty() { "" } else { ": " };
            said = format!("{said}{colon}{text}");
        }
    }
    said
}

/// In one line, and not too long.
fn words(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some(end) = (0..=MAX_WORDS.min(line.len())).rev().find(|end| line.is_char_boundary(*end)) {
        line.truncate(end);
    }
    line
}
