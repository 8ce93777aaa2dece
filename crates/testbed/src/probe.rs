//! Traffic that proves something: echo requests, TCP streams whose every byte is checked, UDP datagrams of all sizes.
//!
//! Sockets are opened by threads inside the namespaces, so nothing but the kernel is needed at either end.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use base::Instant;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrV4, SocketType, ipproto, recv, sendto, socket,
};

use crate::exec::timespec;
use crate::wait::now;
use crate::{Error, Guest, Netns, Result};

/// How to ping.
#[derive(Clone, Copy, Debug)]
pub struct Ping {
    /// How many echo requests.
    pub count: u16,
    /// Between two of them.
    pub interval: Duration,
    /// How long to wait for answers after the last one.
    pub patience: Duration,
    /// Bytes after the ICMP header.
    pub size: usize,
}

impl Default for Ping {
    fn default() -> Self {
        Self {
            count: 20,
            interval: Duration::from_millis(20),
            patience: Duration::from_secs(3),
            size: 56,
        }
    }
}

/// What came of it: one round trip per request, `None` where no answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echoes(pub Vec<Option<Duration>>);

impl Echoes {
    /// Requests that were not answered.
    pub fn lost(&self) -> usize {
        self.0.iter().filter(|rtt| rtt.is_none()).count()
    }

    /// The first request's round trip.
    pub fn first(&self) -> Option<Duration> {
        self.0.first().copied().flatten()
    }

    /// How long after the first request the first answer to any of them came, if they were sent `interval` apart.
    pub fn silence(&self, interval: Duration) -> Option<Duration> {
        let answered = (0u32..).zip(&self.0).filter_map(|(i, rtt)| Some(interval * i + (*rtt)?));
        answered.min()
    }

    /// The median of the answered requests' round trips.
    pub fn median(&self) -> Option<Duration> {
        let mut answered: Vec<Duration> = self.0.iter().flatten().copied().collect();
        answered.sort_unstable();
        answered.get(answered.len() / 2).copied()
    }
}

impl std::fmt::Display for Echoes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |d: Option<Duration>| {
            d.map_or("never".to_owned(), |d| format!("{:.2} ms", d.as_secs_f64() * 1e3))
        };
        let (sent, lost) = (self.0.len(), self.lost());
        write!(
            f,
            "{sent} sent, {lost} lost, first after {}, median {}",
            ms(self.first()),
            ms(self.median())
        )
    }
}

/// Pings `to` from a namespace.
pub fn ping(from: &Netns, to: Ipv4Addr, how: Ping) -> Result<Echoes> {
    let failed = || format!("cannot ping {to} from {}", from.name());
    from.enter(|| Pinger::new(to, how)?.run())?.map_err(|e| Error::Io { what: failed(), source: e })
}

/// Pings until an answer comes, whichever request it answers: how long that took since the first. `None`: none came.
pub fn first_answer(from: &Netns, to: Ipv4Addr, how: Ping) -> Result<Option<Duration>> {
    let failed = || format!("cannot ping {to} from {}", from.name());
    let echoes = from
        .enter(|| Pinger { one_will_do: true, ..Pinger::new(to, how)? }.run())?
        .map_err(|e| Error::Io { what: failed(), source: e })?;
    Ok(echoes.silence(how.interval))
}

/// Echo requests carry this identifier; a namespace has one pinger at a time on each thread's own socket.
const ECHO_ID: u16 = 0xfe77;

struct Pinger {
    socket: OwnedFd,
    to: Ipv4Addr,
    how: Ping,
    sent: Vec<Instant>,
    rtts: Vec<Option<Duration>>,
    missing: usize,
    /// Whether the first answer ends it.
    one_will_do: bool,
}

