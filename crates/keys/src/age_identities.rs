//! Owns the age half of what a reader holds: identities and a passphrase, read and tried on slots of kind 1.
//! Refuses to know the other kinds of slots.

use std::fmt;
use std::sync::{Arc, OnceLock};

use age::IdentityFile;
use zeroize::Zeroizing;

use crate::age_file::{
    self, AgeFileError, FileKeyBytes, FileRefusal, Findings, check_factor, passphrase_identity,
};
use crate::age_header::{self, Lock};
use crate::age_slot;
use crate::asked_once::AskedOnce;
use crate::callbacks::{AgeCallbacks, Callbacks, NoCallbacks};
use crate::error::{KeyError, KeyMaterial, said};
use crate::identities::{Identities, Judge};
use crate::saved_text::saved_text;
use crate::scrypt_work::{check_work, scrypt_work};
use crate::secret_string::SecretString;
use crate::slot::{Refusal, SealedSlot, SlotFault};
use crate::stream_key::StreamKey;

impl Identities {
    /// Adds an age identity of any make. A passphrase goes through [`Identities::passphrase`], which bounds
    /// the work that a stream can ask for.
    ///
    /// Of the feature `unstable-age`: the type is of the age crate, and changes with its versions.
    #[cfg(feature = "unstable-age")]
    #[must_use]
    pub fn identity(mut self, identity: Box<dyn age::Identity + Send + Sync>) -> Self {
        self.age.identities.push(identity.into());
        self
    }

    /// Adds the identities of an identity file: lines `AGE-SECRET-KEY-1…` and `AGE-PLUGIN-…`, or with the
    /// feature `ssh` an SSH private key. Nothing can be asked: plugins must do without, an SSH key must not
    /// be encrypted.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for any other content, with the line where there is one; for identity files
    /// that are themselves encrypted, which are not supported; where a plugin's program is not on the `PATH`.
    pub fn identity_file(self, content: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        self.identity_file_with(content, NoCallbacks)
    }

    /// As [`Identities::identity_file`], with a way for plugins to speak to a person. The passphrase of an
    /// encrypted SSH key is asked for here and now, once.
    ///
    /// # Errors
    /// As [`Identities::identity_file`], and where an SSH key's passphrase is wrong or was not given.
    pub fn identity_file_with(
        mut self,
        content: impl AsRef<[u8]>,
        callbacks: impl Callbacks,
    ) -> Result<Self, KeyError> {
        let content = saved_text(content.as_ref())
            .map_err(|problem| KeyError::unreadable(KeyMaterial::IdentityFile, problem))?;
        let problem = match FileKind::of(content) {
            FileKind::Age => return self.age_identity_file(content, callbacks),
            FileKind::Ssh => match ssh_identity(content, callbacks) {
                Ok(identity) => {
                    self.age.quiet.push(identity.clone());
                    self.age.identities.push(identity);
                    return Ok(self);
                }
                Err(problem) => problem,
            },
            FileKind::Encrypted => "encrypted identity files are not supported: decrypt it first, for \
                                    example with `age -d`, and give the result"
                .to_owned(),
        };
        Err(KeyError::unreadable(KeyMaterial::IdentityFile, problem))
    }

    /// Opens passphrase slots with `passphrase`. A later passphrase replaces it.
    #[must_use]
    pub fn passphrase(mut self, passphrase: SecretString) -> Self {
        self.age.passphrase = Some(Arc::new(Passphrase::known(passphrase)));
        self
    }

    /// Opens passphrase slots with the answer of `ask`, which is called at most once in the life of this set
    /// and its clones, and only where a passphrase slot is reached. `None` means that there is no answer.
    #[must_use]
    pub fn ask_passphrase(mut self, ask: impl Fn() -> Option<SecretString> + Send + Sync + 'static) -> Self {
        self.age.passphrase = Some(Arc::new(Passphrase::asked_by(ask)));
        self
    }

    /// Notes whose the identities of a file are, of those that say so.
    fn name(&mut self, content: &[u8]) {
        let lines = std::str::from_utf8(content).unwrap_or_default().lines();
        let found = lines.filter_map(|line| line.parse::<age::x25519::Identity>().ok());
        let named = found.map(|identity| {
            let recipient = identity.to_public().to_string();
            (Arc::new(identity) as Arc<dyn age::Identity + Send + Sync>, recipient)
        });
        self.age.named.extend(named);
    }

    /// Adds the post-quantum identities of a file, and gives what is left for the age library, which knows none: an empty line in the
    /// place of each, so that it counts as before.
    #[cfg(feature = "pq")]
    fn take_post_quantum(&mut self, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        use crate::post_quantum::{IDENTITY_PREFIX, PqIdentity};
        let mut left = Zeroizing::new(Vec::with_capacity(content.len()));
        for (index, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if !line.starts_with(IDENTITY_PREFIX.as_bytes()) {
                left.extend_from_slice(line);
                continue;
            }
            let text = std::str::from_utf8(line.trim_ascii_end()).unwrap_or_default();
            let identity = PqIdentity::parse(text).ok_or_else(|| KeyError::Unreadable {
                what: KeyMaterial::IdentityFile,
                line: Some(index + 1),
                problem: "not a post-quantum identity, or one with a letter wrong".to_owned(),
            })?;
            let recipient = identity.recipient().to_string();
            let identity: Arc<dyn age::Identity + Send + Sync> = Arc::new(identity);
            self.age.named.push((identity.clone(), recipient));
            self.age.identities.push(identity);
            left.push(b'\n');
        }
        Ok(left)
    }

