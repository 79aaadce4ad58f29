//! Owns what faults change in the heads of requests and answers.
//! Reads and writes nothing.

use super::fault::Fault;
use crate::http::Head;

/// Makes of `head` what the server is to be asked.
pub(super) fn request(head: &mut Head, fault: Option<&Fault>) {
    let method = head.method().to_owned();
    match fault {
        Some(Fault::WholeBody) if head.field("range").is_some() => {
            head.remove(|name| name == "range" || name == "x-ms-range" || is_signature(name));
        }
        Some(Fault::OtherTarget(target)) => {
            head.start = format!("{method} {target} HTTP/1.1");
            head.remove(is_signature);
        }
        _ => {}
    }
    // The proxy has said already that it takes the body.
    head.remove(|name| name == "expect");
}

/// Makes of the head of an answer to `asked` what the client is told. Returns whether the fault had something to change there.
pub(super) fn answer(head: &mut Head, asked: &Head, fault: &Fault) -> bool {
    match fault {
        Fault::WholeBody => head.status() == 200 && asked.field("range").is_some(),
        Fault::OtherTarget(_) => true,
        Fault::ShiftedRange => edit(head, "content-range", |value| {
            let (first, last, total) = parts_of_range(value)?;
            Some(format!("bytes {}-{}/{total}", first + 1, last + 1))
        }),
        Fault::OtherTotal => edit(head, "content-range", |value| {
            let (first, last, total) = parts_of_range(value)?;
            Some(format!("bytes {first}-{last}/{}", total.parse::<u64>().ok()? + 1))
        }),
        Fault::WrongLength { by } => edit(head, "content-length", |value| {
            Some(value.parse::<u64>().ok()?.saturating_add_signed(*by).to_string())
        }),
        Fault::WeakTag => edit(head, "etag", |value| Some(format!("W/{}", value.trim_start_matches("W/")))),
        Fault::OtherTag => {
            edit(head, "etag", |value| Some(format!("\"another-{}", value.trim_matches('"')) + "\""))
        }
        Fault::NoTag => head.remove(|name| name == "etag"),
        _ => false,
    }
}

fn edit(head: &mut Head, name: &str, change: impl Fn(&str) -> Option<String>) -> bool {
    let Some(value) = head.field_mut(name) else {
        return false;
    };
    let changed = change(value);
    let has = changed.is_some();
    if let Some(changed) = changed {
        *value = changed;
    }
    has
}

/// What a request without its signature must not have either.
fn is_signature(name: &str) -> bool {
    name == "authorization" || name.starts_with("x-amz-") || name == "x-ms-date"
}

fn parts_of_range(value: &str) -> Option<(u64, u64, &str)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total))
}