impl Pinger {
    fn new(to: Ipv4Addr, how: Ping) -> std::io::Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
        let (sent, rtts) = (Vec::new(), Vec::new());
        Ok(Self { socket, to, how, sent, rtts, missing: 0, one_will_do: false })
    }

    fn run(mut self) -> std::io::Result<Echoes> {
        let start = now();
        for sequence in 0..self.how.count {
            self.receive_until(start + self.how.interval * u32::from(sequence), false)?;
            if self.is_content() {
                break;
            }
            self.send(sequence)?;
        }
        self.receive_until(now() + self.how.patience, true)?;
        Ok(Echoes(self.rtts))
    }

    fn send(&mut self, sequence: u16) -> std::io::Result<()> {
        let packet = echo_request(sequence, self.how.size);
        self.sent.push(now());
        self.rtts.push(None);
        self.missing += 1;
        let to = SocketAddrV4::new(self.to, 0);
        match sendto(&self.socket, &packet, SendFlags::empty(), &to) {
            // No route, no neighbour: a lost request, which is an answer to the question asked.
            Ok(_) | Err(rustix::io::Errno::HOSTUNREACH | rustix::io::Errno::NETUNREACH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes answers in until `deadline`, or, `when_complete`, until none is missing.
    fn receive_until(&mut self, deadline: Instant, when_complete: bool) -> std::io::Result<()> {
        let mut buffer = [0; 65536];
        while !(when_complete && self.missing == 0 || self.is_content()) {
            let left = deadline.since(now());
            if left.is_zero() {
                break;
            }
            let readable =
                poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timespec(left)))?;
            if readable > 0 {
                match recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                    Ok((_, n)) => self.note(buffer.get(..n).unwrap_or(&[])),
                    Err(rustix::io::Errno::HOSTUNREACH | rustix::io::Errno::NETUNREACH) => (),
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(())
    }

    fn is_content(&self) -> bool {
        self.one_will_do && self.missing < self.rtts.len()
    }

    fn note(&mut self, packet: &[u8]) {
        let Some(sequence) = echo_reply(packet, self.to) else { return };
        let index = usize::from(sequence);
        let (Some(sent), Some(rtt)) = (self.sent.get(index), self.rtts.get_mut(index)) else {
            return;
        };
        if rtt.is_none() {
            *rtt = Some(now().since(*sent));
            self.missing -= 1;
        }
    }
}

/// An ICMP echo request (RFC 792) with its checksum.
fn echo_request(sequence: u16, size: usize) -> Vec<u8> {
    let mut packet = vec![8, 0, 0, 0];
    packet.extend(ECHO_ID.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend((0..size).map(|i| (i % 251) as u8));
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The sequence number of an echo reply of ours from `from`, in an IPv4 packet as a raw socket delivers it.
fn echo_reply(packet: &[u8], from: Ipv4Addr) -> Option<u16> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let icmp = packet.get(header..)?;
    let is_reply = icmp.first() == Some(&0) && icmp.get(4..6)? == ECHO_ID.to_be_bytes();
    let is_from = packet.get(12..16)? == from.octets();
    let sequence = icmp.get(6..8)?.try_into().ok()?;
    (is_reply && is_from).then(|| u16::from_be_bytes(sequence))
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | c.get(1).map_or(0, |&b| u32::from(b)));
    let mut sum = words.fold(0u32, |a, b| a.wrapping_add(b));
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// How long TCP may take to connect, and to move on at all.
pub(crate) const TCP_PATIENCE: Duration = Duration::from_secs(8);

/// Sends `bytes` over a TCP connection from one guest to another and back again, and checks every one of them. Answers
/// with the time from connecting to the last byte.
pub fn tcp(from: &Guest, to: &Guest, bytes: usize) -> Result<Duration> {
    tcp_between(&from.ns, (&to.ns, to.address), bytes)
}

/// The same between two namespaces.
pub fn tcp_between(
    from: &Netns,
    (server_ns, address): (&Netns, impl Into<IpAddr>),
    bytes: usize,
) -> Result<Duration> {
    let address = address.into();
    let what = |step: &str| format!("TCP from {} to {address}: {step}", from.name());
    let listener = server_ns
        .enter(|| TcpListener::bind((address, 0)))?
        .map_err(Error::io(what("cannot listen")))?;
    let at = listener.local_addr().map_err(Error::io(what("no address")))?;
    std::thread::scope(|s| {
        let server = s.spawn(move || answer(&listener, bytes));
        let started = now();
        let client = from.enter(|| ask(at, bytes))?;
        if client.is_err() {
            // Nobody may come any more: a connection of our own ends the server's wait.
            let _ = server_ns.enter(|| TcpStream::connect_timeout(&at, TCP_PATIENCE));
        }
        let took = now().since(started);
        let served = server.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        client.map_err(Error::io(what("client")))?;
        served.map_err(Error::io(what("server")))?;
        Ok(took)
    })
}

fn ask(at: SocketAddr, bytes: usize) -> std::io::Result<()> {
    let stream = patient(TcpStream::connect_timeout(&at, TCP_PATIENCE)?)?;
    send_pattern(&stream, bytes)?;
    stream.shutdown(Shutdown::Write)?;
    expect_pattern(&stream, bytes)
}

fn answer(listener: &TcpListener, bytes: usize) -> std::io::Result<()> {
    let (stream, _) = listener.accept()?;
    let stream = patient(stream)?;
    expect_pattern(&stream, bytes)?;
    send_pattern(&stream, bytes)
}

fn patient(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_read_timeout(Some(TCP_PATIENCE))?;
    stream.set_write_timeout(Some(TCP_PATIENCE))?;
    Ok(stream)
}

/// A byte sequence in which a lost, repeated or moved piece shows: its period is a prime larger than any segment.
pub(crate) fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut x = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 32) as u8
        };
        (0..100_003).map(|_| next()).collect()
    })
}

