//! Capture files, in the classic format of libpcap that the reference writes.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::Clock;

use super::Options;

/// The snapshot length that the reference declares; frames are recorded whole all the same.
const SNAPLEN: u32 = 1518;

/// A capture file being written. Each frame is in the file as soon as it is recorded.
pub struct Capture {
    file: File,
    path: PathBuf,
    clock: Clock,
    failed: bool,
}

impl Capture {
    /// Creates the file, or empties it.
    pub fn create(path: &Path, clock: &Clock) -> io::Result<Self> {
        let mut file = File::create(path)?;
        // Magic number, version 2.4, time zone, accuracy, snapshot length, link type Ethernet.
        let header = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, SNAPLEN, 1];
        #[cfg(target_endian = "big")]
        let header = header.map(|word| if word == (4 << 16 | 2) { 2 << 16 | 4 } else { word });
        file.write_all(&header.map(u32::to_ne_bytes).concat())?;
        Ok(Self { file, path: path.to_owned(), clock: clock.clone(), failed: false })
    }

    /// Appends a frame. After a failure, of which the log tells once, nothing is recorded any more.
    pub fn record(&mut self, frame: &[u8]) {
        if self.failed {
            return;
        }
        let now = self.clock.wall();
        let len = frame.len() as u32;
        let words = [now.as_secs() as u32, now.subsec_micros(), len, len];
        let mut record = words.map(u32::to_ne_bytes).concat();
        record.extend(frame);
        if let Err(error) = self.file.write_all(&record) {
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
