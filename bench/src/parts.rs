//! Which parts of a bench its caller named, so that one table can be made by itself.
//! It knows no table.

/// Names from the command line: arguments that are no options. All parts, where there are none.
pub struct Parts(Vec<String>);

impl Parts {
    /// What stands behind `--` in `cargo bench … -- NAME…`.
    pub fn from_arguments() -> Parts {
        Parts(std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect())
    }

    /// Whether the part `name` was asked for.
    pub fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|part| part == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_left_out_unless_nothing_is() {
        let some = Parts(vec!["seal".to_owned(), "open".to_owned()]);
        assert_eq!(["seal", "open", "rest", ""].map(|name| some.has(name)), [true, true, false, false]);
        assert!(Parts(Vec::new()).has("rest"));
    }
}
