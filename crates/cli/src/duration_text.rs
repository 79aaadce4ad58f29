//! Lengths of time, in words.

use std::time::Duration;

/// As people say it, in the two largest units that it has.
pub(crate) fn words(age: Duration) -> String {
    let seconds = age.as_secs();
    let of = |unit: u64, small: u64, names: [&str; 2]| match seconds % unit / small {
        0 => format!("{} {}", seconds / unit, names[0]),
        rest => format!("{} {} {rest} {}", seconds / unit, names[0], names[1]),
    };
    match seconds {
        DAY.. => of(DAY, HOUR, ["d", "h"]),
        HOUR.. => of(HOUR, MINUTE, ["h", "min"]),
        MINUTE.. => of(MINUTE, 1, ["min", "s"]),
        _ => format!("{seconds} s"),
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_in_two_units_at_most() {
        for (seconds, said) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min 59 s"),
            (3600, "1 h"),
            (7380, "2 h 3 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 d"),
            (180_000, "2 d 2 h"),
        ] {
            assert_eq!(words(Duration::from_secs(seconds)), said);
        }
    }
}
