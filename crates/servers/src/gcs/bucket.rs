//! Owns objects and uploads, and the rules on them: generations, preconditions, parts.
//! Knows nothing of HTTP but the codes of refusals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::GcsFake;

/// Why a request is refused: a status, and the code that the documents name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str);

pub(super) const NO_SUCH_KEY: Refusal = Refusal(404, "NoSuchKey");
const NO_SUCH_UPLOAD: Refusal = Refusal(404, "NoSuchUpload");
pub(super) const PRECONDITION_FAILED: Refusal = Refusal(412, "PreconditionFailed");
const INVALID_PART: Refusal = Refusal(400, "InvalidPart");

/// The buckets of a server.
#[derive(Debug, Default)]
pub(super) struct Buckets(BTreeMap<String, Bucket>);

#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// Counts generations and uploads.
    last: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Arc<[u8]>,
    pub(super) generation: u64,
    pub(super) modified: SystemTime,
    pub(super) metadata: Metadata,
}

/// Fields that whoever stores an object gives it, and gets back with it.
pub(super) type Metadata = Vec<(String, String)>;

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) begun: SystemTime,
    metadata: Metadata,
    pub(super) parts: BTreeMap<u16, Part>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) tag: String,
    pub(super) bytes: Vec<u8>,
}

impl Object {
    /// Of a generation, as that of an object that was uploaded in parts: it says nothing of the bytes.
    pub(super) fn tag(&self) -> String {
        format!("\"generation-{}\"", self.generation)
    }
}

impl Buckets {
    pub(super) fn make(&mut self, name: &str) {
        self.0.insert(name.to_owned(), Bucket::default());
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(super) fn of(&mut self, name: &str) -> Result<&mut Bucket, Refusal> {
        match name {
            GcsFake::DENIED_BUCKET => Err(Refusal(403, "AccessDenied")),
            _ => self.0.get_mut(name).ok_or(Refusal(404, "NoSuchBucket")),
        }
    }
}

impl Bucket {
    /// The object of a key, of this generation where one is named.
    pub(super) fn object(&self, key: &str, generation: Option<u64>) -> Result<&Object, Refusal> {
        let found = self.objects.get(key);
        found.filter(|object| generation.is_none_or(|wanted| object.generation == wanted)).ok_or(NO_SUCH_KEY)
    }

    /// Checks `x-goog-if-generation-match`, where 0 stands for no object.
    pub(super) fn check(&self, key: &str, generation: Option<u64>) -> Result<(), Refusal> {
        let current = self.objects.get(key).map_or(0, |object| object.generation);
        match generation {
            Some(wanted) if wanted != current => Err(PRECONDITION_FAILED),
            _ => Ok(()),
        }
    }

    pub(super) fn store(&mut self, key: &str, bytes: Arc<[u8]>, metadata: Metadata) -> &Object {
        let object = Object { bytes, generation: self.count(), modified: SystemTime::now(), metadata };
        self.objects.insert(key.to_owned(), object);
        &self.objects[key]
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<(), Refusal> {
        self.objects.remove(key).map(drop).ok_or(NO_SUCH_KEY)
    }

    /// Begins an upload and returns its id.
    pub(super) fn initiate(&mut self, key: &str, metadata: Metadata) -> String {
        let id = format!("upload-{}", self.count());
        let upload =
            Upload { key: key.to_owned(), begun: SystemTime::now(), metadata, parts: BTreeMap::new() };
        self.uploads.insert(id.clone(), upload);
        id
    }

    pub(super) fn upload(&mut self, key: &str, id: &str) -> Result<&mut Upload, Refusal> {
        self.uploads.get_mut(id).filter(|upload| upload.key == key).ok_or(NO_SUCH_UPLOAD)
    }

    /// Takes a part, in the place of an earlier one of its number, and returns its tag.
    pub(super) fn take_part(
        &mut self,
        key: &str,
        id: &str,
        number: u16,
        bytes: Vec<u8>,
    ) -> Result<String, Refusal> {
        let tag = format!("\"part-{}\"", self.count());
        let upload = self.upload(key, id)?;
        if !(1..=PARTS_MAX).contains(&number) {
            return Err(Refusal(400, "InvalidArgument"));
        }
        upload.parts.insert(number, Part { tag: tag.clone(), bytes });
        Ok(tag)
    }

    pub(super) fn abort(&mut self, key: &str, id: &str) -> Result<(), Refusal> {
        self.upload(key, id)?;
        self.uploads.remove(id);
        Ok(())
    }

    /// Makes an object of the parts that `list` names, by number and tag.
    pub(super) fn complete(
        &mut self,
        key: &str,
        id: &str,
        list: &[(u16, String)],
    ) -> Result<&Object, Refusal> {
        let upload = self.upload(key, id)?;
        if !list.is_sorted_by(|(first, _), (second, _)| first < second) {
            return Err(Refusal(400, "InvalidPartOrder"));
        }
        let mut whole = Vec::new();
        for (at, (number, tag)) in list.iter().enumerate() {
            let part = upload.parts.get(number).filter(|part| part.tag == *tag).ok_or(INVALID_PART)?;
            if at + 1 < list.len() && part.bytes.len() < PART_LEN_MIN {
                return Err(Refusal(400, "EntityTooSmall"));
            }
            whole.extend_from_slice(&part.bytes);
        }
        if list.is_empty() {
            return Err(Refusal(400, "MalformedCompleteMultipartUploadRequest"));
        }
        let metadata = self.uploads.remove(id).map(|upload| upload.metadata).unwrap_or_default();
        Ok(self.store(key, whole.into(), metadata))
    }

    fn count(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// Parts of an upload.
const PARTS_MAX: u16 = 10_000;

/// Bytes of each part but the last.
const PART_LEN_MIN: usize = 5 << 20;
