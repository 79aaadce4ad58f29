//! URLs on the command line, in messages: without what may be secret in them, also where they are refused or misplaced.
//! What a place says of itself is without secrets already.

use std::borrow::Cow;
use std::env;
use std::sync::{Mutex, PoisonError};

use clap::builder::StyledStr;

/// `text` without user names, passwords and queries of the URLs that this program was called with, or has [noted](note).
pub(crate) fn hide(text: &str) -> Cow<'_, str> {
    let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let arguments = env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    hide_those_of(arguments.chain(noted), text)
}

/// Has the URLs in `text` hidden as well. Where one ends nobody can tell: a password may have a quote in it, and a line of shell has
/// quotes around it. So each is taken as far as the next quote, and as far as its line goes.
pub(crate) fn note(text: &str) {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).extend(urls_in(text));
}

fn urls_in(text: &str) -> impl Iterator<Item = String> {
    let quoted = text.split(['"', '\'', '\n']).filter(|piece| piece.contains(AFTER_SCHEME));
    // The longer ones first: once a part is hidden, the whole is not found any more.
    text.lines().flat_map(rests_of).chain(quoted).map(str::to_owned)
}

/// For each URL of a line, what stands after the one before it.
fn rests_of(line: &str) -> impl Iterator<Item = &str> {
    let ends = line.match_indices(AFTER_SCHEME).map(|(at, found)| at + found.len());
    let mut begin = 0;
    ends.map(move |end| &line[std::mem::replace(&mut begin, end)..])
}

fn hide_those_of(arguments: impl Iterator<Item = String>, text: &str) -> Cow<'_, str> {
    let mut hidden = Cow::Borrowed(text);
    for argument in arguments.filter(|argument| split_scheme(argument).is_some()) {
        // The parser's own text leaves out a part of what steers a terminal.
        let repeated = StyledStr::from(argument.clone()).to_string();
        for (secret, shown) in [secrets_of(&argument), secrets_of(&repeated)].into_iter().flatten() {
            if hidden.contains(&secret) {
                hidden = Cow::Owned(hidden.replace(&secret, shown));
            }
        }
    }
    hidden
}

/// What may be secret in a URL that `argument` ends with, and what is shown in its place.
fn secrets_of(argument: &str) -> Vec<(String, &'static str)> {
    let Some((scheme, slashes, rest)) = split_scheme(argument) else { return Vec::new() };
    let (authority, _) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let user = authority.rfind('@').map(|at| &authority[..=at]);
    if user.is_none() && !ends_in_a_port(authority) {
        // A password with a `/` or `?` in it, or one without its host: nobody can tell where it ends.
        let shown = if slashes == AFTER_SCHEME { "://…" } else { ":/…" };
        return [rest, authority].map(|hidden| (format!("{slashes}{hidden}"), shown)).into();
    }
    // `abfss://container@account…` has no user.
    let is_container = |user: &str| AZURE.iter().any(|azure| scheme.ends_with(azure)) && !user.contains(':');
    let user = user.filter(|user| !is_container(user)).map(|user| (user.to_owned(), "…@"));
    let begins_query = |mark| rest.find(mark).map(|at| rest[at..].to_owned()).filter(|query| query.len() > 1);
    let query = begins_query('?').map(|query| (query, "?…"));
    let fragment = begins_query('#').map(|fragment| (fragment, "#…"));
    user.into_iter().chain(query).chain(fragment).collect()
}

/// What stands before the `://` of a URL, that, and what stands behind it; or the same around a `:/`, where that follows the scheme of a
/// store or server: a slash is missing, and what follows may be as secret.
pub(crate) fn split_scheme(argument: &str) -> Option<(&str, &'static str, &str)> {
    if let Some((scheme, rest)) = argument.split_once(AFTER_SCHEME) {
        return Some((scheme, AFTER_SCHEME, rest));
    }
    let (scheme, rest) = argument.split_once(ONE_SLASH)?;
    // Before it may stand an option.
    let lower = scheme.to_ascii_lowercase();
    let is_of_a_place = SCHEMES.iter().chain(&AZURE).any(|known| lower.ends_with(known));
    is_of_a_place.then_some((scheme, ONE_SLASH, rest))
}

