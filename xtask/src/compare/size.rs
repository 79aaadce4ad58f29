//! Owns sizes as people write them: 64KiB, 4MiB, 1GiB.
//! Knows nothing of what has such a size.

/// The bytes of a size: a whole number and KiB, MiB or GiB.
///
/// # Errors
/// Something else.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write it as 64MiB or 1GiB");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = UNITS.iter().find(|(name, _)| *name == text[digits.len()..].trim_start());
    let ((_, unit), number) = unit.zip(digits.parse::<u64>().ok()).ok_or_else(wrong)?;
    number.checked_mul(*unit).filter(|size| (1..=SIZE_MAX).contains(size)).ok_or_else(wrong)
}

/// A size in the largest unit that it is a whole number of: `64 MiB`.
pub(crate) fn size_text(size: u64) -> String {
    match UNITS.iter().find(|(_, unit)| size >= *unit && size.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{} {name}", size / unit),
        None => format!("{size} bytes"),
    }
}

const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// No machine that this runs on has more room.
const SIZE_MAX: u64 = 1 << 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_as_people_write_them() {
        for (text, size) in [("1KiB", 1024), ("64MiB", 67_108_864), ("1 GiB", 1_073_741_824)] {
            assert_eq!(parse_size(text), Ok(size));
        }
        for text in ["", "64", "MiB", "64MB", "0MiB", "1.5GiB", "-1KiB", "99999999999GiB"] {
            parse_size(text).unwrap_err();
        }
        assert_eq!(size_text(3 << 20), "3 MiB");
        assert_eq!(size_text(2 << 30), "2 GiB");
        assert_eq!(size_text((1 << 30) + 1024), "1048577 KiB");
        assert_eq!(size_text(1000), "1000 bytes");
    }
}
