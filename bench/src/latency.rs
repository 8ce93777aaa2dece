//! Round trips: a small request, its answer, the next request, between two guests; idle, and beside a paced stream.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testbed::guide::TwoSites;
use testbed::{Error, Result, wait};

use crate::storm::{SMALL, Storm};

/// Exchanges of one measurement, if time allows.
const EXCHANGES: usize = 4000;
/// How long exchanges go on before they count: until a switch has done for the flow all that it is going to do.
const WARM: Duration = Duration::from_secs(1);
/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long exchanges took. A lost one took for ever.
#[derive(Debug)]
pub(crate) struct Trips {
    /// In order, answered ones alone.
    answered: Vec<Duration>,
    lost: usize,
}

impl Trips {
    /// The time in microseconds that this share of the exchanges did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let all = self.answered.len() + self.lost;
        let rank = (share * all as f64).ceil() as usize;
        self.answered.get(rank.max(1) - 1).map_or(f64::INFINITY, |d| d.as_secs_f64() * 1e6)
    }
}

/// Exchanges small datagrams between the guests for at most `limit`.
pub(crate) fn idle(two: &TwoSites, limit: Duration) -> Result<Trips> {
    let [a, b] = two.sites.each_ref().map(|site| &site.guest);
    let bind = |guest: &testbed::Guest| -> Result<UdpSocket> {
        let socket = guest.ns.enter(|| UdpSocket::bind((guest.address, 0)))?;
        socket.map_err(Error::io("UDP"))
    };
    let (client, server) = (bind(a)?, bind(b)?);
    let io = |e| Error::Io { what: "UDP".to_owned(), source: e };
    client.connect(server.local_addr().map_err(io)?).map_err(io)?;
    client.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    server.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    let stop = AtomicBool::new(false);
    let trips = std::thread::scope(|s| {
        s.spawn(|| answer(&server, &stop));
        let trips = ask(&client, usize::MAX, WARM).and_then(|_| ask(&client, EXCHANGES, limit));
        stop.store(true, Ordering::Relaxed);
        trips
    });
    let trips = trips.map_err(io)?;
    if trips.answered.is_empty() {
        return Err(Error::Missing("not one request was answered".to_owned()));
    }
    if trips.lost > 0 {
        eprintln!("  {} of {} exchanges lost", trips.lost, trips.lost + trips.answered.len());
    }
    Ok(trips)
}

/// The same beside a stream of small datagrams the same way, as many a second for every contender.
pub(crate) fn loaded(two: &TwoSites, limit: Duration) -> Result<Trips> {
    let [a, b] = two.sites.each_ref().map(|site| &site.guest);
    let sink = b.ns.enter(|| UdpSocket::bind((b.address, 0)))?.map_err(Error::io("UDP"))?;
    let port = sink.local_addr().map_err(Error::io("UDP"))?.port();
    let storm = Storm::new(a, b, port, 1)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| storm.flow(LOAD, &stop));
        // Past the first packets, which take the slow path.
        std::thread::sleep(Duration::from_millis(300));
        let trips = idle(two, limit);
        stop.store(true, Ordering::Relaxed);
        trips
    })
}

/// Datagrams a second of the load: a fraction of what every contender can take.
const LOAD: u32 = 20_000;

fn answer(server: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        // A time-out is a look at `stop`.
        if let Ok((n, from)) = server.recv_from(&mut buffer) {
            let _ = server.send_to(&buffer[..n], from);
        }
    }
}

/// At most so many exchanges, for at most so long.
fn ask(client: &UdpSocket, count: usize, limit: Duration) -> std::io::Result<Trips> {
    let mut answered = Vec::with_capacity(EXCHANGES);
    let mut lost = 0;
    let deadline = wait::now() + limit;
    for number in 0..count as u64 {
        let start = wait::now();
        if start >= deadline {
            break;
        }
        let mut request = [0; SMALL];
        request[..8].copy_from_slice(&number.to_be_bytes());
        client.send(&request)?;
        if awaited(client, &request)? {
            answered.push(wait::now().since(start));
        } else {
            lost += 1;
        }
    }
    answered.sort_unstable();
    Ok(Trips { answered, lost })
}

/// Whether the answer came in time. One to an earlier request, given up before, does not count.
fn awaited(client: &UdpSocket, request: &[u8]) -> std::io::Result<bool> {
    let mut buffer = [0; 64];
    loop {
        match client.recv(&mut buffer) {
            Ok(n) if buffer[..n] == *request => return Ok(true),
            Ok(_) => (),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_the_slowest() {
        let answered = (1..=98).map(Duration::from_micros).collect();
        let trips = Trips { answered, lost: 2 };
        assert_eq!(trips.quantile(0.5), 50.0);
        assert_eq!(trips.quantile(0.98), 98.0);
        assert_eq!(trips.quantile(0.99), f64::INFINITY);
        assert_eq!(Trips { answered: vec![Duration::from_micros(7)], lost: 0 }.quantile(0.01), 7.0);
    }

    #[test]
    fn requests_are_answered_over_loopback() {
        let [client, server] = [0, 1].map(|_| UdpSocket::bind(("127.0.0.1", 0)).unwrap());
        client.connect(server.local_addr().unwrap()).unwrap();
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let stop = AtomicBool::new(false);
        let trips = std::thread::scope(|s| {
            s.spawn(|| answer(&server, &stop));
            let trips = ask(&client, EXCHANGES, Duration::from_secs(30));
            stop.store(true, Ordering::Relaxed);
            trips.unwrap()
        });
        assert_eq!((trips.answered.len() + trips.lost, trips.lost), (EXCHANGES, 0));
    }
}
