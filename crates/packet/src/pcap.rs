//! Capture files in the classic pcap format (draft-ietf-opsawg-pcap), which every tool reads.
//!
//! # Design
//! [`Reader`] takes any of the four magics: microseconds or nanoseconds, in either byte order. A file is a stranger's: record
//! lengths are bounded before anything is allocated, and an end inside a record is an error that says where. [`Writer`] writes
//! what the reference writes: microseconds, Ethernet, in the machine's byte order. Both work on any stream and take the time as
//! an argument.

use std::io::{self, Read, Write};
use std::time::Duration;

/// Link type of Ethernet frames.
pub const ETHERNET: u32 = 1;

/// Longest record that is read.
pub const MAX_RECORD: u32 = 262_144;

/// Snapshot length in the headers that we write, as the reference's; frames are written whole nevertheless.
const SNAPLEN: u32 = 1518;

const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;

/// Why a capture file cannot be read on.
#[derive(Debug)]
pub enum Error {
    /// The file cannot be read.
    Io(io::Error),
    /// It is not a capture file: it begins with this instead of a magic number, or is shorter than the file header.
    NotPcap(Option<u32>),
    /// The frames are not Ethernet frames but of this link type.
    LinkType(u32),
    /// The file ends within record number `record` (from 0).
    Truncated {
        /// Which.
        record: u64,
    },
    /// Record number `record` claims an impossible length.
    TooLong {
        /// Which.
        record: u64,
        /// What it claims.
        len: u32,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::NotPcap(Some(magic)) => write!(f, "not a pcap file (begins with 0x{magic:08x})"),
            Error::NotPcap(None) => f.write_str("not a pcap file (too short)"),
            Error::LinkType(link) => write!(f, "link type {link} is not Ethernet"),
            Error::Truncated { record } => write!(f, "file ends within record {record}"),
            Error::TooLong { record, len } => {
                write!(f, "record {record} claims {len} bytes, more than {MAX_RECORD}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}

/// One captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, since 1970.
    pub time: Duration,
    /// How long the frame was; `frame` may be shorter.
    pub original_len: u32,
    /// The bytes.
    pub frame: Vec<u8>,
}

/// Reads a capture file, record by record.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    big_endian: bool,
    nanos: bool,
    records: u64,
    failed: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the file header.
    pub fn new(mut from: R) -> Result<Self, Error> {
        let mut header = [0; 24];
        if fill(&mut from, &mut header)? != Filled::Whole {
            return Err(Error::NotPcap(None));
        }
        let (magic, big_endian) = match word(&header, 0, false) {
            magic @ (MAGIC_MICROS | MAGIC_NANOS) => (magic, false),
            other => (other.swap_bytes(), true),
        };
        let nanos = match magic {
            MAGIC_MICROS => false,
            MAGIC_NANOS => true,
            other => return Err(Error::NotPcap(Some(other))),
        };
        // The upper bits of the link type say whether frames have their check sequence; old writers leave them 0.
        let link = word(&header, 20, big_endian) & 0x0fff_ffff;
        if link != ETHERNET {
            return Err(Error::LinkType(link));
        }
        Ok(Self { from, big_endian, nanos, records: 0, failed: false })
    }

    fn record(&mut self) -> Result<Option<Record>, Error> {
        let record = self.records;
        let mut header = [0; 16];
        match fill(&mut self.from, &mut header)? {
            Filled::Whole => {}
            Filled::Nothing => return Ok(None),
            Filled::Part => return Err(Error::Truncated { record }),
        }
        let [seconds, fraction, len, original_len] =
            [0, 4, 8, 12].map(|at| word(&header, at, self.big_endian));
        if len > MAX_RECORD {
            return Err(Error::TooLong { record, len });
        }
        let mut frame = vec![0; len as usize];
        if len > 0 && fill(&mut self.from, &mut frame)? != Filled::Whole {
            return Err(Error::Truncated { record });
        }
        self.records += 1;
        let nanos = u64::from(fraction) * if self.nanos { 1 } else { 1000 };
        let time = Duration::from_secs(seconds.into()) + Duration::from_nanos(nanos);
        Ok(Some(Record { time, original_len, frame }))
    }
}

/// The records up to the end of the file; an error is the last item.
impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.record().transpose();
        self.failed = matches!(record, Some(Err(_)));
        record
    }
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let word = bytes.get(at..).and_then(|b| b.first_chunk::<4>()).copied().unwrap_or_default();
    if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
}

#[derive(PartialEq, Eq)]
enum Filled {
    Whole,
    Part,
    Nothing,
}

/// Reads until the buffer is full or the file ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<Filled> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => return Ok(if len == 0 { Filled::Nothing } else { Filled::Part }),
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Filled::Whole)
}

