//! The one way into a kernel: releases the GIL, owns the thread pools, hears signals, reports progress.

use crate::error::to_python;
use ferrec_core::{Control, Result as CoreResult};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a running kernel lets Python look at signals and progress.
const POLL: Duration = Duration::from_millis(50);

/// What this process may use: its CPU affinity and cgroup quota.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The pool of this process with so many threads; 0 stands for [`default_threads`].
///
/// Keyed by process: after a fork the parent's threads do not exist in the child. The list is only ever
/// locked while the GIL is held, and a fork from Python holds it too, so no child finds it locked.
fn pool(_gil: Python<'_>, n_threads: usize) -> PyResult<Arc<ThreadPool>> {
    static POOLS: Mutex<Vec<(u32, usize, Arc<ThreadPool>)>> = Mutex::new(Vec::new());
    let n_threads = if n_threads == 0 { default_threads() } else { n_threads };
    let pid = std::process::id();
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    // A pool whose threads are gone cannot be dropped: that would wait for them.
    for foreign in pools.extract_if(.., |entry| entry.0 != pid) {
        std::mem::forget(foreign);
    }
    if let Some((.., pool)) = pools.iter().find(|entry| entry.1 == n_threads) {
        return Ok(pool.clone());
    }
    let built = ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|i| format!("ferrec-{i}"))
        .build()
        .map_err(|e| PyRuntimeError::new_err(format!("n_threads: cannot start {n_threads} threads: {e}")))?;
    let built = Arc::new(built);
    pools.push((pid, n_threads, built.clone()));
    Ok(built)
}

/// Wakes the waiting thread when the kernel is over, even by a panic.
struct Finished<'a>(&'a Mutex<bool>, &'a Condvar);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }
}

/// Runs `work` on the pool without the GIL. A signal or an exception in `progress` stops it at the next row.
pub(crate) fn run<R: Send>(
    py: Python<'_>,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Control) -> CoreResult<R> + Send,
) -> PyResult<R> {
    let pool = pool(py, n_threads)?;
    let control = Control::new();
    let (over, wake) = (Mutex::new(false), Condvar::new());
    let mut result = None;
    let stopped: PyResult<()> = py.detach(|| {
        pool.in_place_scope(|scope| {
            scope.spawn(|_| {
                let _finished = Finished(&over, &wake);
                result = Some(work(&control));
            });
            let mut stopped = Ok(());
            let mut guard = over.lock().unwrap_or_else(PoisonError::into_inner);
            while !*guard {
                let (next, waited) = wake.wait_timeout(guard, POLL).unwrap_or_else(PoisonError::into_inner);
                guard = next;
                if waited.timed_out() && !*guard && stopped.is_ok() {
                    drop(guard);
                    stopped = Python::attach(|py| listen(py, &control, progress.as_ref()));
                    if stopped.is_err() {
                        control.cancel();
                    }
                    guard = over.lock().unwrap_or_else(PoisonError::into_inner);
                }
            }
            stopped
        })
    });
    stopped?;
    let result = result.ok_or_else(|| PyRuntimeError::new_err("the kernel ended without a result"))?;
    let result = result.map_err(to_python)?;
    // Whoever watches sees the end as well.
    let (_, total) = control.progress();
    if let Some(progress) = progress.filter(|_| total > 0) {
        progress.call1(py, (total, total))?;
    }
    Ok(result)
}

/// [`run`] for work that may be too small for a pool: then on the calling thread, without the GIL. Such work must
/// not enter a pool (a single row does not), and is over before a signal or progress would be looked at.
pub(crate) fn run_small<R: Send>(
    py: Python<'_>,
    small: bool,
    n_threads: usize,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Control) -> CoreResult<R> + Send,
) -> PyResult<R> {
    if small {
        return py.detach(|| work(&Control::new())).map_err(to_python);
    }
    run(py, n_threads, progress, work)
}

fn listen(py: Python<'_>, control: &Control, progress: Option<&Py<PyAny>>) -> PyResult<()> {
    py.check_signals()?;
    if let Some(progress) = progress {
        progress.call1(py, control.progress())?;
    }
    Ok(())
}
