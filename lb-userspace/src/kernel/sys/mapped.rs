//! Array tables as memory shared with the kernel: no system call for a change.
//!
//! Programs read while the agent writes, so whole rows are stored only where nothing reads them
//! yet, and what programs do read changes by one aligned store with release order: whoever sees
//! the new word sees everything that was stored before it.
//!
//! The kernel counts every page of a mapping as used by its process, touched or not. So addresses
//! are set aside for the whole table, but only its beginning is mapped, as far as rows were asked
//! for: a row beyond takes one call, which at least doubles what is mapped.

use std::{
    cell::Cell,
    io,
    marker::PhantomData,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU16, AtomicU64, Ordering},
};

use aya::Pod;
use libc::c_int;

/// What the mapping is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Looking only.
    Read,
    /// Looking and changing.
    Write,
}

/// Why a row cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The table does not have it.
    #[error("row {index} of a table of {rows}")]
    OutOfTable {
        /// The row.
        index: u32,
        /// How many there are.
        rows: u32,
    },
    /// It is not mapped yet, and the kernel refused to.
    #[error("mapping row {index}")]
    Map {
        /// The row.
        index: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An array table mapped into memory.
#[derive(Debug)]
pub struct Mapped<T> {
    map: OwnedFd,
    /// The start of as many addresses as the whole table takes.
    base: NonNull<u8>,
    /// The length of the whole table, in bytes.
    bytes: usize,
    /// How much of it is mapped: whole pages, or all of it.
    mapped: Cell<usize>,
    access: Access,
    rows: u32,
    row: PhantomData<T>,
}

// SAFETY: the mapping belongs to this value alone and is tied to no thread.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// The kernel lays the rows of an array out in steps of whole 8-byte words.
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);
    /// What is mapped at first, in bytes: whole pages, however large a page is.
    const LEAST: usize = 1 << 16;

    /// Opens an array that was made with `BPF_F_MMAPABLE`, whose value size is that of `T`, and
    /// which has `rows` rows; the caller has checked these.
    pub fn open(map: BorrowedFd<'_>, rows: u32, access: Access) -> io::Result<Self> {
        let map = map.try_clone_to_owned()?;
        let bytes = Self::STRIDE * rows as usize;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: new addresses of the kernel's choice, and nothing at them yet.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        let mapped = Cell::new(0);
        let this = Self { map, base, bytes, mapped, access, rows, row: PhantomData };
        this.grow(bytes.min(Self::LEAST))?;
        Ok(this)
    }

    /// How many rows there are.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// How many bytes are mapped.
    pub fn mapped(&self) -> usize {
        self.mapped.get()
    }

    /// Maps as far as `end`, which lies inside the table and beyond what is mapped.
    fn grow(&self, end: usize) -> io::Result<()> {
        let mapped = self.mapped.get();
        let grown = end.next_power_of_two().max(Self::LEAST).min(self.bytes);
        let protection = match self.access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
        let flags: c_int = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: these addresses were set aside by `open` and nothing is at them; what is mapped
        // so far ends with a page, as it is a power of two of at least `LEAST` bytes: all of a
        // table would not have to grow. The kernel refuses what goes beyond the table.
        let added = unsafe {
            libc::mmap(
                self.base.add(mapped).as_ptr().cast(),
                grown - mapped,
                protection,
                flags,
                self.map.as_raw_fd(),
                mapped as libc::off_t,
            )
        };
        if added == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        self.mapped.set(grown);
        Ok(())
    }

    /// Where a row is, which is mapped from now on.
    fn at(&self, index: u32) -> Result<NonNull<u8>, RowError> {
        if index >= self.rows {
            return Err(RowError::OutOfTable { index, rows: self.rows });
        }
        let offset = index as usize * Self::STRIDE;
        if offset + Self::STRIDE > self.mapped.get() {
            let result = self.grow(offset + Self::STRIDE);
            result.map_err(|source| RowError::Map { index, source })?;
        }
        // SAFETY: the row lies inside what is mapped, by the checks above.
        Ok(unsafe { self.base.add(offset) })
    }

    /// Reads a row. One that is being changed may be met half old, half new.
    pub fn load(&self, index: u32) -> Result<T, RowError> {
        let row = self.at(index)?.cast::<T>();
        // SAFETY: inside the mapping and aligned, as rows start at multiples of 8 from a page
        // and no table type asks for more; plain data has no invalid bit pattern.
        Ok(unsafe { row.read_volatile() })
    }

    /// Writes a whole row, which no program reads now.
    pub fn store(&mut self, index: u32, value: &T) -> Result<(), RowError> {
        let row = self.at(index)?.cast::<T>();
        // SAFETY: as in `load`; a mapping opened for reading faults rather than corrupts.
        unsafe { row.write_volatile(*value) };
        Ok(())
    }

    /// Publishes the aligned 64-bit word at byte `OFFSET` of a row.
    pub fn publish_u64<const OFFSET: usize>(
        &mut self,
        index: u32,
        word: u64,
    ) -> Result<(), RowError> {
        const { assert!(OFFSET.is_multiple_of(8) && OFFSET + 8 <= size_of::<T>()) };
        // SAFETY: inside the row and aligned, by the assertion; every access to the word that
        // can happen at the same time is a single aligned one.
        let word_at = unsafe { AtomicU64::from_ptr(self.at(index)?.add(OFFSET).cast().as_ptr()) };
        word_at.store(word, Ordering::Release);
        Ok(())
    }

    /// Publishes the aligned 16-bit word at byte `OFFSET` of a row.
    pub fn publish_u16<const OFFSET: usize>(
        &mut self,
        index: u32,
        word: u16,
    ) -> Result<(), RowError> {
        const { assert!(OFFSET.is_multiple_of(2) && OFFSET + 2 <= size_of::<T>()) };
        // SAFETY: as in `publish_u64`.
        let word_at = unsafe { AtomicU16::from_ptr(self.at(index)?.add(OFFSET).cast().as_ptr()) };
        word_at.store(word, Ordering::Release);
        Ok(())
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: these addresses were set aside by `open`, with all that was mapped at them since,
        // and are given back once.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
