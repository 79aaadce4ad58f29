//! Options that say who signs: an SSH private key in a file, or an agent. What asks for something asks before the work.
//! It knows no stream, and where a signature goes only as a file.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::{OsStringValueParser, TypedValueParser};
use cofferdam::signatures::{
    Agent, AgentOptions, Message, PublicKey, SecretKey, Signature, SignatureError, SigningError,
};
use cofferdam::{
    CancelToken, DigestKind, ErrorKind, IfExists, StreamDigest, descriptor_named, is_pipe, stream_message,
};

use super::{KeyName, SignatureFile, beside};
use crate::credential::KeyPlace;
use crate::failure::Failure;
use crate::io_arg::{End, a_file};
use crate::key_file::KeyFile;
use crate::named_files::NamedFiles;
use crate::passphrase::text_of;
use crate::peer::Goal;
use crate::printable::Name;
use crate::terminal;
use crate::text::count;

/// Who signs.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Who signs")]
pub(crate) struct SigningArgs {
    /// Sign with the SSH private key in FILE, in OpenSSH's own format; a passphrase is asked for on the terminal
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<KeyPlace>,

    /// Sign with a key of the SSH agent that SSH_AUTH_SOCK names: also one on a security key, which then wants to be touched
    #[arg(long, conflicts_with = "ssh_key")]
    ssh_agent: bool,

    /// Which key of the agent: the file of its public half. It may be left out where the agent has one key
    #[arg(long, value_name = "FILE")]
    agent_key: Option<KeyPlace>,
}

/// Who signs what is sealed, and where the signature goes.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Who signs")]
pub(crate) struct SealSigning {
    #[command(flatten)]
    signing: SigningArgs,

    /// Where the signature goes [default: OUT.sig; of standard output or a store it has to be given]
    #[arg(long, value_name = "FILE", value_parser = parse_file())]
    signature: Option<PathBuf>,
}

/// A key that signs.
pub(crate) struct Signer {
    key: Key,
    cancel: CancelToken,
}

enum Key {
    InFile(Box<SecretKey>),
    /// A key of the agent on this socket, which is asked again when it is to sign: that may be hours later.
    OfAgent {
        socket: PathBuf,
        key: PublicKey,
    },
}

impl SigningArgs {
    pub(crate) fn is_given(&self) -> bool {
        self.ssh_key.is_some() || self.ssh_agent
    }

    /// Refuses a key of the agent's where the agent does not sign. (The parser lets a requirement pass that conflicts with an option given.)
    fn check(&self) -> Result<(), Failure> {
        match self.agent_key.is_some() && !self.ssh_agent {
            true => {
                Err(Failure::usage("--agent-key says which key of the SSH agent signs, and no agent signs")
                    .advise("Give --ssh-agent with it and nothing else that signs, or leave it out."))
            }
            false => Ok(()),
        }
    }

    /// Notes the files that are read.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        self.check()?;
        files.reads_all(self.key_file().iter().chain(&self.agent_key_file()))
    }

    /// The key, ready to sign, if one is named.
    pub(crate) fn signer(&self, cancel: &CancelToken) -> Result<Option<Signer>, Failure> {
        let key = match self.key_file() {
            Some(file) => Key::InFile(Box::new(read_key(&file)?)),
            None if self.ssh_agent => self.key_of_agent(cancel)?,
            None => return Ok(None),
        };
        Ok(Some(Signer { key, cancel: cancel.clone() }))
    }

    /// The signature of what will be at `path`, if a key is named. Whether its file can be made is found out now.
    pub(crate) fn due_beside(
        &self,
        path: &Path,
        if_exists: IfExists,
        cancel: &CancelToken,
    ) -> Result<Option<DueSignature>, Failure> {
        self.due(SignatureFile::new(beside(path), if_exists), cancel)
    }

    fn due(&self, file: SignatureFile, cancel: &CancelToken) -> Result<Option<DueSignature>, Failure> {
        if !self.is_given() {
            return Ok(None);
        }
        file.refuse_unwritable()?;
        Ok(self.signer(cancel)?.map(|signer| DueSignature { signer, file }))
    }

    fn key_of_agent(&self, cancel: &CancelToken) -> Result<Key, Failure> {
        let socket =
            env::var_os(SOCKET).filter(|socket| !socket.is_empty()).map(PathBuf::from).ok_or_else(|| {
                Failure::usage(format!("{SOCKET} is not set: no SSH agent is known"))
                    .advise("Start one, `eval $(ssh-agent)`, and give it the key with `ssh-add`.")
            })?;
        let wanted = self.agent_key_file().map(|file| read_public_key(&file)).transpose()?;
        let keys = connect(&socket, cancel)?.keys().map_err(of_agent)?;
        let key = match wanted {
            Some(wanted) => {
                keys.into_iter().find(|key| key.to_string() == wanted.to_string()).ok_or_else(|| {
                    Failure::usage(format!("the SSH agent does not have the key {wanted}"))
                        .advise("Give it the key with `ssh-add`; `ssh-add -l` lists what it has.")
                })?
            }
            None => the_only_one(keys)?,
        };
        Ok(Key::OfAgent { socket, key })
    }

    fn key_file(&self) -> Option<KeyFile> {
        KeyFile::all("--ssh-key", &self.ssh_key).pop()
    }

    fn agent_key_file(&self) -> Option<KeyFile> {
        KeyFile::all("--agent-key", &self.agent_key).pop()
    }
}