    #[cfg(not(feature = "pq"))]
    fn take_post_quantum(&mut self, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let mut lines = content.split(|byte| *byte == b'\n');
        match lines.position(|line| line.starts_with(b"AGE-SECRET-KEY-PQ-1")) {
            None => Ok(Zeroizing::new(content.to_vec())),
            Some(index) => Err(KeyError::Unreadable {
                what: KeyMaterial::IdentityFile,
                line: Some(index + 1),
                problem: "this build has no post-quantum keys; build it with the feature `pq`".to_owned(),
            }),
        }
    }

    fn age_identity_file(mut self, content: &[u8], callbacks: impl Callbacks) -> Result<Self, KeyError> {
        let unreadable = |problem: String| KeyError::unreadable(KeyMaterial::IdentityFile, problem);
        if let Some(problem) = other_than_identities(content) {
            return Err(unreadable(problem.to_owned()));
        }
        self.name(content);
        let before = self.age.identities.len();
        let content = self.take_post_quantum(content)?;
        let identities = IdentityFile::from_buffer(content.as_slice())
            .map_err(|error| unreadable(said(error)))?
            .with_callbacks(AgeCallbacks(callbacks))
            .into_identities()
            .map_err(|error| unreadable(said(error)))?;
        let is_plugin = |line: &[u8]| line.starts_with(PLUGIN_PREFIX);
        let may_ask = content.split(|byte| *byte == b'\n').any(is_plugin);
        let shared = |identity: Box<dyn age::Identity + Send + Sync>| match may_ask {
            true => Arc::new(AskedOnce::new(identity)) as Arc<dyn age::Identity + Send + Sync>,
            false => Arc::from(identity),
        };
        self.age.identities.extend(identities.into_iter().map(shared));
        if self.age.identities.len() == before {
            return Err(unreadable("it holds no identity".to_owned()));
        }
        Ok(self)
    }
}

/// Age identities and a passphrase.
#[derive(Clone, Default)]
pub(crate) struct AgeIdentities {
    identities: Vec<Arc<dyn age::Identity + Send + Sync>>,
    /// Those of them whose recipient is known, with that.
    named: Vec<(Arc<dyn age::Identity + Send + Sync>, String)>,
    /// Those without a name that ask nobody: SSH keys.
    quiet: Vec<Arc<dyn age::Identity + Send + Sync>>,
    passphrase: Option<Arc<Passphrase>>,
}

impl AgeIdentities {
    pub(crate) fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.passphrase.is_none()
    }

    pub(crate) fn has_passphrase(&self) -> bool {
        self.passphrase.is_some()
    }

    pub(crate) fn identities(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.identities.iter().map(|identity| &**identity as &dyn age::Identity)
    }

    /// The identities whose recipient is known, with that.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&dyn age::Identity, &str)> {
        self.named.iter().map(|(identity, name)| (&**identity as &dyn age::Identity, name.as_str()))
    }

    /// Those that ask nobody and have no name.
    pub(crate) fn quiet(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.quiet.iter().map(|identity| &**identity as &dyn age::Identity)
    }

    /// Whether there are others than those two: a plugin's, which may ask somebody.
    pub(crate) fn may_ask(&self) -> bool {
        self.identities.len() > self.named.len() + self.quiet.len()
    }

    /// Tries the identities one by one: within one call age stops at the first that fails for good, and a
    /// plugin that fails must not hide the identity after it.
    pub(crate) fn open(
        &self,
        slots: &[SealedSlot],
        index: usize,
        judge: &mut Judge<'_>,
    ) -> Option<StreamKey> {
        let body = &slots[index].body;
        let header = match age_header::parse(body) {
            Ok(header) => header,
            Err(fault) => return judge(Err(Refusal::Fault(fault))),
        };
        match header.lock {
            Lock::Identity => {
                self.identities().map(|identity| age_slot::open(body, identity)).find_map(judge)
            }
            Lock::Passphrase(factor) => {
                let passphrase = self.passphrase.as_ref()?;
                let work = scrypt_work(slots);
                judge(check_work(factor, work).and_then(|()| open_by_passphrase(body, passphrase.ask_once())))
            }
            Lock::Mixed if self.is_empty() => None,
            Lock::Mixed => {
                let fault = SlotFault::Malformed("its age file has a passphrase beside other recipients");
                judge(Err(Refusal::Fault(fault)))
            }
        }
    }

    /// Whether there is something of the kind that `lock` asks for.
    pub(crate) fn has_for(&self, lock: Lock) -> bool {
        match lock {
            Lock::Passphrase(_) => self.passphrase.is_some(),
            Lock::Identity | Lock::Mixed => !self.identities.is_empty(),
        }
    }

    /// Tries what there is on the header in `head`, one by one, as on a slot, and gives the file key of the first that opens it.
    pub(crate) fn try_file(
        &self,
        lock: Lock,
        head: &[u8],
        cancelled: &dyn Fn() -> bool,
        findings: &mut Findings,
    ) -> Result<Option<FileKeyBytes>, AgeFileError> {
        let mut attempt = |identity: &dyn age::Identity| {
            if cancelled() {
                return Err(AgeFileError::Cancelled);
            }
            Ok(age_file::open(head, identity).map_err(|refusal| findings.record(refusal)).ok())
        };
        match lock {
            Lock::Mixed => {
                Err(AgeFileError::Malformed("its header has a passphrase beside other recipients"))
            }
            Lock::Identity => {
                for identity in &self.identities {
                    if let Some(key) = attempt(&**identity)? {
                        return Ok(Some(key));
                    }
                }
                Ok(None)
            }
            Lock::Passphrase(_) => {
                let Some(passphrase) = &self.passphrase else { return Ok(None) };
                if let Err(refusal) = check_factor(lock) {
                    findings.record(FileRefusal::Slot(refusal));
                    return Ok(None);
                }
                match passphrase.ask_once() {
                    Some(passphrase) => attempt(&passphrase_identity(passphrase.to_age())),
                    None => Ok(None),
                }
            }
        }
    }
}

