//! A folder of manifests as a source of news.
//!
//! Files directly in the folder whose names end in `.yaml`, `.yml` or `.json` count, hidden ones
//! and sub-folders do not, as with `kubectl apply -f DIR`. A file that cannot be read or parsed
//! keeps its last good content. The agent runs [`FileSource::run`] as one of its tasks; `sluice
//! check` calls [`load`].

mod pending;
mod scan;

use std::{
    collections::BTreeSet,
    fs, mem,
    os::unix::fs::MetadataExt,
    panic,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, spawn_blocking},
    time::{MissedTickBehavior, interval, sleep_until},
};

use self::{
    pending::Pending,
    scan::{Folder, Look},
};
use super::{allot::Ranges, error::WatchError};
use crate::model::{Picture, Rejection};

/// How often the folder is looked at without being told: links to files elsewhere, and a folder
/// that is itself replaced, change without an event here.
const UNASKED: Duration = Duration::from_secs(2);

/// A complete picture of the folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// Everything that is there.
    pub picture: Arc<Picture>,
    /// Everything that was refused.
    pub rejections: Arc<[Rejection]>,
    /// False while there is a file that could never be read since the start: what it would say is
    /// unknown, so nothing may be taken down because it is missing from the picture.
    pub complete: bool,
}

/// Reads a folder once.
///
/// # Errors
/// The folder cannot be listed.
pub fn load(dir: &Path, ranges: &Ranges) -> Result<News, WatchError> {
    Folder::new(dir.to_owned(), ranges.clone()).load()
}

/// Follows a folder. News stands in a channel that holds the latest alone, so a reader that is busy
/// skips pictures that are out of date already.
pub struct FileSource {
    folder: Folder,
    news: watch::Sender<News>,
    events: mpsc::UnboundedReceiver<notify::Result<Event>>,
    watcher: RecommendedWatcher,
    /// Device and inode of the folder that is being watched.
    watched: Option<(u64, u64)>,
    /// What was complained about in the log.
    reported: BTreeSet<Rejection>,
}

impl FileSource {
    /// Starts watching and reads the folder; the receiver holds the first news.
    ///
    /// # Errors
    /// The folder cannot be listed or watched.
    pub fn open(dir: PathBuf, ranges: Ranges) -> Result<(Self, watch::Receiver<News>), WatchError> {
        let failed = |source| WatchError::WatchFolder { dir: dir.clone(), source };
        let (heard, events) = mpsc::unbounded_channel();
        let handler = move |event| {
            // A closed channel means that nobody runs the source any more.
            let _ = heard.send(event);
        };
        let mut watcher = notify::recommended_watcher(handler).map_err(failed)?;
        // Watch before reading: what changes in between is read twice, not missed.
        let watched = identity(&dir);
        watcher.watch(&dir, RecursiveMode::NonRecursive).map_err(failed)?;
        let mut folder = Folder::new(dir, ranges);
        let (news, receiver) = watch::channel(folder.load()?);
        let reported = BTreeSet::new();
        let mut source = Self { folder, news, events, watcher, watched, reported };
        source.report();
        Ok((source, receiver))
    }

    /// Follows the folder until every receiver is gone. A folder that disappears is no reason to
    /// end: its last content stays, and it is watched again when it comes back.
    pub async fn run(mut self) {
        let mut pending = Pending::default();
        let mut unasked = interval(UNASKED);
        unasked.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_heard = Instant::now();
        loop {
            let due = pending.due();
            let wait = sleep_until(due.unwrap_or_else(Instant::now).into());
            tokio::select! {
                () = self.news.closed() => return,
                event = self.events.recv() => {
                    last_heard = Instant::now();
                    self.hear(event, &mut pending, last_heard);
                }
                _ = unasked.tick() => {
                    self.watch_again_if_replaced();
                    pending.look_everywhere(Instant::now());
                }
                () = wait, if due.is_some() => {}
            }
            let Some(look) = pending.take(Instant::now()) else { continue };
            match self.look(look).await {
                Ok(true) => tracing::debug!("{:?} after the last event", last_heard.elapsed()),
                Ok(false) => {}
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => panic::resume_unwind(panic),
                    // The runtime is shutting down.
                    Err(_) => return,
                },
            }
        }
    }

    /// Takes the event and all that came with it.
    fn hear(&mut self, first: Option<notify::Result<Event>>, pending: &mut Pending, now: Instant) {
        let mut next = first;
        while let Some(event) = next {
            match event {
                Ok(event) => pending.note(&event, self.folder.dir(), now),
                Err(error) => {
                    tracing::warn!("inotify: {error}");
                    pending.look_everywhere(now);
                }
            }
            next = self.events.try_recv().ok();
        }
        if mem::take(&mut pending.folder_lost) {
            self.watched = None;
        }
    }

    /// Looks at what is due and passes on what is new; says whether anything was.
    async fn look(&mut self, look: Look) -> Result<bool, JoinError> {
        // Reading and parsing block, and the task shares its thread with others.
        let empty = Folder::new(PathBuf::new(), Ranges::default());
        let mut folder = mem::replace(&mut self.folder, empty);
        let (folder, news) = spawn_blocking(move || {
            let news = folder.look(&look).then(|| folder.news());
            (folder, news)
        })
        .await?;
        self.folder = folder;
        let changed = news.is_some_and(|news| {
            self.news.send_if_modified(|current| {
                let changed = *current != news;
                *current = news;
                changed
            })
        });
        if changed {
            self.report();
        }
        Ok(changed)
    }

    /// Logs rejections once.
    fn report(&mut self) {
        let now: BTreeSet<_> = self.news.borrow().rejections.iter().cloned().collect();
        for rejection in now.difference(&self.reported) {
            tracing::warn!("{rejection}");
        }
        self.reported = now;
    }

    fn watch_again_if_replaced(&mut self) {
        let dir = self.folder.dir();
        let present = identity(dir);
        if present.is_none() || present == self.watched {
            return;
        }
        // The old watch may be gone with the folder it was for.
        let _ = self.watcher.unwatch(dir);
        match self.watcher.watch(dir, RecursiveMode::NonRecursive) {
            Ok(()) => self.watched = present,
            Err(error) => tracing::warn!("cannot watch {}: {error}", dir.display()),
        }
    }
}

fn identity(dir: &Path) -> Option<(u64, u64)> {
    fs::metadata(dir).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests;