/// Writes a capture file.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Begins a file with its header.
    pub fn new(mut to: W) -> io::Result<Self> {
        let mut header = [0; 24];
        header[..4].copy_from_slice(&MAGIC_MICROS.to_ne_bytes());
        header[4..6].copy_from_slice(&2u16.to_ne_bytes());
        header[6..8].copy_from_slice(&4u16.to_ne_bytes());
        header[16..20].copy_from_slice(&SNAPLEN.to_ne_bytes());
        header[20..].copy_from_slice(&ETHERNET.to_ne_bytes());
        to.write_all(&header)?;
        Ok(Self { to })
    }

    /// Goes on with a file that has its header.
    pub fn append(to: W) -> Self {
        Self { to }
    }

    /// Appends a frame captured at `time` since 1970, in a single write, and flushes: whoever follows the file sees whole
    /// records.
    pub fn write(&mut self, time: Duration, frame: &[u8]) -> io::Result<()> {
        let len = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let seconds = time.as_secs() as u32; // wraps in 2106, as the format does
        let mut record = Vec::with_capacity(16 + frame.len());
        for word in [seconds, time.subsec_micros(), len, len] {
            record.extend(word.to_ne_bytes());
        }
        record.extend_from_slice(frame);
        self.to.write_all(&record)?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(frames: &[(Duration, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![];
        let mut writer = Writer::new(&mut bytes).unwrap();
        frames.iter().for_each(|(time, frame)| writer.write(*time, frame).unwrap());
        bytes
    }

    fn read(bytes: &[u8]) -> Vec<Result<Record, Error>> {
        Reader::new(bytes).unwrap().collect()
    }

    #[test]
    fn what_is_written_reads_back() {
        let frames = [
            (Duration::from_micros(1_500_000), vec![1, 2, 3]),
            (Duration::ZERO, vec![]),
            (Duration::MAX, vec![9; 3000]),
        ];
        let bytes = file(&frames);
        let back: Vec<Record> = read(&bytes).into_iter().map(Result::unwrap).collect();
        assert_eq!(back.iter().map(|r| r.frame.len()).collect::<Vec<_>>(), [3, 0, 3000]);
        assert_eq!((back[0].time, back[0].original_len), (frames[0].0, 3));
    }

    #[test]
    fn all_four_magics() {
        for (magic, nanos) in [(MAGIC_MICROS, 7000), (MAGIC_NANOS, 7)] {
            for to_bytes in [u32::to_be_bytes, u32::to_le_bytes] {
                let words = [magic, 0x0002_0004, 0, 0, 65535, ETHERNET, 3, 7, 2, 60];
                let mut bytes: Vec<u8> = words.into_iter().flat_map(to_bytes).collect();
                bytes.extend([0xaa, 0xbb]);
                let want = Record {
                    time: Duration::new(3, nanos),
                    original_len: 60,
                    frame: vec![0xaa, 0xbb],
                };
                assert_eq!(read(&bytes).remove(0).unwrap(), want);
            }
        }
    }

    #[test]
    fn strangers_files_are_refused() {
        assert!(matches!(Reader::new(&b""[..]), Err(Error::NotPcap(None))));
        assert!(matches!(
            Reader::new(&[0x0a, 0x0d, 0x0d, 0x0a].repeat(6)[..]),
            Err(Error::NotPcap(Some(0x0a0d_0d0a)))
        ));
        let mut bytes = file(&[]);
        bytes[20] = 113;
        assert!(matches!(Reader::new(&bytes[..]), Err(Error::LinkType(113))));
        let mut bytes = file(&[(Duration::ZERO, vec![1])]);
        bytes[32..36].fill(0xff);
        let records = read(&bytes);
        assert!(matches!(records[..], [Err(Error::TooLong { record: 0, len: u32::MAX })]));
    }

    #[test]
    fn a_file_cut_anywhere_gives_its_whole_records() {
        let bytes = file(&[(Duration::ZERO, vec![1; 5]), (Duration::ZERO, vec![2; 5])]);
        for cut in 24..bytes.len() {
            let records = read(&bytes[..cut]);
            let whole = (cut - 24) / 21;
            let clean = (cut - 24) % 21 == 0;
            assert_eq!(records.len(), whole + usize::from(!clean));
            assert_eq!(matches!(records.last(), Some(Err(Error::Truncated { .. }))), !clean);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), magic: bool) {
            let mut file = bytes.clone();
            if magic {
                file.splice(..0, super::tests::file(&[]));
            }
            if let Ok(reader) = Reader::new(&file[..]) {
                prop_assert!(reader.count() <= bytes.len() / 16 + 1);
            }
        }
    }
}
