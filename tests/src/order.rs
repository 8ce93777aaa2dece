//! Order: numbered datagrams, while the flow goes to the kernel and comes back from there, again and again.
//!
//! # What
//! A [`Stream`] sends datagrams that carry their number, at rates and sizes that change all the time: one by one and in bursts, and
//! now and then what the kernel's programs leave to the switch's threads: super-packets, and datagrams that IP has to fragment.
//! Never are more on their way than any buffer there holds, so that each has to arrive, once, and in its turn.
//!
//! The switch's clock is put forward meanwhile: what has closed itself too often would rest for seconds.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use testbed::guide::{Flavor, TwoSites};
use testbed::{Guest, Host, wait};

use crate::support::{OneBridge, host_state, ok, ours, plan, programs};

/// How often the kernel is to take a flow over while a test lasts.
const TAKEN: u64 = 15;
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Datagrams that may be on their way.
const WINDOW: u32 = 48;
/// Payloads: the smallest that there is, another, one as long as the tunnel allows, and one that is too long for it.
const SIZES: [usize; 3] = [4, 100, 1422];
const TOO_LONG: usize = 3000;
/// Datagrams of a super-packet, and their size.
const JOINED: (u32, usize) = (8, 200);
/// A datagram that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// From one guest to another.
struct Stream {
    from: UdpSocket,
    to: UdpSocket,
    sent: AtomicU32,
    received: AtomicU32,
    /// A different course for each.
    seed: u32,
}

impl Stream {
    fn new(from: &Guest, to: &Guest, seed: u32) -> Self {
        let bind = |guest: &Guest| {
            let bound = ok(guest.ns.enter(|| UdpSocket::bind((guest.address, 0))));
            bound.expect("a socket")
        };
        let (sender, receiver) = (bind(from), bind(to));
        sender.connect(receiver.local_addr().expect("an address")).expect("connected");
        receiver.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let (sent, received) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { from: sender, to: receiver, sent, received, seed }
    }

    /// Sends until told to stop.
    fn send(&self, stop: &AtomicBool) {
        let mut dice = self.seed;
        while !stop.load(Ordering::Relaxed) {
            // Numerical Recipes' generator; its upper bits are good enough for this.
            let mut roll = |sides: u32| {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (dice >> 8) % sides
            };
            match roll(400) {
                0 => self.send_fragmented(),
                1 => self.send_joined(),
                _ => {
                    let size = SIZES[roll(3) as usize];
                    (0..=roll(16)).for_each(|_| self.send_one(size));
                }
            }
            let pause = [0, 0, 20, 300][roll(4) as usize];
            if pause > 0 {
                std::thread::sleep(Duration::from_micros(pause));
            }
        }
    }

    fn send_one(&self, size: usize) {
        let mut payload = vec![0; size];
        let number = self.next(1);
        payload[..4].copy_from_slice(&number.to_be_bytes());
        self.from.send(&payload).expect("sent");
    }

    /// One that IP has to fragment. Fragments are flows of their own, whose packets other flows' may overtake; so it goes alone.
    fn send_fragmented(&self) {
        self.await_room(WINDOW);
        self.send_one(TOO_LONG);
        self.await_room(WINDOW);
    }

    fn send_joined(&self) {
        let (count, size) = JOINED;
        let first = self.next(count);
        let mut payload = vec![0; count as usize * size];
        for (datagram, number) in payload.chunks_mut(size).zip(first..) {
            datagram[..4].copy_from_slice(&number.to_be_bytes());
        }
        sys::udp_segment::set(self.from.as_fd(), size).expect("super-packets");
        self.from.send(&payload).expect("sent");
        sys::udp_segment::set(self.from.as_fd(), 0).expect("super-packets");
    }

    /// Numbers for so many, as soon as there is room for them.
    fn next(&self, count: u32) -> u32 {
        self.await_room(count);
        let number = self.sent.load(Ordering::Relaxed);
        self.sent.store(number.wrapping_add(count), Ordering::Relaxed);
        number
    }

    /// Waits until so many more may be on their way. If something is lost, the receiver says so.
    fn await_room(&self, count: u32) {
        let sent = self.sent.load(Ordering::Relaxed);
        let begun = wait::now();
        while sent - self.received.load(Ordering::Relaxed) + count > WINDOW
            && wait::now().since(begun) < PATIENCE
        {
            std::thread::yield_now();
        }
    }

    /// Receives all. Says what was wrong, if anything was.
    fn receive(&self, stop: &AtomicBool) -> Result<u32, String> {
        let mut buffer = [0; TOO_LONG];
        let mut expected = 0;
        loop {
            match self.to.recv(&mut buffer) {
                Ok(_) => {
                    let number = buffer.first_chunk().map_or(u32::MAX, |b| u32::from_be_bytes(*b));
                    if number != expected {
                        return Err(format!("instead of datagram {expected} came {number}"));
                    }
                    expected += 1;
                    self.received.store(expected, Ordering::Relaxed);
                }
                Err(_) if stop.load(Ordering::Relaxed) => {
                    let sent = self.sent.load(Ordering::Relaxed);
                    let all = sent == expected;
                    return all.then_some(sent).ok_or(format!("{expected} of {sent} came"));
                }
                Err(error) => return Err(format!("datagram {expected}: {error}")),
            }
        }
    }
}