fn send_pattern(mut stream: &TcpStream, bytes: usize) -> std::io::Result<()> {
    let pattern = pattern();
    let mut left = bytes;
    while left > 0 {
        let piece = &pattern[..left.min(pattern.len())];
        stream.write_all(piece)?;
        left -= piece.len();
    }
    Ok(())
}

fn expect_pattern(mut stream: &TcpStream, bytes: usize) -> std::io::Result<()> {
    let pattern = pattern();
    let mut buffer = vec![0; pattern.len()];
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(pattern.len());
        stream.read_exact(&mut buffer[..piece])?;
        if buffer[..piece] != pattern[..piece] {
            let text =
                format!("the data differ within the {piece} bytes after byte {}", bytes - left);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, text));
        }
        left -= piece;
    }
    Ok(())
}

/// Payload sizes of [`udp`]: empty, small, odd, a full packet, and some that IP must fragment.
const UDP_SIZES: [usize; 10] = [0, 1, 18, 63, 64, 511, 1400, 1422, 1473, 4000];

/// How long a datagram's echo may take.
const UDP_PATIENCE: Duration = Duration::from_secs(2);

/// Sends datagrams of many sizes from one guest to another, one after the other, each echoed and compared. Answers with the
/// sizes that did not come back.
pub fn udp(from: &Guest, to: &Guest) -> Result<Vec<usize>> {
    udp_between((&from.ns, from.address), (&to.ns, to.address))
}

/// The same between two namespaces.
pub fn udp_between(from: (&Netns, Ipv4Addr), to: (&Netns, Ipv4Addr)) -> Result<Vec<usize>> {
    let (client, server) = udp_sockets(from, to)?;
    let payloads = UDP_SIZES.map(|size| pattern()[..size].to_vec());
    let lost = payloads.iter().filter(|payload| !echoed(&client, &server, payload)).map(Vec::len);
    Ok(lost.collect())
}

/// Two sockets, the first connected to the second.
fn udp_sockets<A: Into<IpAddr>>(
    from: (&Netns, A),
    to: (&Netns, A),
) -> Result<(UdpSocket, UdpSocket)> {
    let bind = |(ns, address): (&Netns, A)| -> Result<UdpSocket> {
        let what = format!("UDP in {}", ns.name());
        let address = SocketAddr::new(address.into(), 0);
        let socket = ns.enter(|| UdpSocket::bind(address))?.map_err(Error::io(what.clone()))?;
        socket.set_read_timeout(Some(UDP_PATIENCE)).map_err(Error::io(what))?;
        Ok(socket)
    };
    let (client, server) = (bind(from)?, bind(to)?);
    let connected = server.local_addr().and_then(|at| client.connect(at));
    connected.map_err(Error::io("UDP"))?;
    Ok((client, server))
}

