//! Owns how HTTP and XML write a time.
//! Knows no other zone than that of UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Year, month (from 1) and day of `days` after 1970-01-01: the algorithm `civil_from_days` of Howard Hinnant.
fn date(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month as usize, day)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// As in `Last-Modified` (RFC 9110, 5.6.7).
pub(super) fn of_http(time: SystemTime) -> String {
    let seconds = seconds(time);
    let (year, month, day) = date(seconds / 86_400);
    let name = DAYS[(seconds / 86_400 % 7) as usize];
    format!("{name}, {day:02} {} {year} {} GMT", MONTHS[month - 1], clock(seconds))
}

/// As in lists (RFC 3339).
pub(super) fn of_xml(time: SystemTime) -> String {
    let seconds = seconds(time);
    let (year, month, day) = date(seconds / 86_400);
    format!("{year}-{month:02}-{day:02}T{}Z", clock(seconds))
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_the_documents_show_them() {
        // RFC 9110's own example; the last second of a leap day.
        let time = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(of_http(time(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(of_xml(time(1_709_251_199)), "2024-02-29T23:59:59Z");
    }
}