/// How often flows of a host have been left to the kernel.
fn taken(host: &Host) -> u64 {
    let text = ok(host.appctl("coverage/read-counter offload_opened"));
    text.trim().parse().expect("a number")
}

/// Streams flow until the kernel has taken flows over often enough on each host.
#[track_caller]
fn assert_order(hosts: &[&Host], streams: &[Stream]) {
    let stop = AtomicBool::new(false);
    let results: Vec<_> = std::thread::scope(|scope| {
        let receivers: Vec<_> = streams
            .iter()
            .map(|stream| {
                scope.spawn(|| stream.send(&stop));
                scope.spawn(|| stream.receive(&stop))
            })
            .collect();
        let enough = wait::until("the kernel to take flows over", LIMIT, || {
            for host in hosts {
                ok(host.appctl("time/warp 9000"));
            }
            let failed = receivers.iter().any(|receiver| receiver.is_finished());
            (failed || hosts.iter().all(|host| taken(host) >= TAKEN)).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        let joined = receivers.into_iter().map(|r| r.join().expect("no panic"));
        joined.chain([enough.map(|()| 0).map_err(|e| e.to_string())]).collect()
    });
    let state = || hosts.iter().map(|host| host_state(host)).collect::<String>();
    let wrong: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{}", state());
}

#[test]
fn datagrams_stay_in_order_across_the_tunnel() {
    if !ours() {
        return;
    }
    let flavor = Flavor::Switch(programs());
    let two = ok(TwoSites::build(&plan(flavor.clone(), flavor)));
    let [a, b] = &two.sites;
    let streams = [Stream::new(&a.guest, &b.guest, 1), Stream::new(&b.guest, &a.guest, 2)];
    assert_order(&[&a.host, &b.host], &streams);
}

#[test]
fn datagrams_stay_in_order_between_guests_of_one_host() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    assert_order(&[&net.host], &[Stream::new(a, b, 3), Stream::new(b, a, 4)]);
}

/// With several receiving sockets the filter is before each of them; and if several workers have these, all must have cleared theirs.
#[test]
fn datagrams_stay_in_order_with_several_queues_and_workers() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    ok(net.host.vsctl(
        "set open . other_config:pmd-cpu-mask=0x3 \
         -- set interface tap0 options:n_rxq=2 -- set interface tap1 options:n_rxq=2",
    ));
    net.assert_connected();
    let streams = [(a, b, 5), (a, b, 6), (b, a, 7)].map(|(a, b, seed)| Stream::new(a, b, seed));
    assert_order(&[&net.host], &streams);
}

/// More than workers can do, so that they never hold nothing of it: what is lost is lost, but nothing overtakes.
#[test]
fn a_storm_stays_in_order_when_the_kernel_takes_it_over() {
    const JOINED: usize = 60;
    const SIZE: usize = 64;
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    net.assert_connected();
    // Its kernel cuts what is joined before it leaves: nobody sends single datagrams faster.
    ok(a.offloads_off());
    let storm = Stream::new(a, b, 0);
    let stop = AtomicBool::new(false);
    let send = || {
        sys::udp_segment::set(storm.from.as_fd(), SIZE).expect("super-packets");
        let mut payload = vec![0; JOINED * SIZE];
        for first in (0..u32::MAX).step_by(JOINED) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            for (datagram, number) in payload.chunks_mut(SIZE).zip(first..) {
                datagram[..4].copy_from_slice(&number.to_be_bytes());
            }
            // Where there is no room for all of them, others have their turn.
            let _ = storm.from.send(&payload);
        }
    };
    let receive = || {
        let (mut buffer, mut last) = ([0; SIZE], None);
        while let Ok(len) = storm.to.recv(&mut buffer) {
            let number = buffer[..len].first_chunk().map(|b| u32::from_be_bytes(*b));
            assert!(number > last, "{number:?} behind {last:?}");
            last = number;
        }
        last
    };
    let before = taken(&net.host);
    let (arrived, outcome) = std::thread::scope(|scope| {
        let sender = scope.spawn(send);
        let receiver = scope.spawn(receive);
        let outcome = wait::until("the kernel to take the storm over", LIMIT, || {
            (taken(&net.host) > before || receiver.is_finished()).then_some(())
        });
        // What comes behind is in order as well.
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        sender.join().expect("no panic");
        (receiver.join(), outcome)
    });
    assert!(arrived.expect("in order").is_some(), "{}", host_state(&net.host));
    assert!(outcome.is_ok(), "{outcome:?}\n{}", host_state(&net.host));
}
