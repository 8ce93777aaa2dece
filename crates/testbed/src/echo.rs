//! A stream that goes on while something happens: sent, sent back by the other end, and compared as it returns, every byte.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::probe::{TCP_PATIENCE, pattern};
use crate::wait::now;
use crate::{Error, Netns, Result};

/// A TCP connection to something that sends back what it gets.
#[derive(Debug)]
pub struct Echo {
    what: String,
    shared: Arc<Shared>,
    threads: [JoinHandle<io::Result<usize>>; 2],
}

#[derive(Debug, Default)]
struct Shared {
    end: AtomicBool,
    returned: AtomicUsize,
}

impl Echo {
    /// Connects from a namespace and begins to send, at most `rate` bytes a second.
    pub fn start(from: &Netns, to: (Ipv4Addr, u16), rate: usize) -> Result<Self> {
        let what = format!("a stream from {} to {}:{} and back", from.name(), to.0, to.1);
        let connect = || -> io::Result<(TcpStream, TcpStream)> {
            let stream = TcpStream::connect_timeout(&to.into(), TCP_PATIENCE)?;
            stream.set_read_timeout(Some(TCP_PATIENCE))?;
            stream.set_write_timeout(Some(TCP_PATIENCE))?;
            Ok((stream.try_clone()?, stream))
        };
        let (out, back) = from.enter(connect)?.map_err(Error::io(what.clone()))?;
        let shared = Arc::new(Shared::default());
        let [for_out, for_back] = [shared.clone(), shared.clone()];
        let threads = [
            std::thread::spawn(move || send(&out, rate, &for_out.end)),
            std::thread::spawn(move || compare(&back, &for_back.returned)),
        ];
        Ok(Self { what, shared, threads })
    }

    /// Bytes that have come back so far, each as it was sent.
    pub fn returned(&self) -> usize {
        self.shared.returned.load(Ordering::Relaxed)
    }

    /// Ends the stream and waits for the rest of it; how many bytes went both ways.
    pub fn finish(self) -> Result<usize> {
        self.shared.end.store(true, Ordering::Relaxed);
        let [sent, returned] = self.threads.map(|thread| {
            let outcome = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome.map_err(Error::io(self.what.clone()))
        });
        // What came back says more about what went wrong.
        let (returned, sent) = (returned?, sent?);
        if sent == returned {
            return Ok(sent);
        }
        Err(Error::Missing(format!("{}: of {sent} bytes, {returned} came back", self.what)))
    }
}

fn send(mut stream: &TcpStream, rate: usize, end: &AtomicBool) -> io::Result<usize> {
    let pattern = pattern();
    let start = now();
    let mut sent = 0;
    while !end.load(Ordering::Relaxed) {
        let at = sent % pattern.len();
        let piece = &pattern[at..(at + 8192).min(pattern.len())];
        stream.write_all(piece)?;
        sent += piece.len();
        let due = Duration::from_secs_f64(sent as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(now().since(start)));
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(sent)
}

fn compare(mut stream: &TcpStream, returned: &AtomicUsize) -> io::Result<usize> {
    let pattern = pattern();
    let mut buffer = vec![0; 65536];
    let mut total = 0;
    loop {
        let at = total % pattern.len();
        let room = buffer.len().min(pattern.len() - at);
        let n = stream.read(&mut buffer[..room])?;
        if n == 0 {
            return Ok(total);
        }
        if buffer[..n] != pattern[at..at + n] {
            let text = format!("other bytes than were sent among the {n} after {total}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        total += n;
        returned.store(total, Ordering::Relaxed);
    }
}

/// The bytes that a stream of that length consists of.
pub fn bytes(len: usize) -> Vec<u8> {
    pattern().iter().copied().cycle().take(len).collect()
}
