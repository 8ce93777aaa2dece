use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use packet::wire::Header;
use packet::{Buf, Csum, Gso, GsoKind, Packet};
use vhost::frontend::{BUFFERS, Driver, FrontEnd, GUEST, Place};
use vhost::message::number;
use vhost::ring::Segment;

use super::*;
use crate::vnet::tests::tcp4;
use crate::{Pool, Received};

const PATIENCE: Duration = Duration::from_secs(10);
const FEATURES: Features = Features::of(&[
    bit::VERSION_1,
    bit::MRG_RXBUF,
    bit::CSUM,
    bit::GUEST_CSUM,
    bit::GUEST_TSO4,
    bit::GUEST_TSO6,
    bit::HOST_TSO4,
]);

/// A port, and what it tells of itself.
struct Bench {
    port: VhostUser,
    news: Receiver<()>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tell, news) = channel();
        let config = Config { mode, path: dir.path().join("vm0"), retries: RETRIES };
        let notify: Notify = Arc::new(move |name| {
            assert_eq!(name, "vm0");
            let _ = tell.send(());
        });
        let port = VhostUser::open("vm0", config, [2; 6], &Clock::real(), notify).unwrap();
        Self { port, news, dir }
    }

    /// Waits until the port's status is so.
    fn until(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        while !condition(&self.port.status().unwrap()) {
            self.news.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("in vain for {what}"));
        }
    }

    /// A guest with `pairs` queue pairs that runs.
    fn plug_in(&self, socket: UnixStream, features: Features, pairs: u16) -> FrontEnd<UnixStream> {
        let mut front = FrontEnd::new(socket).unwrap();
        front.introduce(features, 2 * pairs, 64).unwrap();
        front.send(number::GET_FEATURES, &[], &[]).unwrap();
        assert_eq!(front.receive().unwrap().0, number::GET_FEATURES);
        self.until("the link", |s| s.link_up);
        front
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.path().join("vm0")).unwrap()
    }
}

fn segment(at: u64, len: usize, writable: bool) -> Segment {
    Segment { guest: GUEST + BUFFERS + at, len: len as u32, writable }
}

#[test]
fn a_server_port_serves_one_guest_after_another() {
    let bench = Bench::new(Mode::Server);
    let status = bench.port.status().unwrap();
    assert!(!status.link_up && status.admin_up);
    let details: Vec<_> = status.details.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(details, ["mode=server", "status=disconnected"]);
    for n in 1..=3 {
        let front = bench.plug_in(bench.connect(), FEATURES, 2);
        let status = bench.port.status().unwrap();
        let want = |key: &str| status.details.get(key).cloned().unwrap_or_default();
        assert_eq!(want("status"), "connected");
        assert_eq!(want("num_of_vrings"), "4");
        assert_eq!(want("vring_3_size"), "64");
        assert_eq!(want("numa"), "0");
        assert_eq!(want("socket"), bench.dir.path().join("vm0").display().to_string());
        assert_eq!(u64::from_str_radix(&want("features")[2..], 16), Ok(FEATURES.0 | 1 << 30));
        drop(front);
        bench.until("the link to go", |s| !s.link_up && s.details["status"] == "disconnected");
        assert_eq!(bench.port.status().unwrap().link_resets, 2 * n);
    }
    let path = bench.dir.path().join("vm0");
    drop(bench.port);
    assert!(!path.exists(), "the socket goes with the port");
}

