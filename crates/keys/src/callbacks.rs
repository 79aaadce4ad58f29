//! Owns the way in which plugins and encrypted SSH keys speak to a person.
//! Refuses to know terminals; age's own trait of this kind is met here and shown to nobody.

use crate::secret_string::SecretString;

/// What a plugin or an encrypted SSH key may ask of the person at the machine. `None` as an answer: nobody could be asked.
pub trait Callbacks: Clone + Send + Sync + 'static {
    /// Shows `message`, which asks for nothing: a token has to be touched, say.
    fn display_message(&self, message: &str);

    /// Asks a question with the two answers `yes` and `no`; without `no` there is only the one, and to go without.
    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool>;

    /// Asks for something that is no secret.
    fn request_public_string(&self, description: &str) -> Option<String>;

    /// Asks for a passphrase.
    fn request_passphrase(&self, description: &str) -> Option<SecretString>;
}

/// Nobody is there: nothing is shown, and nothing answered.
#[derive(Clone, Copy, Debug)]
pub struct NoCallbacks;

impl Callbacks for NoCallbacks {
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        None
    }
}

/// Our callbacks as the age library takes them.
#[derive(Clone)]
pub(crate) struct AgeCallbacks<C>(pub(crate) C);

impl<C: Callbacks> age::Callbacks for AgeCallbacks<C> {
    fn display_message(&self, message: &str) {
        self.0.display_message(message);
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        self.0.confirm(message, yes, no)
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.0.request_public_string(description)
    }

    fn request_passphrase(&self, description: &str) -> Option<age::secrecy::SecretString> {
        self.0.request_passphrase(description).map(|passphrase| passphrase.to_age())
    }
}
