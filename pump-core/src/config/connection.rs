//! Who we are to a server and how we send: one shape of `auth` and of the `compression` of HTTP requests
//! for all plugins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// Who we are to the server: one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// A user's name and password.
    #[serde(default)]
    pub basic: Option<BasicAuth>,
    /// A token that whoever bears it is let in with.
    #[serde(default)]
    pub bearer: Option<Secret>,
    /// A key as the server gave it out.
    #[serde(default)]
    pub api_key: Option<Secret>,
}

/// A user's name and password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// What `auth` says once it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth<'a> {
    /// A user's name and password.
    Basic(&'a BasicAuth),
    /// A token.
    Bearer(&'a Secret),
    /// A key as the server gave it out.
    ApiKey(&'a Secret),
}

impl AuthConfig {
    /// The one way that is set; what is wrong when there is none or more than one.
    pub fn scheme(&self) -> Result<Auth<'_>, &'static str> {
        match (&self.basic, &self.bearer, &self.api_key) {
            (Some(basic), None, None) => Ok(Auth::Basic(basic)),
            (None, Some(token), None) => Ok(Auth::Bearer(token)),
            (None, None, Some(key)) => Ok(Auth::ApiKey(key)),
            (None, None, None) => {
                Err("nothing is set in it: write `basic`, `bearer` or `api_key`, or leave it out")
            }
            _ => Err("`basic`, `bearer` and `api_key` exclude each other: keep one of them"),
        }
    }
}

/// How the bodies of HTTP requests are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpCompression {
    /// Not at all.
    #[default]
    None,
    /// With gzip.
    Gzip,
}
