//! Array tables as memory shared with the kernel: no system call for a change.
//!
//! Programs read while the agent writes, so whole rows are stored only where nothing reads them
//! yet, and what programs do read changes by one aligned store with release order: whoever sees
//! the new word sees everything that was stored before it.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU16, AtomicU64, Ordering},
};

use aya::Pod;

/// What the mapping is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Looking only.
    Read,
    /// Looking and changing.
    Write,
}

/// A row that the table does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("row {index} of a table of {rows}")]
pub struct OutOfTable {
    /// The row.
    pub index: u32,
    /// How many there are.
    pub rows: u32,
}

/// An array table mapped into memory.
#[derive(Debug)]
pub struct Mapped<T> {
    base: NonNull<u8>,
    bytes: usize,
    rows: u32,
    row: PhantomData<T>,
}

// SAFETY: the mapping belongs to this value alone and is tied to no thread.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// The kernel lays the rows of an array out in steps of whole 8-byte words.
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps an array that was made with `BPF_F_MMAPABLE`, whose value size is that of `T`, and
    /// which has `rows` rows; the caller has checked these.
    pub fn open(map: BorrowedFd<'_>, rows: u32, access: Access) -> io::Result<Self> {
        let bytes = Self::STRIDE * rows as usize;
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
        // SAFETY: a new mapping at an address of the kernel's choice; the kernel refuses a length
        // beyond the table.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Self { base, bytes, rows, row: PhantomData })
    }

    /// How many rows there are.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    fn at(&self, index: u32) -> Result<NonNull<u8>, OutOfTable> {
        if index >= self.rows {
            return Err(OutOfTable { index, rows: self.rows });
        }
        // SAFETY: the row lies inside the mapping, by the check above.
        Ok(unsafe { self.base.add(index as usize * Self::STRIDE) })
    }

    /// Reads a row. One that is being changed may be met half old, half new.
    pub fn load(&self, index: u32) -> Result<T, OutOfTable> {
        let row = self.at(index)?.cast::<T>();
        // SAFETY: inside the mapping and aligned, as rows start at multiples of 8 from a page
        // and no table type asks for more; plain data has no invalid bit pattern.
        Ok(unsafe { row.read_volatile() })
    }

    /// Writes a whole row, which no program reads now.
    pub fn store(&mut self, index: u32, value: &T) -> Result<(), OutOfTable> {
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
    ) -> Result<(), OutOfTable> {
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
    ) -> Result<(), OutOfTable> {
        const { assert!(OFFSET.is_multiple_of(2) && OFFSET + 2 <= size_of::<T>()) };
        // SAFETY: as in `publish_u64`.
        let word_at = unsafe { AtomicU16::from_ptr(self.at(index)?.add(OFFSET).cast().as_ptr()) };
        word_at.store(word, Ordering::Release);
        Ok(())
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `open` and is given back once.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
