//! Owns the marks between which a section of `bench/RESULTS.md` stands, and the replacing of what is between them.
//! Knows no section.

/// `text` with `content` between the marks of `section`, in the place of what was there.
///
/// # Errors
/// The marks are not there, or not once each and in order.
pub(crate) fn replaced(text: &str, section: &str, content: &str) -> Result<String, String> {
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {edge} {section} -->\n"));
    let faulty = || format!("there are no marks for {section}: a line {begin}and below it a line {end}");
    let (before, rest) = text.split_once(&begin).ok_or_else(faulty)?;
    let (_, after) = rest.split_once(&end).ok_or_else(faulty)?;
    if [before, after].iter().any(|part| part.contains(&begin) || part.contains(&end)) {
        return Err(format!("the marks for {section} stand there more than once"));
    }
    Ok(format!("{before}{begin}{}\n{end}{after}", content.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# A\n<!-- begin a -->\nold\nlines\n<!-- end a -->\ntext\n<!-- begin ab -->\n<!-- end ab -->\n";

    #[test]
    fn what_stands_between_the_marks_is_replaced_and_nothing_else() {
        assert_eq!(
            replaced(TEXT, "a", "new\n\n").unwrap(),
            "# A\n<!-- begin a -->\nnew\n<!-- end a -->\ntext\n<!-- begin ab -->\n<!-- end ab -->\n"
        );
        assert_eq!(
            replaced(TEXT, "ab", "new").unwrap(),
            "# A\n<!-- begin a -->\nold\nlines\n<!-- end a -->\ntext\n<!-- begin ab -->\nnew\n<!-- end ab -->\n"
        );
    }

    #[test]
    fn marks_that_are_missing_twisted_or_there_twice_are_errors() {
        replaced(TEXT, "b", "new").unwrap_err();
        replaced("<!-- end a -->\n<!-- begin a -->\n", "a", "new").unwrap_err();
        replaced(&TEXT.repeat(2), "a", "new").unwrap_err();
    }
}
