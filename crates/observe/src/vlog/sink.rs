//! Where lines end: a file that may be on a full disk, a system log that may not be there. Nothing here waits, nothing fails
//! loudly.

use super::level::Facility;
use super::pattern::{Line, Pattern};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The log file.
#[derive(Default)]
pub(super) struct FileSink {
    path: Option<PathBuf>,
    file: Option<File>,
    /// Lines that could not be written since the last that could.
    lost: u64,
    /// Whether the last line in the file lacks its end.
    torn: bool,
}

impl FileSink {
    pub(super) fn set_path(&mut self, path: PathBuf) {
        self.path = Some(path);
        self.file = None;
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn open(&mut self) -> Result<(), String> {
        let Some(path) = &self.path else { return Err("no log file is configured".to_owned()) };
        // Readable by owner and group, as the reference makes it.
        let opened = OpenOptions::new().append(true).create(true).mode(0o660).open(path);
        self.file = None;
        self.file = Some(opened.map_err(|e| stream::strerror(&e))?);
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Writes a line; on a full disk it is lost and counted, and the count is written once there is room again.
    pub(super) fn write(&mut self, mut line: String) {
        let Some(file) = &mut self.file else { return };
        line.push('\n');
        if self.lost > 0 || self.torn {
            let newline = if self.torn { "\n" } else { "" };
            let note = format!(
                "{newline}*** {} log messages lost: the log file could not be written ***\n",
                self.lost
            );
            match file.write(note.as_bytes()) {
                Ok(n) if n == note.len() => (self.lost, self.torn) = (0, false),
                Ok(n) => {
                    self.torn = n > 0;
                    self.lost += 1;
                    return;
                }
                Err(_) => {
                    self.lost += 1;
                    return;
                }
            }
        }
        match file.write(line.as_bytes()) {
            Ok(n) if n == line.len() => {}
            Ok(n) => {
                self.torn = n > 0;
                self.lost += 1;
            }
            Err(_) => self.lost += 1,
        }
    }
}

/// What stands before the pattern's text on the way to a system log (RFC 3164).
pub(super) const SYSLOG_PREFIX: &str = "<%B> %D{%h %e %T} %E %A: ";

/// How long after a failure to reach the system log until it is tried again.
const RETRY: Duration = Duration::from_secs(1);

enum Method {
    Null,
    /// A datagram socket; `/dev/log` is what the C library writes to.
    Unix(PathBuf),
    Udp(SocketAddr),
}

/// The system log.
pub(super) struct SyslogSink {
    method: Method,
    socket: Option<Socket>,
    /// Since when there is nobody to talk to.
    failed: Option<Duration>,
    target: Option<(UdpSocket, SocketAddr)>,
    facility: Option<Facility>,
    target_prefix: Pattern,
    local_prefix: Pattern,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket, SocketAddr),
}

impl SyslogSink {
    /// The method that `OVS_SYSLOG_METHOD` says, else the C library's.
    pub(super) fn from_environment() -> SyslogSink {
        let mut sink = SyslogSink {
            method: Method::Unix("/dev/log".into()),
            socket: None,
            failed: None,
            target: None,
            facility: None,
            target_prefix: Pattern::new("%D{%h %e %T} %E %A: "),
            local_prefix: Pattern::new("%D{%h %e %T} %A: "),
        };
        if let Ok(method) = std::env::var("OVS_SYSLOG_METHOD") {
            let _ = sink.set_method(&method); // an unknown one leaves the default
        }
        sink
    }

    pub(super) fn set_method(&mut self, method: &str) -> Result<(), String> {
        let unsupported = || format!("unsupported syslog method '{method}'");
        self.method = match method.split_once(':') {
            None if method == "libc" => Method::Unix("/dev/log".into()),
            None if method == "null" => Method::Null,
            Some(("unix", path)) if !path.is_empty() => Method::Unix(path.into()),
            Some(("udp", address)) => Method::Udp(address.parse().map_err(|_| unsupported())?),
            _ => return Err(unsupported()),
        };
        (self.socket, self.failed) = (None, None);
        Ok(())
    }

    pub(super) fn set_target(&mut self, address: SocketAddr) {
        self.target = udp(&address).ok().map(|socket| (socket, address));
    }

    pub(super) fn set_facility(&mut self, facility: Facility) {
        self.facility = Some(facility);
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.target.is_some() || !matches!(self.method, Method::Null)
    }

    pub(super) fn write(&mut self, line: &Line<'_>, text: &str) {
        if let Some((socket, address)) = &self.target {
            let datagram = self.datagram(Facility::LOCAL0, &self.target_prefix, line, text);
            let _ = socket.send_to(datagram.as_bytes(), address); // datagrams may be lost anyway
        }
        if self.socket.is_none() && !self.connect(line.wall) {
            return;
        }
        let prefix = if matches!(self.method, Method::Udp(_)) {
            &self.target_prefix
        } else {
            &self.local_prefix
        };
        let datagram = self.datagram(Facility::DAEMON, prefix, line, text);
        let sent = match &self.socket {
            Some(Socket::Unix(socket)) => socket.send(datagram.as_bytes()).map(drop),
            Some(Socket::Udp(socket, address)) => {
                socket.send_to(datagram.as_bytes(), address).map(drop)
            }
            None => Ok(()),
        };
        // A full queue costs this line; anything else means that the receiver has gone.
        if sent.is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock) {
            self.socket = None;
        }
    }

    fn datagram(
        &self,
        facility: Facility,
        prefix: &Pattern,
        line: &Line<'_>,
        text: &str,
    ) -> String {
        let facility = self.facility.unwrap_or(facility);
        let mut out = format!("<{}>", u32::from(facility.0) * 8 + u32::from(line.level.severity()));
        prefix.format(line, &mut out);
        out.push_str(text);
        out
    }

    fn connect(&mut self, now: Duration) -> bool {
        if self.failed.is_some_and(|failed| now.saturating_sub(failed) < RETRY) {
            return false;
        }
        let socket = match &self.method {
            Method::Null => return false,
            Method::Unix(path) => unix(path).map(Socket::Unix),
            Method::Udp(address) => udp(address).map(|socket| Socket::Udp(socket, *address)),
        };
        self.failed = socket.is_err().then_some(now);
        self.socket = socket.ok();
        self.socket.is_some()
    }
}

fn unix(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

fn udp(to: &SocketAddr) -> io::Result<UdpSocket> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
