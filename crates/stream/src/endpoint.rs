//! Where a stream leads: the connection methods of ovs(7), as a type.
//!
//! Active: `unix:PATH`, `tcp:HOST:PORT`, `ssl:HOST:PORT`. Passive: `punix:PATH`, `ptcp:PORT[:IP]`, `pssl:PORT[:IP]`. A port left
//! out is the OVSDB port, 6640, or OpenFlow's, 6653, where that is spoken. IPv6 addresses stand in square brackets, with `%INTERFACE` behind a link-local one. A path that
//! begins with `@` is a name in Linux's abstract namespace.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The port that IANA assigned to OVSDB, used where none is given.
pub const OVSDB_PORT: u16 = 6640;

/// The port that IANA assigned to OpenFlow, see [`Endpoint::parse_openflow`].
pub const OPENFLOW_PORT: u16 = 6653;

/// The host part of an active endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A numeric address.
    Ip(IpAddr),
    /// A link-local IPv6 address and the interface it is valid on.
    LinkLocal(Ipv6Addr, String),
    /// A name that has to be looked up.
    Name(String),
}

/// Where to connect or listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Connect to a Unix-domain socket.
    Unix(PathBuf),
    /// Connect by TCP.
    Tcp(Host, u16),
    /// Connect by TLS.
    Ssl(Host, u16),
    /// Listen on a Unix-domain socket.
    PassiveUnix(PathBuf),
    /// Listen for TCP; port 0 lets the system choose.
    PassiveTcp(u16, Option<IpAddr>),
    /// Listen for TLS.
    PassiveSsl(u16, Option<IpAddr>),
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError {
    text: String,
    reason: String,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.reason)
    }
}

impl std::error::Error for EndpointError {}

impl EndpointError {
    /// The errno that the reference answers every malformed name with, and whose text its tools print.
    pub fn errno() -> io::Error {
        rustix::io::Errno::AFNOSUPPORT.into()
    }
}

impl From<EndpointError> for io::Error {
    fn from(_: EndpointError) -> io::Error {
        EndpointError::errno()
    }
}

impl Endpoint {
    /// As [`FromStr`], but where a port left out is OpenFlow's.
    pub fn parse_openflow(text: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::parse_with(text, OPENFLOW_PORT)
    }

    fn parse_with(text: &str, default_port: u16) -> Result<Endpoint, EndpointError> {
        parse(text, default_port).map_err(|reason| EndpointError { text: text.to_owned(), reason })
    }

    /// Whether this endpoint waits for peers instead of calling one.
    pub fn is_passive(&self) -> bool {
        matches!(
            self,
            Endpoint::PassiveUnix(_) | Endpoint::PassiveTcp(..) | Endpoint::PassiveSsl(..)
        )
    }

    /// Whether `text` begins like an endpoint (a known method and a colon), which is how command lines tell a server from a
    /// database name.
    pub fn looks_like_one(text: &str) -> bool {
        METHODS.iter().any(|m| text.strip_prefix(m).is_some_and(|rest| rest.starts_with(':')))
    }

    /// The same endpoint with a relative socket path taken from `dir`.
    #[must_use]
    pub fn in_dir(self, dir: &Path) -> Endpoint {
        let absolute = |path: PathBuf| if is_abstract(&path) { path } else { dir.join(path) };
        match self {
            Endpoint::Unix(path) => Endpoint::Unix(absolute(path)),
            Endpoint::PassiveUnix(path) => Endpoint::PassiveUnix(absolute(path)),
            other => other,
        }
    }
}

/// Whether the path is a name in the abstract namespace.
pub(crate) fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().first() == Some(&b'@')
}

const METHODS: [&str; 6] = ["unix", "tcp", "ssl", "punix", "ptcp", "pssl"];

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::parse_with(text, OVSDB_PORT)
    }
}

fn parse(text: &str, default_port: u16) -> Result<Endpoint, String> {
    let (method, rest) = text.split_once(':').ok_or("missing ':' after the connection method")?;
    Ok(match method {
        "unix" => Endpoint::Unix(path(rest)?),
        "punix" => Endpoint::PassiveUnix(path(rest)?),
        "tcp" | "ssl" => {
            let (host, port) = split_host_port(rest)?;
            let port = if port.is_empty() { default_port } else { parse_port(port)? };
            let host = Host::from_str(host)?;
            if method == "tcp" { Endpoint::Tcp(host, port) } else { Endpoint::Ssl(host, port) }
        }
        "ptcp" | "pssl" => {
            let (port, ip) = rest.split_once(':').unwrap_or((rest, ""));
            let port = if port.is_empty() { default_port } else { parse_port(port)? };
            let ip = if ip.is_empty() { None } else { Some(bind_address(ip)?) };
            if method == "ptcp" {
                Endpoint::PassiveTcp(port, ip)
            } else {
                Endpoint::PassiveSsl(port, ip)
            }
        }
        _ => {
            return Err(format!(
                "unknown connection method \"{method}\"; known: {}",
                METHODS.join(", ")
            ));
        }
    })
}

fn path(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("missing path of the socket".to_owned()),
        _ if text.contains('\0') => Err("the path contains a NUL".to_owned()),
        _ => Ok(PathBuf::from(text)),
    }
}

