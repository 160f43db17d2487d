//! How a caller watches and stops a running kernel.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Shared between the kernel's threads and the one that waits for them.
#[derive(Debug, Default)]
pub struct Control {
    canceled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Control {
    /// A control that nobody has canceled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the kernel to stop; it does so at the next row.
    pub fn cancel(&self) {
        self.canceled.store(true, Relaxed);
    }

    /// `(done, total)` in units of work; `total` is 0 before the kernel knows it.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Relaxed), self.total.load(Relaxed))
    }

    pub(crate) fn start(&self, total: u64) {
        self.done.store(0, Relaxed);
        self.total.store(total, Relaxed);
    }

    pub(crate) fn advance(&self, by: u64) {
        self.done.fetch_add(by, Relaxed);
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.canceled.load(Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}