/// Packets that may be on their way at a time, so that no buffer on it overflows.
const ON_THE_WAY: usize = 32;

/// Datagrams to send.
#[derive(Clone, Copy, Debug)]
pub struct Datagrams<'a> {
    /// Bytes of their payloads, in turn.
    pub sizes: &'a [usize],
    /// How many the sender hands to its kernel at a time, as one super-packet; if more than one, all are of the same size.
    pub joined: usize,
    /// How many in all.
    pub count: usize,
}

/// Sends datagrams one way, a few at a time. Each must come, once, in its turn, with its own bytes.
pub fn datagrams<A: Into<IpAddr>>(
    from: (&Netns, A),
    to: (&Netns, A),
    Datagrams { sizes, joined, count }: Datagrams<'_>,
) -> Result<()> {
    let (sender, receiver) = udp_sockets(from, to)?;
    if joined > 1 {
        sys::udp_segment::set(sender.as_fd(), sizes[0])
            .map_err(Error::io("cannot send UDP super-packets"))?;
    }
    let pattern = pattern();
    // Datagrams that follow one another begin at different places of the pattern.
    let payload = |n: usize| {
        let size = sizes[n % sizes.len()];
        &pattern[n * 31 % (pattern.len() - size)..][..size]
    };
    let packets = |n: usize| payload(n).len().div_ceil(1400);
    let mut buffer = vec![0; 65536];
    let mut sent = 0;
    for n in 0..count {
        let failed = || format!("datagram {n} of {count}, of {} bytes", payload(n).len());
        let on_the_way = |sent: usize| (n..sent).map(packets).sum::<usize>();
        while sent == n || sent < count && on_the_way(sent + joined) <= ON_THE_WAY {
            let next = (sent + joined).min(count);
            let payloads: Vec<&[u8]> = (sent..next).map(payload).collect();
            sender.send(&payloads.concat()).map_err(Error::io(failed()))?;
            sent = next;
        }
        let len = receiver.recv(&mut buffer).map_err(Error::io(failed()))?;
        if buffer[..len] != *payload(n) {
            let which = (0..sent).find(|m| buffer[..len] == *payload(*m));
            let which = which.map_or("one of nobody's".to_owned(), |m| format!("datagram {m}"));
            let text = format!("{}: instead of it came {which}, of {len} bytes", failed());
            return Err(Error::Missing(text));
        }
    }
    // Nothing comes twice.
    receiver.set_nonblocking(true).map_err(Error::io("UDP"))?;
    match receiver.recv(&mut buffer) {
        Ok(len) => Err(Error::Missing(format!("a datagram too many, of {len} bytes"))),
        Err(_) => Ok(()),
    }
}

fn echoed(client: &UdpSocket, server: &UdpSocket, payload: &[u8]) -> bool {
    let mut buffer = vec![0; 65536];
    let there = client.send(payload).is_ok()
        && server.recv_from(&mut buffer).is_ok_and(|(n, back)| {
            buffer[..n] == *payload && server.send_to(payload, back).is_ok()
        });
    there && client.recv(&mut buffer).is_ok_and(|n| buffer[..n] == *payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_sums_to_zero() {
        for size in [0, 1, 56, 1471] {
            assert_eq!(checksum(&echo_request(7, size)), 0);
        }
    }

    #[test]
    fn an_echo_reply_is_known_by_source_and_identifier() {
        let from = Ipv4Addr::new(192, 168, 1, 2);
        let mut packet = vec![0x45; 20];
        packet[12..16].copy_from_slice(&from.octets());
        packet.extend(echo_request(9, 4));
        assert_eq!(echo_reply(&packet, from), None, "a request is no reply");
        packet[20] = 0;
        assert_eq!(echo_reply(&packet, from), Some(9));
        assert_eq!(echo_reply(&packet, Ipv4Addr::new(192, 168, 1, 3)), None);
        for cut in 0..28 {
            assert_eq!(echo_reply(&packet[..cut], from), None, "cut at {cut}");
        }
    }
}