impl SealSigning {
    pub(crate) fn is_given(&self) -> bool {
        self.signing.is_given()
    }

    /// Whether one of its options is given, by their names.
    pub(crate) fn given(&self) -> [(bool, &'static str); 4] {
        let SigningArgs { ssh_key, ssh_agent, agent_key } = &self.signing;
        [
            (ssh_key.is_some(), "--ssh-key"),
            (*ssh_agent, "--ssh-agent"),
            (agent_key.is_some(), "--agent-key"),
            (self.signature.is_some(), "--signature"),
        ]
    }

    /// Notes the files that are read, and the one that the signature of `output` is in.
    pub(crate) fn name_files(&self, output: &Goal, files: &mut NamedFiles) -> Result<(), Failure> {
        self.signing.name_files(files)?;
        match self.path(output)? {
            Some(path) => files.stages("the signature", &End::Path(path)),
            None => Ok(()),
        }
    }

    /// The signature of what will be `output`, if a key is named. Whether its file can be made is found out now.
    pub(crate) fn due(
        &self,
        output: &Goal,
        if_exists: IfExists,
        cancel: &CancelToken,
    ) -> Result<Option<DueSignature>, Failure> {
        match self.path(output)? {
            Some(path) => self.signing.due(SignatureFile::new(path, if_exists), cancel),
            None => Ok(None),
        }
    }

    fn path(&self, output: &Goal) -> Result<Option<PathBuf>, Failure> {
        match (&self.signature, output) {
            (None, _) if !self.signing.is_given() => Ok(None),
            (Some(_), _) if !self.signing.is_given() => Err(Failure::usage("nothing was given to sign with")
                .advise("Give a private key with --ssh-key, or --ssh-agent.")),
            (Some(path), _) => Ok(Some(path.clone())),
            (None, Goal::Here(End::Path(path))) if !is_pipe(path) && descriptor_named(path).is_none() => {
                Ok(Some(beside(path)))
            }
            (None, _) => Err(Failure::usage("nothing is put beside a pipe or an object in a store")
                .advise("Say with --signature where the signature goes.")),
        }
    }
}

impl Signer {
    /// Its public half.
    pub(crate) fn public_key(&self) -> &PublicKey {
        match &self.key {
            Key::InFile(key) => key.public_key(),
            Key::OfAgent { key, .. } => key,
        }
    }

    pub(crate) fn name(&self) -> KeyName {
        KeyName::from(self.public_key())
    }

    pub(crate) fn sign(&self, message: &Message) -> Result<Signature, Failure> {
        match &self.key {
            Key::InFile(key) => key.sign(message).map_err(of_agent),
            Key::OfAgent { socket, key } => {
                connect(socket, &self.cancel)?.sign(key, message).map_err(of_agent)
            }
        }
    }
}

/// Whether a signature is in place after this failure: what then is not known is whether it stays there.
pub(crate) fn is_in_place(failure: &Failure) -> bool {
    failure.kind() == ErrorKind::DurabilityUnknown
}

/// A signature that will be made when what it is of is known.
pub(crate) struct DueSignature {
    signer: Signer,
    file: SignatureFile,
}

impl DueSignature {
    /// Who makes it.
    pub(crate) fn signer(&self) -> KeyName {
        self.signer.name()
    }

    /// Where it goes.
    pub(crate) fn name(&self) -> Name {
        self.file.name()
    }

