//! Whether a store's settings can be sent: the client library panics at a line break in a header, and at an address that is none.
//! Knows no store's other rules; its client looks at those.

use object_store::client::{HttpRequest, HttpRequestBody};
use url::Url;

/// Looks at one setting that the library knows; `name` is as in the environment.
///
/// # Errors
/// It cannot be sent. The value is not in the error.
pub(crate) fn check(name: &str, value: &str) -> object_store::Result<()> {
    let has_lines = HAVE_LINES.iter().any(|with| name.to_ascii_uppercase().ends_with(with));
    if !has_lines && value.contains(char::is_control) {
        return Err(unusable(format!(
            "{name} has a line break, or another character that cannot be sent; set it anew without it"
        )));
    }
    let is_address = ADDRESSES.iter().any(|address| name.eq_ignore_ascii_case(address));
    if is_address && !is_address_of_a_server(value) {
        return Err(unusable(format!("{name} is no address of a server, as https://host:port is")));
    }
    Ok(())
}

/// To both of the libraries that will take it apart.
fn is_address_of_a_server(text: &str) -> bool {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    let Ok(uri) = text.parse() else { return false };
    *request.uri_mut() = uri;
    [text.to_owned(), request.uri().to_string()].iter().all(|text| {
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    })
}

fn unusable(why: String) -> object_store::Error {
    object_store::Error::Generic { store: "settings", source: why.into() }
}

/// Keys and certificates as files have them.
const HAVE_LINES: [&str; 2] = ["SERVICE_ACCOUNT_KEY", "PROXY_CA_CERTIFICATE"];
/// Those that the library puts together with a bucket without looking at them; it parses the others.
const ADDRESSES: [&str; 3] = ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_header_can_have_is_refused_by_its_name() {
        for name in ["AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_REGION", "AZURE_STORAGE_TOKEN"] {
            for value in ["5ecret\n", "5e\r\ncret", "5ecret\0", "5e\u{7f}cret", "\u{1}5ecret"] {
                let error = check(name, value).unwrap_err().to_string();
                assert!(error.contains(name) && !error.contains("cret"), "{error}");
            }
            assert!(check(name, "5ecret+/=").is_ok());
        }
        assert!(check("GOOGLE_SERVICE_ACCOUNT_KEY", "{\n}\n").is_ok());
        assert!(check("AWS_PROXY_CA_CERTIFICATE", "-----BEGIN CERTIFICATE-----\n").is_ok());
    }

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for value in [
            "127.0.0.1:9000",
            "localhost:9000",
            "store",
            "",
            "ftp://store",
            "http://",
            "http://a b",
            "http://a/b c",
        ] {
            assert!(check("AWS_ENDPOINT", value).is_err(), "{value}");
            assert!(check("aws_endpoint_url_s3", value).is_err(), "{value}");
            assert!(check("AWS_REGION", value).is_ok(), "{value}");
        }
        for value in ["http://127.0.0.1:9000", "https://store.example/under/", "HTTP://[::1]:1"] {
            assert!(check("AWS_ENDPOINT", value).is_ok(), "{value}");
        }
    }
}