#[test]
fn a_client_port_connects_by_itself_again_and_again() {
    let bench = Bench::new(Mode::Client);
    let path = bench.dir.path().join("vm0");
    for _ in 0..2 {
        let listener = UnixListener::bind(&path).unwrap();
        let (socket, _) = listener.accept().unwrap();
        drop(bench.plug_in(socket, FEATURES, 1));
        bench.until("the link to go", |s| !s.link_up);
        drop(listener);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn two_ports_cannot_have_one_socket() {
    let bench = Bench::new(Mode::Server);
    let path = bench.dir.path().join("vm0");
    let config = Config { mode: Mode::Server, path, retries: 0 };
    let second = VhostUser::open("vm0", config, [2; 6], &Clock::real(), Arc::new(|_| ()));
    assert_eq!(second.err().unwrap().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_front_end_that_talks_nonsense_is_sent_away_and_the_next_is_served() {
    let bench = Bench::new(Mode::Server);
    for _ in 0..3 {
        use std::io::{Read, Write};
        let mut socket = bench.connect();
        socket.write_all(&[0xff; 200]).unwrap();
        // A reset is as good an end as any.
        assert_eq!(socket.read(&mut [0; 10]).unwrap_or(0), 0);
    }
    bench.plug_in(bench.connect(), FEATURES, 1);
}

#[test]
fn offload_state_crosses_both_ways() {
    let bench = Bench::new(Mode::Server);
    let mut rx = bench.port.take_rx_queues();
    assert!(bench.port.take_rx_queues().is_empty());
    let mut tx = bench.port.tx_queue().unwrap();
    let front = bench.plug_in(bench.connect(), FEATURES, 1);
    let memory = &front.memory;
    let accepts = tx.accepts();
    assert!(accepts.csum && accepts.tso && !accepts.uso && !accepts.finishes);
    assert_eq!(accepts.frame_max, 1518);

    // A super-packet from the guest.
    let frame = tcp4(3000);
    let mut driver = Driver::new(Place { size: 64, index: 1 }, FEATURES);
    let mut bytes = vec![1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0, 0, 0];
    bytes.extend(&frame);
    memory.write(GUEST + BUFFERS, &bytes).unwrap();
    driver.offer(memory, &[segment(0, bytes.len(), false)], None).unwrap();
    let (mut pool, mut got) = (Pool::default(), Vec::new());
    assert_eq!(rx[0].recv(&mut pool, 32, &mut got).unwrap(), Received::Drained);
    let packet = got.pop().unwrap();
    let offload = packet.offload;
    assert_eq!(offload.csum, Csum::Partial { start: 34, offset: 16 });
    assert_eq!(offload.gso, Some(Gso { kind: GsoKind::Tcp4, size: 1000, ecn: false }));
    assert_eq!(packet.bytes(), frame);

    // And back to it.
    let mut driver = Driver::new(Place { size: 64, index: 0 }, FEATURES);
    driver.offer(memory, &[segment(0, 4096, true)], None).unwrap();
    tx.send(&mut pool, &mut vec![packet]);
    assert_eq!(driver.take(memory).unwrap().1 as usize, bytes.len());
    let mut back = vec![0; bytes.len()];
    memory.read(GUEST + BUFFERS, &mut back).unwrap();
    bytes[10] = 1; // one buffer
    assert_eq!(back, bytes);

    // A header that makes no sense is a counted error.
    bytes[6..8].copy_from_slice(&5000u16.to_le_bytes());
    memory.write(GUEST + BUFFERS, &bytes).unwrap();
    let mut driver2 = Driver::new(Place { size: 64, index: 1 }, FEATURES);
    driver2.offer(memory, &[segment(0, bytes.len(), false)], None).unwrap();
    driver2.offer(memory, &[segment(0, bytes.len(), false)], None).unwrap();
    rx[0].recv(&mut pool, 32, &mut got).unwrap();
    assert!(got.is_empty());
    let stats = bench.port.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets, stats.rx_errors), (1, 1, 1));
}

#[test]
fn a_guest_without_offloads_gets_complete_packets() {
    let bench = Bench::new(Mode::Server);
    let mut tx = bench.port.tx_queue().unwrap();
    let plain = Features::of(&[bit::VERSION_1, bit::MRG_RXBUF]);
    let front = bench.plug_in(bench.connect(), plain, 1);
    let accepts = tx.accepts();
    assert_eq!((accepts.csum, accepts.tso, accepts.gso_max), (false, false, 0));
    let mut driver = Driver::new(Place { size: 64, index: 0 }, plain);
    for n in 0..3 {
        driver.offer(&front.memory, &[segment(4096 * n, 4096, true)], None).unwrap();
    }
    let frames = [1600, 1518, 1400].map(|len| Packet::from_frame(&vec![0; len]));
    tx.send(&mut Pool::default(), &mut frames.to_vec());
    let lens: Vec<_> = std::iter::from_fn(|| driver.take(&front.memory)).map(|(_, n)| n).collect();
    assert_eq!(lens, [12 + 1400], "what is longer than the MTU, and not for a tag, is dropped");
    assert_eq!(bench.port.stats().unwrap().tx_dropped, 2);
}

#[test]
fn what_a_full_ring_has_no_room_for_is_dropped_and_counted() {
    let bench = Bench::new(Mode::Server);
    let mut tx = bench.port.tx_queue().unwrap();
    let batch = || (0..32).map(|_| Packet::new(Buf::from_slice(&[0; 60]))).collect::<Vec<_>>();
    tx.send(&mut Pool::default(), &mut batch());
    assert_eq!(bench.port.stats().unwrap().tx_dropped, 32, "nobody is there");
    let front = bench.plug_in(bench.connect(), FEATURES, 1);
    let mut driver = Driver::new(Place { size: 64, index: 0 }, FEATURES);
    for n in 0..20 {
        driver.offer(&front.memory, &[segment(n * 256, 256, true)], None).unwrap();
    }
    tx.send(&mut Pool::default(), &mut batch());
    let stats = bench.port.stats().unwrap();
    assert_eq!((stats.tx_packets, stats.tx_dropped), (20, 44));
}

/// Connections spread over a guest's queues, and each stays in its own.
#[test]
fn several_queues_are_used() {
    let bench = Bench::new(Mode::Server);
    let mut tx = bench.port.tx_queue().unwrap();
    let front = bench.plug_in(bench.connect(), FEATURES, 4);
    let place = |pair: u16| Place { size: 64, index: 2 * pair };
    let mut drivers: Vec<_> = (0..4).map(|pair| Driver::new(place(pair), FEATURES)).collect();
    for (pair, driver) in (0..).zip(&mut drivers) {
        for n in 0..64 {
            driver
                .offer(&front.memory, &[segment((pair * 64 + n) * 256, 256, true)], None)
                .unwrap();
        }
    }
    let frame = |port: u8| {
        let mut frame = tcp4(20);
        frame[35] = port;
        Packet::from_frame(&frame)
    };
    // Sixteen connections, twice.
    for _ in 0..2 {
        tx.send(&mut Pool::default(), &mut (0..16).map(frame).collect());
    }
    let counts: Vec<_> =
        drivers.iter_mut().map(|d| std::iter::from_fn(|| d.take(&front.memory)).count()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 32);
    assert!(counts.iter().all(|n| *n > 0 && n % 2 == 0), "{counts:?}");
    // In both IP versions, and frames of neither go somewhere.
    let mut v6 = [0; 80];
    v6[12..14].copy_from_slice(&[0x86, 0xdd]);
    assert!(packet::wire::ethernet::EthernetHeader::view(&v6).is_some());
    tx.send(&mut Pool::default(), &mut vec![Packet::from_frame(&v6), Packet::from_frame(&[1; 20])]);
    assert_eq!(bench.port.stats().unwrap().tx_packets, 34);
}
