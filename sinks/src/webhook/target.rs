//! Where requests go: the address, and what of it may be shown.

use reqwest::Url;

/// A part of a path that is longer may be a token, as chat services have them.
const LONGEST_WORD: usize = 15;

/// The address, checked.
pub(super) fn parse(text: &str, allows_plain: bool) -> Result<Url, &'static str> {
    let url =
        Url::parse(text).map_err(|_| "this is no address, such as `https://collector.example/v1/records`")?;
    match url.scheme() {
        "https" => {}
        "http" if allows_plain => {}
        "http" => {
            return Err(
                "with `http://` everybody on the way can read and change what is sent: write `https://`, or \
                 `allow_plain_http: true` where that is meant, as on one machine or in a mesh that encrypts",
            );
        }
        _ => return Err("the address begins with `https://`"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials stand under `auth`, not in the address");
    }
    if url.fragment().is_some() {
        return Err("the address has no fragment (`#…`): receivers never get it");
    }
    Ok(url)
}

/// Host and port.
pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{host}:{}", url.port_or_known_default().unwrap_or_default())
}

/// What of the address may be a secret, as it is written and as a receiver reads it.
pub(super) fn secrets(url: &Url) -> Vec<String> {
    let in_path = url.path().split('/').filter(|part| part.len() > LONGEST_WORD).map(str::to_owned);
    let pairs = url.query().unwrap_or_default().split('&');
    let written = pairs.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned());
    let read =
        url.query_pairs().map(|(name, value)| if value.is_empty() { name } else { value }.into_owned());
    let mut secrets: Vec<_> =
        in_path.chain(written).chain(read).filter(|secret| !secret.is_empty()).collect();
    secrets.sort_unstable();
    secrets.dedup();
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_those_who_ask_for_it() {
        for text in ["http://h/x", "http://127.0.0.1:8080", "http://localhost/"] {
            assert!(parse(text, false).is_err_and(|message| message.contains("allow_plain_http")), "{text}");
            assert!(parse(text, true).is_ok(), "{text}");
        }
        assert!(parse("https://h", true).is_ok());
    }

    #[test]
    fn what_is_no_address_of_a_receiver_is_refused() {
        for text in ["", "h", "ftp://h", "https://", "https://u:p@h/", "https://u@h/", "https://h/#a", "/x"] {
            assert!(parse(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn tokens_in_an_address_are_known() {
        let url = parse("https://h:8443/services/T0123456789ABCDEF/v1?sig=a%20b&x=1", false).expect("sound");
        assert_eq!(host_and_port(&url), "h:8443");
        assert_eq!(secrets(&url), ["1", "T0123456789ABCDEF", "a b", "a%20b"]);
        let url = parse("https://h/short?token", false).expect("sound");
        assert_eq!(secrets(&url), ["token"]);
    }
}
