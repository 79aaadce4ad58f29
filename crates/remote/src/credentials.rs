//! Whether credentials that somebody gave can be used: the client library panics at a line break in a token, and at a time that no clock
//! has. Knows not who gives them, nor what they are for.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

/// Whether the library can take `answer` apart and send what is in it, or will itself refuse it.
pub(crate) fn are_usable(answer: &[u8]) -> bool {
    match serde_json::from_slice(answer) {
        Ok(value) => is_usable(None, &value),
        Err(_) => texts_are_usable(answer),
    }
}

fn is_usable(name: Option<&str>, value: &Value) -> bool {
    let is_time = name.is_some_and(|name| name.to_ascii_lowercase().starts_with("expires"));
    match value {
        Value::String(text) if is_time && text.parse::<u128>().is_ok_and(|time| time > SECONDS_MAX) => false,
        Value::String(text) => can_be_sent(text),
        Value::Number(number) if is_time => {
            number.as_u64().is_none_or(|seconds| u128::from(seconds) <= SECONDS_MAX)
        }
        Value::Array(values) => values.iter().all(|value| is_usable(name, value)),
        Value::Object(fields) => fields.iter().all(|(name, value)| is_usable(Some(name), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// The texts of a document of XML, without the lines between its elements.
fn texts_are_usable(answer: &[u8]) -> bool {
    let mut reader = Reader::from_reader(answer);
    loop {
        let usable = match reader.read_event() {
            Ok(Event::Text(text)) => is_sendable(text.trim_ascii()),
            Ok(Event::CData(text)) => is_sendable(&text),
            // The library refuses one that is none.
            Ok(Event::GeneralRef(reference)) => {
                reference.resolve_char_ref().is_ok_and(|char| char.is_none_or(|char| !char.is_control()))
            }
            // What is no XML is a name or a token by itself, at which the library does not panic.
            Ok(Event::Eof) | Err(_) => return true,
            Ok(_) => true,
        };
        if !usable {
            return false;
        }
    }
}

fn is_sendable(text: &[u8]) -> bool {
    !text.iter().any(u8::is_ascii_control)
}

fn can_be_sent(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// How long credentials may be good for, or when they end, in seconds: beyond this a clock overflows.
const SECONDS_MAX: u128 = 10_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_with_a_line_break_and_times_that_no_clock_has_are_not_usable() {
        for answer in [
            r#"{"AccessKeyId":"AK","SecretAccessKey":"S","Token":"T\nX: y","Expiration":"2030-01-01T00:00:00Z"}"#,
            r#"{"AccessKeyId":"AK\u0000","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-01T00:00:00Z"}"#,
            r#"{"access_token":"T\r","expires_in":3600}"#,
            r#"{"access_token":"T","expires_in":18446744073709551615}"#,
            r#"{"access_token":"T","expires_in":9223372036854775807}"#,
            r#"{"access_token":"T","expires_on":"18446744073709551615"}"#,
            r#"{"within":[{"access_token":"T\n"}]}"#,
            "<R><SessionToken>T\nX</SessionToken></R>",
            "<R><SessionToken>T&#10;X</SessionToken></R>",
            "<R><SessionToken><![CDATA[T\n]]></SessionToken></R>",
        ] {
            assert!(!are_usable(answer.as_bytes()), "{answer}");
        }
    }

    /// As the services' references show them.
    #[test]
    fn answers_as_they_are_given_are_usable() {
        for answer in [
            "{\n  \"Code\" : \"Success\",\n  \"AccessKeyId\" : \"AK\",\n  \"Token\" : \"T/+=\",\n  \"Expiration\" : \"2017-05-17T15:09:54Z\"\n}\n",
            r#"{"access_token":"eyJ0eXAi","expires_in":"3599","expires_on":"1506484173","token_type":"Bearer"}"#,
            r#"{"access_token":"ya29","expires_in":3600,"token_type":"Bearer"}"#,
            "<R>\n  <Credentials>\n    <SessionToken>\n T/+= \n</SessionToken>\n <A>a &amp; b &#43;</A></Credentials>\n</R>\n",
            "a-role",
            "a-role\n",
            "",
        ] {
            assert!(are_usable(answer.as_bytes()), "{answer}");
        }
    }
}
