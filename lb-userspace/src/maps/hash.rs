//! Hash tables with typed entries, one call for many of them where the kernel can.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use aya::{
    Pod,
    maps::{HashMap, Map, MapData, MapError},
};

use super::Error;
use crate::kernel::sys;

/// From how many entries on a batch pays: below, its preparation costs as much as the calls.
const BATCH_FROM: usize = 32;

/// A pinned hash table.
pub struct Hash<K: Pod, V: Pod> {
    name: &'static str,
    entries: HashMap<MapData, K, V>,
    descriptor: OwnedFd,
    batch: bool,
}

impl<K: Pod + Default, V: Pod + Default> Hash<K, V> {
    /// Opens the table pinned as `name` in a folder.
    ///
    /// # Errors
    ///
    /// It is not there, or its entries are of another size.
    pub fn open(folder: &Path, name: &'static str, batch: bool) -> Result<Self, Error> {
        let path = folder.join(name);
        let failed = |source| Error::Open { table: name, source };
        let map = MapData::from_pin(&path).and_then(Map::from_map_data).map_err(failed)?;
        let entries = map.try_into().map_err(failed)?;
        let descriptor =
            sys::object_get(&path).map_err(|source| Error::Map { table: name, source })?;
        Ok(Self { name, entries, descriptor, batch })
    }

    /// Inserts or replaces entries, in order.
    ///
    /// # Errors
    ///
    /// The kernel refused one; those before it are in.
    pub fn put(&mut self, entries: &[(K, V)]) -> Result<(), Error> {
        if self.batch && entries.len() >= BATCH_FROM {
            let (keys, values): (Vec<K>, Vec<V>) = entries.iter().copied().unzip();
            let (_, result) = sys::update_batch(self.descriptor.as_fd(), &keys, &values);
            return result.map_err(|source| self.failed("adding", entries.len(), source));
        }
        for (key, value) in entries {
            self.entries
                .insert(key, value, 0)
                .map_err(|error| self.failed("adding", 1, io_error(error)))?;
        }
        Ok(())
    }

    /// Removes entries; one that is not there is as good as removed.
    ///
    /// # Errors
    ///
    /// The kernel refused one; those before it are gone.
    pub fn remove(&mut self, keys: &[K]) -> Result<(), Error> {
        let mut rest = keys;
        while self.batch && rest.len() >= BATCH_FROM {
            let (done, result) = sys::delete_batch(self.descriptor.as_fd(), rest);
            let missing = match result {
                Ok(()) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => 1,
                Err(source) => return Err(self.failed("removing", keys.len(), source)),
            };
            rest = rest.get(done + missing..).unwrap_or_default();
        }
        for key in rest {
            match self.entries.remove(key).map_err(io_error) {
                Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                    return Err(self.failed("removing", 1, error));
                }
                _ => (),
            }
        }
        Ok(())
    }

    /// All entries. While others write, one may be missed or met twice.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn read(&self) -> Result<Vec<(K, V)>, Error> {
        let result = if self.batch {
            sys::read_all(self.descriptor.as_fd())
        } else {
            self.entries.iter().collect::<Result<_, _>>().map_err(io_error)
        };
        result.map_err(|source| self.failed("reading", 2, source))
    }

    fn failed(&self, operation: &'static str, entries: usize, source: io::Error) -> Error {
        Error::Entries { operation, entries, table: self.name, source }
    }
}

/// The error number inside aya's error, which is what decides the class.
pub(super) fn io_error(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        MapError::IoError(error) => error,
        MapError::KeyNotFound => io::Error::from_raw_os_error(libc::ENOENT),
        other => io::Error::other(other),
    }
}
