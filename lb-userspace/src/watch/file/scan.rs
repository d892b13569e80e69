//! The folder's files and what they say; all reading is done here, none of the waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::News;
use crate::{
    model::{Picture, Rejection},
    watch::{
        allot::Ranges,
        document::Format,
        error::WatchError,
        folder::{assemble, keep_unchanged},
        manifest::Manifest,
    },
};

/// The files of a folder as last read.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    ranges: Ranges,
    files: BTreeMap<String, File>,
    /// Why the folder could not be listed the last time, if it could not.
    problem: Option<Rejection>,
    last: Arc<Picture>,
}

/// What to look at again.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// List the folder, and read every file whose metadata changed.
    pub everywhere: bool,
    /// Read these, whatever their metadata say: two writes within one tick of the clock look alike.
    pub files: BTreeSet<String>,
    /// Leave these alone: someone is writing them.
    pub held: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct File {
    stamp: Option<Stamp>,
    /// The last good content.
    manifest: Manifest,
    /// It has been good once.
    known: bool,
    problem: Option<Rejection>,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The format of a manifest, by its name; `None` for every other file. Hidden files are none:
/// editors and kubelet keep their unfinished business in them.
pub(super) fn format_of(name: &str) -> Option<Format> {
    if name.starts_with('.') {
        return None;
    }
    match Path::new(name).extension()?.to_str()? {
        "yaml" | "yml" => Some(Format::Yaml),
        "json" => Some(Format::Json),
        _ => None,
    }
}

impl Folder {
    pub fn new(dir: PathBuf, ranges: Ranges) -> Self {
        let (files, problem, last) = Default::default();
        Self { dir, ranges, files, problem, last }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads the folder for the first time; a folder that cannot be listed is an error only now.
    pub fn load(&mut self) -> Result<News, WatchError> {
        self.list(&BTreeSet::new())
            .map_err(|source| WatchError::ReadFolder { dir: self.dir.clone(), source })?;
        Ok(self.news())
    }

    /// Looks again and says whether anything was read or is gone.
    pub fn look(&mut self, look: &Look) -> bool {
        let mut changed = false;
        for name in look.files.difference(&look.held) {
            changed |= self.visit(name, true);
        }
        if look.everywhere {
            let before = self.problem.take();
            match self.list(&look.held) {
                Ok(any) => changed |= any,
                Err(error) => {
                    self.problem = Some(Rejection {
                        object: format!("folder {}", self.dir.display()),
                        field: String::new(),
                        reason: format!("cannot be listed, its last content stays: {error}"),
                    });
                }
            }
            changed |= self.problem != before;
        }
        changed
    }

    /// The complete picture.
    pub fn news(&mut self) -> News {
        let objects = self.files.iter().flat_map(|(name, file)| {
            file.manifest.objects().map(move |object| (name.as_str(), object))
        });
        let (mut picture, refused) = assemble(objects, &self.ranges);
        keep_unchanged(&self.last, &mut picture);
        self.last = Arc::new(picture);

        let mut rejections: Vec<_> = self.problem.clone().into_iter().collect();
        for (name, file) in &self.files {
            rejections.extend(file.problem.clone());
            rejections.extend(file.manifest.rejections(name));
        }
        rejections.extend(refused);
        News {
            picture: Arc::clone(&self.last),
            rejections: rejections.into(),
            complete: self.files.values().all(|file| file.known),
        }
    }

    fn list(&mut self, held: &BTreeSet<String>) -> io::Result<bool> {
        let mut present = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            if let Ok(name) = entry?.file_name().into_string()
                && format_of(&name).is_some()
            {
                present.insert(name);
            }
        }
        let mut changed = false;
        let gone = |name: &String| !present.contains(name) && !held.contains(name);
        self.files.retain(|name, _| {
            changed |= gone(name);
            !gone(name)
        });
        for name in present.difference(held) {
            changed |= self.visit(name, false);
        }
        Ok(changed)
    }

    /// Reads a file if its metadata changed or `always`; says whether it did.
    fn visit(&mut self, name: &str, always: bool) -> bool {
        let Some(format) = format_of(name) else { return false };
        let path = self.dir.join(name);
        // Follows symlinks: a ConfigMap's files are links into the folder of its current version.
        let metadata = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(metadata),
            Ok(_) => return self.files.remove(name).is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.files.remove(name).is_some();
            }
            Err(error) => Err(error),
        };
        let file = self.files.entry(name.to_owned()).or_default();
        let stamp = metadata.as_ref().ok().map(Stamp::from);
        if !always && stamp.is_some() && file.stamp == stamp {
            return false;
        }
        match metadata.and_then(|_| read(&path)) {
            Ok((stamp, bytes)) => {
                file.stamp = Some(stamp);
                file.take(name, &bytes, format);
            }
            Err(error) => {
                file.stamp = None;
                file.fail(name, "", format!("cannot be read: {error}"));
            }
        }
        true
    }
}

/// The content, with the stamp of the very file it was read from.
fn read(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    let mut file = fs::File::open(path)?;
    let stamp = Stamp::from(&file.metadata()?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((stamp, bytes))
}

impl File {
    fn take(&mut self, name: &str, bytes: &[u8], format: Format) {
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return self.fail(name, "", format!("is not UTF-8: {error}")),
        };
        match Manifest::read(text, format, &self.manifest) {
            Ok(manifest) => {
                *self = Self { stamp: self.stamp, manifest, known: true, problem: None };
                self.say_passed_over(name);
            }
            Err(error) => {
                let place = format!("document {}, line {}", error.document, error.line);
                self.fail(name, &place, error.reason);
            }
        }
    }

    fn fail(&mut self, name: &str, place: &str, reason: String) {
        let reason =
            if self.known { format!("{reason}; its last good content stays") } else { reason };
        let object = format!("file {name}");
        self.problem = Some(Rejection { object, field: place.to_owned(), reason });
    }

    fn say_passed_over(&self, name: &str) {
        let kinds = self.manifest.passed_over();
        if !kinds.is_empty() {
            let kinds: Vec<_> =
                kinds.iter().map(|(kind, count)| format!("{count} x {kind}")).collect();
            tracing::info!("{name}: passed over {}", kinds.join(", "));
        }
    }
}
