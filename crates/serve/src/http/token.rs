//! What whoever may read has to know.
//! It is printed in the URL, and nowhere else.

use std::io;

use subtle::ConstantTimeEq as _;

/// Random digits.
pub(super) struct Token(String);

impl Token {
    pub(super) fn random() -> io::Result<Token> {
        let mut bytes = [0; TOKEN_LEN];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Token(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub(super) fn digits(&self) -> &str {
        &self.0
    }

    /// Whether it is `other`. How long that takes says nothing of how much of it is right.
    pub(super) fn is(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

/// 192 bits.
const TOKEN_LEN: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone_and_no_two_are_alike() {
        let [one, other] = [(); 2].map(|()| Token::random().unwrap());
        assert_eq!(one.digits().len(), 48);
        assert!(one.is(one.digits()) && !one.is(other.digits()));
        for wrong in ["", &one.digits()[..47], &format!("{}0", one.digits()), &one.digits().to_uppercase()] {
            assert!(!one.is(wrong) || wrong == one.digits());
        }
    }
}
