//! Array tables shared with the agent's memory.

use std::{os::fd::AsFd, path::Path};

use aya::{
    Pod,
    maps::{MapData, MapError, MapType},
};

use super::Error;
use crate::kernel::sys::{Access, Mapped, RowError};

/// A pinned array.
pub struct Array<T: Pod> {
    name: &'static str,
    map: MapData,
    rows: Mapped<T>,
}

impl<T: Pod> Array<T> {
    /// Opens the table pinned as `name` in a folder.
    ///
    /// # Errors
    ///
    /// It is not there, its rows are of another size, or it cannot be mapped.
    pub fn open(folder: &Path, name: &'static str, access: Access) -> Result<Self, Error> {
        let failed = |source| Error::Open { table: name, source };
        let map = MapData::from_pin(folder.join(name)).map_err(failed)?;
        let info = map.info().map_err(failed)?;
        if info.map_type().map_err(failed)? != MapType::Array {
            return Err(failed(MapError::InvalidMapType { map_type: 0 }));
        }
        let (size, expected) = (info.value_size() as usize, size_of::<T>());
        if size != expected {
            return Err(failed(MapError::InvalidValueSize { size, expected }));
        }
        let rows = Mapped::open(map.fd().as_fd(), info.max_entries(), access)
            .map_err(|source| Error::Map { table: name, source })?;
        Ok(Self { name, map, rows })
    }

    /// How many rows there are.
    pub fn rows(&self) -> u32 {
        self.rows.rows()
    }

    /// The rows that are not all zero, wherever in the table they are. Nothing stays mapped for it.
    ///
    /// # Errors
    ///
    /// The kernel refused to map the table.
    pub fn used(&self) -> Result<Vec<(u32, T)>, Error>
    where
        T: Default + PartialEq,
    {
        let rows = Mapped::<T>::open(self.map.fd().as_fd(), self.rows(), Access::Read)
            .map_err(|source| Error::Map { table: self.name, source })?;
        let unused = T::default();
        let mut used = Vec::new();
        for index in 0..rows.rows() {
            let row = rows.load(index).map_err(|source| self.failed(source))?;
            if row != unused {
                used.push((index, row));
            }
        }
        Ok(used)
    }

    /// A row.
    ///
    /// # Errors
    ///
    /// There is no such row, or the kernel refused to map it.
    pub fn get(&self, index: u32) -> Result<T, Error> {
        self.rows.load(index).map_err(|source| self.failed(source))
    }

    /// Writes a row that no program reads now.
    ///
    /// # Errors
    ///
    /// There is no such row, or the kernel refused to map it.
    pub fn set(&mut self, index: u32, value: &T) -> Result<(), Error> {
        self.rows.store(index, value).map_err(|source| self.failed(source))
    }

    /// Publishes the 64-bit word at byte `OFFSET` of a row.
    ///
    /// # Errors
    ///
    /// There is no such row, or the kernel refused to map it.
    pub fn publish_u64<const OFFSET: usize>(&mut self, index: u32, word: u64) -> Result<(), Error> {
        let result = self.rows.publish_u64::<OFFSET>(index, word);
        result.map_err(|source| self.failed(source))
    }

    /// Publishes the 16-bit word at byte `OFFSET` of a row.
    ///
    /// # Errors
    ///
    /// There is no such row, or the kernel refused to map it.
    pub fn publish_u16<const OFFSET: usize>(&mut self, index: u32, word: u16) -> Result<(), Error> {
        let result = self.rows.publish_u16::<OFFSET>(index, word);
        result.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: RowError) -> Error {
        Error::Row { table: self.name, source }
    }
}
