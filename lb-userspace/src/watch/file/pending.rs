//! What inotify told, and when each file is fit to be read.
//!
//! Most changes are whole when they are told: a rename, a closed writer. A file being written in
//! place and a file just removed are not: the first may be empty for a moment, the second is often
//! about to be replaced. Such files are held back, the longest until they have been quiet for
//! [`WRITING`]; everything else goes on.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

use super::scan::{Look, format_of};

/// How long a file that is open for writing must be quiet before it is read all the same.
const WRITING: Duration = Duration::from_millis(30);
/// How long a file must be gone: an editor's "move away, write anew" takes far less.
const GONE: Duration = Duration::from_millis(5);

/// What is still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Pending {
    files: BTreeMap<String, Instant>,
    everywhere: Option<Instant>,
    /// The folder itself was moved or removed.
    pub folder_lost: bool,
}

impl Pending {
    /// Takes note of an event in `dir`.
    pub fn note(&mut self, event: &Event, dir: &Path, now: Instant) {
        if event.need_rescan() {
            self.look_everywhere(now);
            return;
        }
        for path in &event.paths {
            if path == dir {
                if matches!(
                    event.kind,
                    EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
                ) {
                    self.folder_lost = true;
                    self.look_everywhere(now);
                }
                continue;
            }
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if format_of(name).is_some() {
                self.note_file(name, path, event.kind, now);
            } else if name.starts_with('.') {
                self.note_hidden(event.kind, now);
            }
        }
    }

    /// Look at the whole folder, now.
    pub fn look_everywhere(&mut self, now: Instant) {
        self.everywhere = Some(now);
    }

    /// When the next look is due.
    pub fn due(&self) -> Option<Instant> {
        self.files.values().copied().chain(self.everywhere).min()
    }

    /// Takes what is due by `now`.
    pub fn take(&mut self, now: Instant) -> Option<Look> {
        self.due().filter(|due| *due <= now)?;
        let mut look = Look::default();
        if self.everywhere.is_some_and(|due| due <= now) {
            self.everywhere = None;
            look.everywhere = true;
        }
        self.files.retain(|name, due| {
            let list = if *due <= now { &mut look.files } else { &mut look.held };
            list.insert(name.clone());
            *due > now
        });
        Some(look)
    }

    fn note_file(&mut self, name: &str, path: &Path, kind: EventKind, now: Instant) {
        let due = match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => now,
            // Our own reading.
            EventKind::Access(_) => return,
            // Told a second time, after both halves.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => {
                now + GONE
            }
            EventKind::Modify(ModifyKind::Name(_)) => now,
            // Says nothing about the content, so a writer at work is still waited for.
            EventKind::Modify(ModifyKind::Metadata(_)) => {
                self.files.get(name).copied().unwrap_or(now)
            }
            // A link is whole from the start.
            EventKind::Create(_) if path.is_symlink() => now,
            _ => now + WRITING,
        };
        self.files.insert(name.to_owned(), due);
    }

    /// A ConfigMap volume switches all its files at once by renaming a hidden link.
    fn note_hidden(&mut self, kind: EventKind, now: Instant) {
        match kind {
            EventKind::Modify(ModifyKind::Name(_)) => self.look_everywhere(now),
            EventKind::Remove(_) => {
                self.everywhere.get_or_insert(now + GONE);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind};

    use super::*;

    const CREATED: EventKind = EventKind::Create(CreateKind::File);
    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const READ: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Read));
    const CHMOD: EventKind = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
    const REMOVED: EventKind = EventKind::Remove(RemoveKind::File);
    const MOVED_IN: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));
    const MOVED_AWAY: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::From));

    /// `expected` is the wait in milliseconds until the next look; `None`: there is none.
    #[track_caller]
    fn check(events: &[(&str, EventKind)], expected: Option<u64>) {
        let now = Instant::now();
        let mut pending = Pending::default();
        for (name, kind) in events {
            let event = Event::new(*kind).add_path(Path::new("/m").join(name));
            pending.note(&event, Path::new("/m"), now);
        }
        let wait = pending.due().map(|due| (due - now).as_millis() as u64);
        assert_eq!(wait, expected, "{events:?}");
    }

    #[test]
    fn whole_changes_are_read_at_once_and_others_held_back() {
        check(&[("a.yaml", CREATED), ("a.yaml", WRITTEN)], Some(30));
        check(&[("a.yaml", CREATED), ("a.yaml", WRITTEN), ("a.yaml", CLOSED)], Some(0));
        check(&[("a.yaml", WRITTEN), ("a.yaml", CHMOD)], Some(30));
        check(&[("a.yaml", CHMOD)], Some(0));
        check(&[("a.yaml", MOVED_IN)], Some(0));
        check(&[("a.yaml", REMOVED)], Some(5));
        check(&[("a.yaml", MOVED_AWAY), ("a.yaml", CREATED)], Some(30));
        check(&[("a.yaml", MOVED_AWAY), ("a.yaml", CREATED), ("a.yaml", CLOSED)], Some(0));
    }

    #[test]
    fn what_cannot_matter_is_ignored() {
        check(&[("a.yaml", READ)], None);
        check(&[("notes.txt", CLOSED), (".a.yaml.swp", WRITTEN), ("a.yaml~", CLOSED)], None);
        check(&[("..2024", CREATED), ("..data_tmp", CREATED)], None);
        check(&[("..data", MOVED_IN)], Some(0));
    }

    #[test]
    fn a_file_being_written_is_held_while_another_is_read() {
        let now = Instant::now();
        let mut pending = Pending::default();
        for (name, kind) in [("a.yaml", WRITTEN), ("b.yaml", CLOSED)] {
            let event = Event::new(kind).add_path(Path::new("/m").join(name));
            pending.note(&event, Path::new("/m"), now);
        }
        let look = pending.take(now).unwrap();
        assert_eq!((look.files, look.held), (["b.yaml".into()].into(), ["a.yaml".into()].into()));
        assert!(pending.take(now).is_none());
        assert_eq!(pending.take(now + WRITING).unwrap().files, ["a.yaml".into()].into());
    }
}