impl fmt::Debug for AgeIdentities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeIdentities")
            .field("identities", &self.identities.len())
            .field("passphrase", &self.passphrase.is_some())
            .finish()
    }
}

fn open_by_passphrase(body: &[u8], passphrase: Option<&SecretString>) -> Result<StreamKey, Refusal> {
    let identity = passphrase_identity(passphrase.ok_or(Refusal::Closed)?.to_age());
    age_slot::open(body, &identity)
}

/// A passphrase that is known, or will be once somebody has been asked.
struct Passphrase {
    asked: OnceLock<Option<SecretString>>,
    ask: Box<dyn Fn() -> Option<SecretString> + Send + Sync>,
}

impl Passphrase {
    fn known(passphrase: SecretString) -> Passphrase {
        Passphrase { asked: OnceLock::from(Some(passphrase)), ask: Box::new(|| None) }
    }

    fn asked_by(ask: impl Fn() -> Option<SecretString> + Send + Sync + 'static) -> Passphrase {
        Passphrase { asked: OnceLock::new(), ask: Box::new(ask) }
    }

    fn ask_once(&self) -> Option<&SecretString> {
        self.asked.get_or_init(&self.ask).as_ref()
    }
}

/// What the line of a plugin's identity begins with.
const PLUGIN_PREFIX: &[u8] = b"AGE-PLUGIN-";

/// What an identity file holds, by its first bytes.
enum FileKind {
    Age,
    Ssh,
    Encrypted,
}

impl FileKind {
    fn of(content: &[u8]) -> Self {
        let content = content.trim_ascii_start();
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| content.starts_with(prefix.as_bytes()));
        if begins(&["age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----"]) {
            Self::Encrypted
        } else if begins(&["-----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"]) {
            Self::Ssh
        } else {
            Self::Age
        }
    }
}

/// What was given in place of an identity file, where that can be seen.
fn other_than_identities(content: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(content) else {
        return Some("this is no text, as an identity file is; was the sealed file given in its place?");
    };
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    if first.starts_with("age1") || first.starts_with("ssh-") {
        return Some("this is a recipient, which seals; what opens is the identity that belongs to it");
    }
    let is_key_file = first.len() == 64 && first.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_key_file.then_some("this is a key file, and no identity file")
}

/// Decrypts an encrypted key at once: age would ask, and do the slow derivation, again for every stanza.
#[cfg(feature = "ssh")]
fn ssh_identity(
    content: &[u8],
    callbacks: impl Callbacks,
) -> Result<Arc<dyn age::Identity + Send + Sync>, String> {
    use age::ssh::Identity;
    match Identity::from_buffer(content, None).map_err(said)? {
        Identity::Unsupported(_) => Err("an SSH key of this kind or encryption is not supported; \
                                         `ssh-keygen -o -p` may convert it"
            .to_owned()),
        Identity::Encrypted(key) => {
            let passphrase = callbacks
                .request_passphrase("Passphrase of the SSH key")
                .ok_or("the SSH key is encrypted and no passphrase was given")?;
            let key = key.decrypt(passphrase.to_age()).map_err(|_| "the SSH key's passphrase is wrong")?;
            Ok(Arc::new(Identity::from(key)))
        }
        identity => Ok(Arc::new(identity)),
    }
}

#[cfg(not(feature = "ssh"))]
fn ssh_identity(_: &[u8], _: impl Callbacks) -> Result<Arc<dyn age::Identity + Send + Sync>, String> {
    Err("this build has no SSH keys; build it with the feature `ssh`".to_owned())
}
