//! Records: a line `OVSDB JSON <length> <SHA-1>`, then `<length>` bytes of JSON that end in a newline (ovsdb(5)).

use std::io::{self, Write};

use jsonrpc::Json;
use sha1::{Digest, Sha1};

use super::storage::Storage;
use crate::uuid::hex_digit;
use crate::{Error, ErrorKind};

/// What the magic word in a file's header says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A database that one server keeps.
    Standalone,
    /// A database that several servers keep together.
    Clustered,
}

/// No header line is longer.
const HEADER_MAX: usize = 128;

/// Appends a record with `body` (without its newline) to `out`.
pub(crate) fn write_record(body: &str, out: &mut Vec<u8>) {
    let mut hash = Sha1::new();
    hash.update(body.as_bytes());
    hash.update(b"\n");
    write_header(body.len() + 1, hash, out);
    out.extend_from_slice(body.as_bytes());
    out.push(b'\n');
}

/// Writes a record whose body is too large to be held in memory: `body` is called twice and must write the same.
pub(crate) fn stream_record(
    out: &mut dyn Write,
    mut body: impl FnMut(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut measure = Measure { hash: Sha1::new(), len: 0 };
    body(&mut measure)?;
    measure.write_all(b"\n")?;
    let mut header = Vec::with_capacity(HEADER_MAX);
    write_header(measure.len, measure.hash, &mut header);
    out.write_all(&header)?;
    body(out)?;
    out.write_all(b"\n")
}

/// Measures and hashes what is written to it.
struct Measure {
    hash: Sha1,
    len: usize,
}

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.len += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_header(len: usize, hash: Sha1, out: &mut Vec<u8>) {
    out.extend_from_slice(b"OVSDB JSON ");
    out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
    let mut end = [b' '; 1 + 40 + 1];
    for (digits, byte) in end[1..].chunks_exact_mut(2).zip(hash.finalize()) {
        digits.copy_from_slice(&hex(&byte));
    }
    end[41] = b'\n';
    out.extend_from_slice(&end);
}

fn hex(byte: &u8) -> [u8; 2] {
    [hex_digit(byte >> 4), hex_digit(*byte)]
}

struct Header<'a> {
    kind: FileKind,
    body_len: u64,
    hash: &'a str,
}

fn parse_header(line: &str) -> Option<Header<'_>> {
    let mut words = line.split(' ');
    let (Some("OVSDB"), Some(magic), Some(len), Some(hash), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    let kind = match magic {
        "JSON" => FileKind::Standalone,
        "CLUSTER" => FileKind::Clustered,
        _ => return None,
    };
    let number = !len.is_empty() && len.bytes().all(|c| c.is_ascii_digit());
    let body_len = len.parse().ok().filter(|len| number && *len > 0)?;
    (hash.len() == 40 && hash.bytes().all(|c| c.is_ascii_hexdigit())).then_some(Header {
        kind,
        body_len,
        hash,
    })
}

/// Reads the records of a file from its beginning.
pub struct RecordReader<'a> {
    storage: &'a mut dyn Storage,
    name: &'a str,
    offset: u64,
    len: u64,
}

impl<'a> RecordReader<'a> {
    /// A reader of `storage`, which the user calls `name`. Refuses what does not begin like a database file.
    pub fn new(storage: &'a mut dyn Storage, name: &'a str) -> Result<(Self, FileKind), Error> {
        let len =
            storage.size().map_err(|error| Error::io(format!("{name}: read failed"), &error))?;
        let mut reader = Self { storage, name, offset: 0, len };
        let problem =
            |details: &str| Err(Error::new(ErrorKind::Ovsdb, format!("{name}: {details}")));
        if len == 0 {
            return problem("cannot identify file type");
        }
        let line = reader.line()?;
        match line.as_deref().and_then(parse_header) {
            Some(header) => Ok((reader, header.kind)),
            None => problem("unexpected file format"),
        }
    }

    /// Where the next record begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record, `None` at the end. An error leaves the reader where the bad record begins.
    pub fn next_record(&mut self) -> Result<Option<Json>, Error> {
        self.next_of(FileKind::Standalone)
    }

