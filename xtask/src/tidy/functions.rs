//! Owns the rule that a function fits a screen.
//! Knows nothing of what a function does: it matches braces and counts lines.

use super::finding::Finding;
use super::source::{Source, Token, is_word_token};

/// The lines a function may have, from its `fn` to its closing brace.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;

/// Finds the functions that are longer than [`FUNCTION_LINES_MAX`]. Tables (`const`, `static`) inside of one do not
/// count.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let tokens = source.tokens();
    let mut findings = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        if pair[0].text != "fn" || !is_word_token(pair[1]) {
            continue;
        }
        let Some((open, close)) = body(&tokens, at) else { continue };
        let lines = tokens[close].line - pair[0].line + 1 - table_lines(&tokens[open..close]);
        if lines > FUNCTION_LINES_MAX {
            let what = format!("fn {} has {lines} lines, {FUNCTION_LINES_MAX} are allowed", pair[1].text);
            let fix = "keep the branching, move the computing into functions below it";
            findings.push(Finding::new("function-length", &source.path, pair[0].line, what, fix));
        }
    }
    findings
}

/// The tokens that open and close the body of the function whose `fn` stands at `at`; `None` where it has no body.
fn body(tokens: &[Token<'_>], at: usize) -> Option<(usize, usize)> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return None,
            "{" if depth == 0 => return Some((index, closing_brace(tokens, index)?)),
            _ => {}
        }
    }
    None
}

fn closing_brace(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

/// The lines that `const NAME: … = …;` and `static NAME: … = …;` take up beyond their first.
fn table_lines(body: &[Token<'_>]) -> usize {
    let mut lines = 0;
    for (at, item) in body.windows(3).enumerate() {
        let is_table =
            matches!(item[0].text, "const" | "static") && is_word_token(item[1]) && item[2].text == ":";
        if is_table && let Some(end) = statement_end(&body[at..]) {
            lines += end.line - item[0].line;
        }
    }
    lines
}

/// The semicolon that ends the statement with which `tokens` begin.
fn statement_end<'a>(tokens: &[Token<'a>]) -> Option<Token<'a>> {
    let mut depth = 0_usize;
    for &token in tokens {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return Some(token),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        check(&Source::new("a.rs", text)).iter().map(ToString::to_string).collect()
    }

    /// A function of exactly `lines` lines, with `middle` as one of them.
    fn function(lines: usize, middle: &str) -> String {
        format!("fn long() {{\n{middle}{}\n}}\n", "\n    step();".repeat(lines - 3))
    }

    #[test]
    fn a_function_may_fill_the_screen_and_not_a_line_more() {
        assert_eq!(found(&function(FUNCTION_LINES_MAX, "")), Vec::<String>::new());
        let findings = found(&function(FUNCTION_LINES_MAX + 1, ""));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("a.rs:1: "), "{}", findings[0]);
        assert!(findings[0].contains("fn long has 71 lines"), "{}", findings[0]);
    }

    #[test]
    fn braces_in_literals_and_comments_do_not_close_a_function() {
        assert_eq!(found(&function(FUNCTION_LINES_MAX + 1, "f('}', \"}\", r#\"}\"#); // }")).len(), 1);
    }

    #[test]
    fn a_table_inside_of_a_function_does_not_count() {
        let table = format!("const TABLE: [u8; 40] = [\n{}];", "    1,\n".repeat(40));
        let text = format!("fn f() {{\n{table}\n{}}}\n", "    step();\n".repeat(60));
        assert_eq!(found(&text), Vec::<String>::new());
    }

    #[test]
    fn declarations_and_function_pointers_have_no_body() {
        let text =
            format!("trait T {{ fn a(&self, x: [u8; 4]);\n{}\n}}\ntype F = fn(u8) -> u8;\n", "\n".repeat(99));
        assert_eq!(found(&text), Vec::<String>::new());
    }

    #[test]
    fn a_function_inside_of_an_implementation_is_seen() {
        let text = format!("impl A {{\n{}}}\n", function(FUNCTION_LINES_MAX + 5, ""));
        assert!(found(&text)[0].starts_with("a.rs:2: "));
    }
}