    /// Signs the stream with this digest, and puts the signature in place.
    pub(crate) fn sign_stream(&self, digest: DigestKind, stream_digest: StreamDigest) -> Result<(), Failure> {
        self.sign(&stream_message(digest, stream_digest)?)
    }

    /// The same of what a drill has found out: all bytes of its file.
    pub(crate) fn sign_evidence(&self, evidence: &[u8]) -> Result<(), Failure> {
        self.sign(&Message::evidence(evidence.to_vec()))
    }

    fn sign(&self, message: &Message) -> Result<(), Failure> {
        self.file.write(&self.signer.sign(message)?)
    }
}

fn parse_file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(a_file)
}

fn read_key(file: &KeyFile) -> Result<SecretKey, Failure> {
    let content = file.read()?;
    let mut asked = None;
    let ask = || match terminal::ask_hidden(&format!("Passphrase of {file}: ")) {
        Ok(answer) => Some(answer),
        Err(error) => {
            asked = Some(error);
            None
        }
    };
    let key = SecretKey::parse(&content, ask);
    match (key, asked) {
        (Err(SigningError::NoPassphrase), Some(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
            Err(Failure::interrupted())
        }
        (Err(SigningError::NoPassphrase), _) => Err(Failure::usage(format!(
            "{file}: the key is under a passphrase, and there is no terminal to ask for it on"
        ))
        .advise("Give the key to an agent with `ssh-add`, and sign with --ssh-agent.")),
        (key, _) => key.map_err(|error| of_key(file, &error)),
    }
}

fn of_key(file: &KeyFile, error: &SigningError) -> Failure {
    let advice = match error {
        SigningError::NotAKey => {
            Some("A key to sign with is a file like ~/.ssh/id_ed25519: the private half.")
        }
        SigningError::OtherFormat => {
            Some("`ssh-keygen -p -f FILE` rewrites a key of OpenSSL's into OpenSSH's format.")
        }
        SigningError::OnSecurityKey | SigningError::Unreadable => {
            Some("Give it to an agent with `ssh-add`, and sign with --ssh-agent.")
        }
        _ => None,
    };
    let failure = Failure::usage(format!("{file}: {error}"));
    advice.into_iter().fold(failure, Failure::advise)
}

fn read_public_key(file: &KeyFile) -> Result<PublicKey, Failure> {
    let content = file.read()?;
    PublicKey::parse(text_of(file, &content)?).map_err(|why| {
        Failure::usage(format!("{file}: {why}")).advise("Give the public half of the key, a .pub file.")
    })
}

fn the_only_one(keys: Vec<PublicKey>) -> Result<PublicKey, Failure> {
    let names: Vec<String> = keys.iter().map(|key| KeyName::from(key).to_string()).collect();
    match <[PublicKey; 1]>::try_from(keys) {
        Ok([key]) => Ok(key),
        Err(keys) if keys.is_empty() => {
            Err(Failure::usage("the SSH agent has no key that could sign")
                .advise("Give it one with `ssh-add`."))
        }
        Err(keys) => {
            let what = format!("the SSH agent has {}: {}", count(keys.len() as u64, "key"), names.join(", "));
            Err(Failure::usage(what).advise("Say which with --agent-key and the file of its public half."))
        }
    }
}

fn connect(socket: &Path, cancel: &CancelToken) -> Result<Agent, Failure> {
    let mut options = AgentOptions::default();
    let cancel = cancel.clone();
    options.is_cancelled = Arc::new(move || cancel.is_cancelled());
    Agent::connect(socket, options).map_err(of_agent)
}

/// What has gone wrong when a key was to sign.
fn of_agent(error: SigningError) -> Failure {
    let advice = match &error {
        SigningError::Cancelled => return Failure::interrupted(),
        SigningError::Refused { .. } => "It may be locked, or somebody may have said no.",
        SigningError::Agent { .. } => "Is it running? `ssh-add -l` asks it for what it has.",
        SigningError::Unverified(SignatureError::NotTouched) => {
            "Nobody would take this signature. The key was made to sign without being touched; make one that wants to be."
        }
        SigningError::Unverified(_) => "Nobody would take this signature.",
        _ => "Sign with another key.",
    };
    Failure::new(ErrorKind::Io, error.to_string()).advise(advice)
}

/// Where OpenSSH's programs look for an agent.
const SOCKET: &str = "SSH_AUTH_SOCK";