/// Splits `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT`; the port may be missing, which yields "".
fn split_host_port(text: &str) -> Result<(&str, &str), String> {
    if let Some(inside) = text.strip_prefix('[') {
        let (host, behind) = inside.split_once(']').ok_or("missing ']' after the IPv6 address")?;
        let port = behind.strip_prefix(':').or(behind.is_empty().then_some(""));
        return Ok((host, port.ok_or("expected ':' and a port after ']'")?));
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err("an IPv6 address must stand in square brackets".to_owned())
        }
        Some((_, "")) => Err("port must be specified after ':'".to_owned()),
        Some(both) => Ok(both),
        None => Ok((text, "")),
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    let digits_only = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits_only).ok_or_else(|| format!("bad port number \"{text}\""))
}

fn bind_address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    match bare {
        Some(v6) => v6.parse().map(IpAddr::V6).map_err(|_| format!("bad IPv6 address \"{v6}\"")),
        None => text.parse().map(IpAddr::V4).map_err(|_| format!("bad IP address \"{text}\"")),
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Host, String> {
        if let Ok(ip) = text.parse() {
            return Ok(Host::Ip(ip));
        }
        if let Some((ip, interface)) = text.split_once('%') {
            let ip: Ipv6Addr = ip.parse().map_err(|_| format!("bad IPv6 address \"{ip}\""))?;
            let fits = (1..16).contains(&interface.len()) && !interface.contains(['/', '\0']);
            return if fits {
                Ok(Host::LinkLocal(ip, interface.to_owned()))
            } else {
                Err("bad interface name".to_owned())
            };
        }
        let name_like = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if text.is_empty() || text.len() > 253 || !text.bytes().all(name_like) {
            return Err(format!("bad host name or IP address \"{text}\""));
        }
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(format!("bad IP address \"{text}\"")); // the resolver would read 1.2.3 as 1.2.0.3
        }
        Ok(Host::Name(text.to_owned()))
    }
}

impl Host {
    /// The addresses of this host. A name goes through the system's resolver, which may take seconds: only numeric addresses
    /// (and names in /etc/hosts) are fit for a daemon.
    pub fn resolve(&self, port: u16) -> io::Result<SocketAddr> {
        match self {
            Host::Ip(ip) => Ok(SocketAddr::new(*ip, port)),
            Host::LinkLocal(ip, interface) => {
                let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?;
                let index =
                    index.trim().parse().map_err(|_| io::Error::from(rustix::io::Errno::NODEV))?;
                Ok(SocketAddrV6::new(*ip, port, 0, index).into())
            }
            Host::Name(name) => {
                let found =
                    (name.as_str(), port).to_socket_addrs().ok().and_then(|mut all| all.next());
                found.ok_or_else(EndpointError::errno)
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::LinkLocal(ip, interface) => write!(f, "[{ip}%{interface}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passive = |f: &mut fmt::Formatter<'_>, method, port: &u16, ip: &Option<IpAddr>| match ip
        {
            None => write!(f, "{method}:{port}"),
            Some(IpAddr::V4(ip)) => write!(f, "{method}:{port}:{ip}"),
            Some(IpAddr::V6(ip)) => write!(f, "{method}:{port}:[{ip}]"),
        };
        match self {
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::PassiveUnix(path) => write!(f, "punix:{}", path.display()),
            Endpoint::Tcp(host, port) => write!(f, "tcp:{host}:{port}"),
            Endpoint::Ssl(host, port) => write!(f, "ssl:{host}:{port}"),
            Endpoint::PassiveTcp(port, ip) => passive(f, "ptcp", port, ip),
            Endpoint::PassiveSsl(port, ip) => passive(f, "pssl", port, ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints_parse_and_print() {
        for (text, printed) in [
            ("unix:/run/db.sock", "unix:/run/db.sock"),
            ("punix:x", "punix:x"),
            ("tcp:127.0.0.1:6641", "tcp:127.0.0.1:6641"),
            ("tcp:127.0.0.1", "tcp:127.0.0.1:6640"),
            ("tcp:[::1]:1", "tcp:[::1]:1"),
            ("tcp:[::1]", "tcp:[::1]:6640"),
            ("tcp:[fe80::1%eth0]:1", "tcp:[fe80::1%eth0]:1"),
            ("ssl:central.example:6642", "ssl:central.example:6642"),
            ("ptcp:", "ptcp:6640"),
            ("ptcp:0:127.0.0.1", "ptcp:0:127.0.0.1"),
            ("pssl:6640:[::1]", "pssl:6640:[::1]"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), printed);
            assert!(Endpoint::looks_like_one(text));
        }
        let moved = "punix:db.sock".parse::<Endpoint>().unwrap().in_dir(Path::new("/run/x"));
        assert_eq!(moved.to_string(), "punix:/run/x/db.sock");
    }

    #[test]
    fn what_is_no_endpoint_says_why() {
        for (text, reason) in [
            ("db.sock", "missing ':'"),
            ("foo:bar", "unknown connection method \"foo\""),
            ("unix:", "missing path"),
            ("tcp:", "bad host name"),
            ("tcp:1.2.3.4.5", "bad IP address"),
            ("tcp:::1:1", "square brackets"),
            ("tcp:[::1", "missing ']'"),
            ("tcp:[::1]x", "expected ':'"),
            ("tcp:127.0.0.1:", "port must be specified"),
            ("tcp:127.0.0.1:99999", "bad port number \"99999\""),
            ("tcp:127.0.0.1:+1", "bad port number"),
            ("ptcp:x", "bad port number \"x\""),
            ("ptcp:0:::1", "bad IP address"),
            ("ptcp:0:foo", "bad IP address"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.starts_with(text) && error.contains(reason), "{error}");
        }
        assert!(!Endpoint::looks_like_one("Open_vSwitch"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_printing_round_trips(text in "(p?(unix|tcp|ssl):)?[\\[\\]a-f0-9:.%/@é]{0,20}") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
            }
        }
    }
}
