//! The thread that writes snapshots, one at a time.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tidemark_engine::snapshot::Frozen;

use super::Shared;
use crate::timing::Stopwatch;

/// A state to be written.
pub struct Job {
    pub frozen: Frozen,
    /// In their protobuf form.
    pub consensus_params: Vec<u8>,
    pub retain_height: u64,
}

#[derive(Default)]
struct Progress {
    job: Option<Job>,
    /// A job was taken and is not over.
    is_busy: bool,
    /// The last height whose app hash a header carries.
    confirmed: u64,
    stops: bool,
}

#[derive(Default)]
struct Bell {
    progress: Mutex<Progress>,
    rung: Condvar,
}

impl Bell {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress());
        self.rung.notify_all();
    }

    fn wait(&self, goes_on: impl Fn(&Progress) -> bool) -> MutexGuard<'_, Progress> {
        let progress = self.progress();
        let waits = |progress: &mut Progress| !goes_on(progress);
        self.rung.wait_while(progress, waits).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread. Dropping it ends the thread; what is half-written is forgotten at the next start.
pub struct Writer {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let bell = Arc::<Bell>::default();
        let of_thread = Arc::clone(&bell);
        let run = move || run(&of_thread, &shared);
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(run)?;
        Ok(Self { bell, thread: Some(thread) })
    }

    /// Returns true if a state can be handed over.
    pub fn is_idle(&self) -> bool {
        let progress = self.bell.progress();
        progress.job.is_none() && !progress.is_busy
    }

    pub fn write(&self, job: Job) {
        self.bell.change(|progress| progress.job = Some(job));
    }

    pub fn confirm(&self, height: u64) {
        self.bell.change(|progress| progress.confirmed = progress.confirmed.max(height));
    }

    pub fn wait_idle(&self) {
        drop(self.bell.wait(|progress| progress.job.is_none() && !progress.is_busy));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.bell.change(|progress| progress.stops = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(bell: &Bell, shared: &Shared) {
    loop {
        let job = {
            let mut progress = bell.wait(|progress| progress.stops || progress.job.is_some());
            if progress.stops {
                return;
            }
            progress.is_busy = true;
            progress.job.take()
        };
        if let Some(job) = job {
            write(bell, shared, job);
        }
        bell.change(|progress| progress.is_busy = false);
    }
}

fn write(bell: &Bell, shared: &Shared, job: Job) {
    let begun = Stopwatch::start();
    let height = job.frozen.chain().height;
    let is_over = || bell.progress().stops;
    let beside = (&*job.consensus_params, job.retain_height);
    let written = shared.store.write(&job.frozen, beside, &is_over);
    // The pages that the state has changed since are let go before the wait.
    drop(job);
    let write_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let kept = written.and_then(|(folder, manifest)| {
        Ok(keep(bell, shared, &folder, height)?.then_some(manifest.bytes()))
    });
    match kept {
        Ok(None) => {}
        Ok(Some(bytes)) => {
            let mut stats = shared.stats();
            (stats.height, stats.bytes, stats.write_ms) = (height, bytes, write_ms);
            drop(stats);
            tracing::info!(height, bytes, write_ms, "a snapshot is written");
        }
        Err(_) if is_over() => {}
        Err(error) => {
            shared.stats().failures += 1;
            tracing::error!(height, "a snapshot cannot be written: {error}");
        }
    }
}

/// Lets a snapshot count once a header carries its app hash. Returns false if the node ends before.
fn keep(bell: &Bell, shared: &Shared, folder: &Path, height: u64) -> io::Result<bool> {
    if bell.wait(|progress| progress.stops || progress.confirmed >= height).stops {
        return Ok(false);
    }
    shared.store.keep(folder, height).map(|()| true)
}
