//! Which parts of a bench its caller named, so that one table can be made by itself.
//! It knows no table.

/// Names and numbers from the command line: arguments that are no options. Where there are no names, all parts are meant;
/// where there are no numbers, all sizes.
pub struct Parts {
    names: Vec<String>,
    numbers: Vec<u64>,
}

impl Parts {
    /// What stands behind `--` in `cargo bench … -- NAME… NUMBER…`.
    pub fn from_arguments() -> Parts {
        Parts::from_words(std::env::args().skip(1).filter(|argument| !argument.starts_with('-')))
    }

    fn from_words(words: impl Iterator<Item = String>) -> Parts {
        let (numbers, names): (Vec<_>, Vec<_>) = words.partition(|word| word.parse::<u64>().is_ok());
        Parts { names, numbers: numbers.iter().filter_map(|number| number.parse().ok()).collect() }
    }

    /// Whether the part `name` was asked for.
    pub fn has(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| part == name)
    }

    /// Whether the size `number` was asked for.
    pub fn has_number(&self, number: u64) -> bool {
        self.numbers.is_empty() || self.numbers.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(words: &str) -> Parts {
        Parts::from_words(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_not_named_is_left_out_unless_nothing_is() {
        let some = parts("seal 64 open");
        assert_eq!(["seal", "open", "rest", "64"].map(|name| some.has(name)), [true, true, false, false]);
        assert_eq!([64, 65].map(|number| some.has_number(number)), [true, false]);
        assert!(parts("").has("rest") && parts("64").has("rest"));
        assert!(parts("").has_number(7) && parts("seal").has_number(7));
    }
}
