//! Capture files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use base::Clock;
use packet::pcap::Writer;

use super::Options;

/// A capture file being written. Each frame is in the file as soon as it is recorded.
pub struct Capture {
    writer: Writer<File>,
    path: PathBuf,
    clock: Clock,
    failed: bool,
}

impl Capture {
    /// Creates the file, or empties it.
    pub fn create(path: &Path, clock: &Clock) -> io::Result<Self> {
        let writer = Writer::new(File::create(path)?)?;
        Ok(Self { writer, path: path.to_owned(), clock: clock.clone(), failed: false })
    }

    /// Appends a frame. After a failure, of which the log tells once, nothing is recorded any more.
    pub fn record(&mut self, frame: &[u8]) {
        if self.failed {
            return;
        }
        if let Err(error) = self.writer.write(self.clock.wall(), frame) {
            log::warn!("{}: cannot write capture, stopping it: {error}", self.path.display());
            self.failed = true;
        }
    }
}

/// The capture files of one dummy.
pub(super) struct Captures {
    both: Option<Capture>,
    tx: Option<Capture>,
    rx: Option<Capture>,
}

impl Captures {
    pub(super) fn open(options: &Options, clock: &Clock) -> io::Result<Self> {
        let open = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| Capture::create(path, clock)).transpose()
        };
        Ok(Self {
            both: open(&options.pcap)?,
            tx: open(&options.tx_pcap)?,
            rx: open(&options.rxq_pcap)?,
        })
    }

    pub(super) fn received(&mut self, frame: &[u8]) {
        [&mut self.rx, &mut self.both]
            .into_iter()
            .flatten()
            .for_each(|capture| capture.record(frame));
    }

    pub(super) fn transmitted(&mut self, frame: &[u8]) {
        [&mut self.tx, &mut self.both]
            .into_iter()
            .flatten()
            .for_each(|capture| capture.record(frame));
    }
}
