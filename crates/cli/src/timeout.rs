//! `--timeout`: how long a store or server is waited for. And how durations are written on the command line.
//! It waits for nothing; the library does.

use std::time::Duration;

/// What the commands share that take a URL.
#[derive(clap::Args, Clone, Copy, Default, Debug)]
#[command(next_help_heading = "Stores and servers")]
pub(crate) struct Timeout {
    /// How long a store or server may bring and take next to nothing, whatever is tried, before the command gives up with exit code 15: 90s,
    /// 10m, 1h, … [default: 5m]
    ///
    /// Of what is read, and of a store's answers, less than 1 KiB/s over this time counts as nothing. A store that puts a large object
    /// together may take minutes, which are waited for up to this time too. How long all of it takes is not limited.
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    timeout: Option<Duration>,
}

impl Timeout {
    /// Whether it was said.
    pub(crate) fn is_given(self) -> bool {
        self.timeout.is_some()
    }

    /// How long it is.
    pub(crate) fn limit(self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT_DEFAULT)
    }

    /// How requests are made again.
    #[cfg(feature = "remote")]
    pub(crate) fn policy(self) -> cofferdam::remote::RetryPolicy {
        let mut policy = cofferdam::remote::RetryPolicy::default();
        if let Some(timeout) = self.timeout {
            policy.no_progress = timeout;
            policy.read_timeout = policy.read_timeout.min(timeout);
        }
        policy
    }
}

pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration("a timeout", text)? {
        timeout if timeout.is_zero() => Err("a timeout is at least 1s".to_owned()),
        timeout if timeout > TIMEOUT_MAX => Err("a timeout is at most 365d".to_owned()),
        timeout => Ok(timeout),
    }
}

/// A number and a unit. `what` is one, in words that an error begins with.
pub(crate) fn parse_duration(what: &str, text: &str) -> Result<Duration, String> {
    let malformed = || format!("{what} is a whole number and s, m, h or d, as in 36h");
    let digits_len = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(malformed)?;
    let (digits, unit) = text.split_at(digits_len);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(malformed()),
    };
    let count: u64 = digits.parse().map_err(|_| malformed())?;
    count
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{what} is not as long as that"))
}

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// Longer than anybody waits.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        for (text, seconds) in [("0s", 0), ("90m", 5400), ("36h", 129_600), ("7d", 604_800)] {
            assert_eq!(parse_duration("it", text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "7", "d", "-1d", "1.5h", "1w", "1 d", "99999999999999999999d", "18446744073709551615d"]
        {
            assert!(parse_duration("it", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timeout_is_some_time_and_not_for_ever() {
        for text in ["1s", "90s", "365d"] {
            assert!(parse_timeout(text).is_ok(), "{text}");
        }
        for text in ["0s", "0d", "366d", "18446744073709551615s", "5"] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
    }

    #[cfg(feature = "remote")]
    #[test]
    fn one_try_does_not_wait_longer_than_all_of_them() {
        let lens = |text| {
            let policy = Timeout { timeout: Some(parse_timeout(text).unwrap()) }.policy();
            (policy.no_progress.as_secs(), policy.read_timeout.as_secs())
        };
        assert_eq!(lens("7s"), (7, 7));
        assert_eq!(lens("1h"), (3600, 30));
        assert_eq!(Timeout::default().limit(), Timeout::default().policy().no_progress);
    }
}