/// Whether `scheme` is that of a store or server.
pub(crate) fn is_of_a_place(scheme: &str) -> bool {
    SCHEMES.iter().chain(&AZURE).any(|known| known.eq_ignore_ascii_case(scheme))
}

/// Whether what comes after a `:` is a port, or nothing does.
fn ends_in_a_port(authority: &str) -> bool {
    let (_, port) = authority.rsplit_once(':').unwrap_or_default();
    authority.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit())
}

static NOTED: Mutex<Vec<String>> = Mutex::new(Vec::new());
const AFTER_SCHEME: &str = "://";
const ONE_SLASH: &str = ":/";
/// Schemes of other stores, and of servers.
const SCHEMES: [&str; 5] = ["s3", "s3a", "gs", "http", "https"];
/// Schemes under which a container may stand before an account.
const AZURE: [&str; 5] = ["az", "azure", "adl", "abfs", "abfss"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_said() {
        for (argument, shown) in [
            ("https://u:pw@h/d/?sig=S", "https://…@h/d/?…"),
            ("--output=https://token@h:80/k#S", "--output=https://…@h:80/k#…"),
            ("-ohttps://h/k?e=a@b&sig=S#f", "-ohttps://h/k?…"),
            ("s3://AK:secret@b/k", "s3://…@b/k"),
            ("s3://AK:se/cr?et@b/k", "s3://…"),
            ("https://u:secret", "https://…"),
            ("az://c/k?sv=1&sig=S", "az://c/k?…"),
            ("abfss://c:pw@account/k", "abfss://…@account/k"),
            ("ftp://u:p@w@h/k", "ftp://…@h/k"),
            ("https:/u:pw@h/k?sig=S", "https:/…@h/k?…"),
            ("--output=S3:/AK:secret@b/k", "--output=S3:/…@b/k"),
            ("https:/u:secret", "https:/…"),
        ] {
            let said = format!("invalid value '{argument}' for '<SEALED>'");
            let hidden = hide_those_of([argument.to_owned()].into_iter(), &said);
            assert_eq!(hidden, format!("invalid value '{shown}' for '<SEALED>'"));
        }
        // Of a file that is named by a part of it.
        let said = "the directory https://u:pw@h/d is not there";
        let hidden = hide_those_of(["https://u:pw@h/d/k?x".to_owned()].into_iter(), said);
        assert_eq!(hidden, "the directory https://…@h/d is not there");
    }

    #[test]
    fn what_a_line_of_shell_has_of_urls_is_not_said_whatever_is_quoted_in_it() {
        let line = r#"curl 'https://u:pa"ss@h/k' "https://v:wo'rd@h/k?sig=S" && echo done"#;
        let hidden = hide_those_of(urls_in(line), line);
        assert!(hidden.starts_with("curl 'https://…@h/k' \"https://…@h/k?…"), "{hidden}");
        for said in [r#"HTTP 403 for https://u:pa"ss@h/k"#, "HTTP 403 for https://v:wo'rd@h/k"] {
            assert_eq!(hide_those_of(urls_in(line), said), "HTTP 403 for https://…@h/k");
        }
    }

    #[test]
    fn what_is_not_secret_is_said() {
        for argument in [
            "db.cfd",
            "./a:b@c?d",
            "a:/b@c?d",
            "https://h:8443/a@b/c:d",
            "http://[::1]/k",
            "http://[::1]:80/k",
            "tcp://127.0.0.1:7000",
            "s3://b/k",
            "abfss://container@account.dfs.core.windows.net/k",
            "://",
        ] {
            let said = format!("{argument}: no such file");
            let hidden = hide_those_of([argument.to_owned()].into_iter(), &said);
            assert!(matches!(hidden, Cow::Borrowed(same) if same == said), "{argument}: {hidden}");
        }
    }
}