    /// As [`RecordReader::next_record`], of a clustered database's file.
    pub fn next_clustered_record(&mut self) -> Result<Option<Json>, Error> {
        self.next_of(FileKind::Clustered)
    }

    fn next_of(&mut self, kind: FileKind) -> Result<Option<Json>, Error> {
        if self.offset >= self.len {
            return Ok(None);
        }
        let name = self.name;
        let line = self.line()?.unwrap_or_default();
        let Some(header) = parse_header(&line) else {
            let shown: String = line.chars().take(HEADER_MAX).collect();
            let details =
                format!("{name}: parse error at offset {} in header line \"{shown}\"", self.offset);
            return Err(Error::new(ErrorKind::Syntax, details));
        };
        if header.kind != kind {
            let details = match header.kind {
                FileKind::Clustered => "cannot apply this operation to clustered database file",
                FileKind::Standalone => "not a clustered database",
            };
            return Err(Error::new(ErrorKind::Ovsdb, format!("{name}: {details}")));
        }
        let start = self.offset + line.len() as u64 + 1;
        let body = self.body(start, header.body_len)?;
        let place = format!("{name}: {} bytes starting at offset {start}", body.len());
        let actual: String = Sha1::digest(&body).iter().flat_map(hex).map(char::from).collect();
        if !actual.eq_ignore_ascii_case(header.hash) {
            let details =
                format!("{place} have SHA-1 hash {actual} but should have hash {}", header.hash);
            return Err(Error::new(ErrorKind::Syntax, details));
        }
        let json = parse_body(&body, &place)?;
        self.offset = start + body.len() as u64;
        Ok(Some(json))
    }

    /// How many records seem to begin behind the present offset, where a bad one is: what ignoring the rest loses.
    pub(crate) fn count_abandoned(&mut self) -> u64 {
        const MARK: &[u8] = b"\nOVSDB JSON ";
        let (mut count, mut offset) = (0, self.offset);
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n) = self.storage.read_at(offset, &mut buffer) {
            count +=
                buffer[..n].windows(MARK.len()).filter(|window| *window == MARK).count() as u64;
            if n < buffer.len() {
                break;
            }
            // A mark may lie across two blocks, but is not counted twice.
            offset += (n - MARK.len() + 1) as u64;
        }
        count
    }

    fn body(&mut self, start: u64, len: u64) -> Result<Vec<u8>, Error> {
        let context =
            format!("{}: error reading {len} bytes starting at offset {start}", self.name);
        // Asking for the memory only after knowing that the file is that long.
        let size = usize::try_from(len)
            .ok()
            .filter(|_| start.checked_add(len).is_some_and(|end| end <= self.len));
        let Some(size) = size else {
            return Err(Error::new(ErrorKind::Io, context).with_os_error("End of file"));
        };
        let mut body = vec![0; size];
        match self.storage.read_at(start, &mut body) {
            Ok(n) if n == size => Ok(body),
            Ok(_) => Err(Error::new(ErrorKind::Io, context).with_os_error("End of file")),
            Err(error) => Err(Error::io(context, &error)),
        }
    }

    /// The line at the present offset, without its newline and not longer than a header may be.
    fn line(&mut self) -> Result<Option<String>, Error> {
        let mut buffer = [0; HEADER_MAX];
        let n = self
            .storage
            .read_at(self.offset, &mut buffer)
            .map_err(|error| Error::io(format!("{}: read failed", self.name), &error))?;
        let line = buffer[..n].split(|c| *c == b'\n').next().filter(|_| n > 0);
        Ok(line.map(|line| String::from_utf8_lossy(line).into_owned()))
    }
}

fn parse_body(body: &[u8], place: &str) -> Result<Json, Error> {
    let json = Json::parse_bytes(body).map_err(|error| {
        Error::new(ErrorKind::Syntax, format!("{place} are not valid JSON ({error})"))
    })?;
    match json {
        Json::Object(_) => Ok(json),
        _ => Err(Error::new(ErrorKind::Syntax, format!("{place} are not a JSON object"))),
    }
}
