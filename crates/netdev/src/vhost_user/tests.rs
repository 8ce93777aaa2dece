use std::collections::VecDeque;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use packet::wire::Header;
use packet::{Buf, Csum, Gso, GsoKind, Packet};
use vhost::frontend::{BUFFERS, Driver, FrontEnd, GUEST, Place};
use vhost::message::number;
use vhost::ring::Segment;

use super::*;
use crate::vnet::tests::{tcp4, udp4, udp6};
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
        Self::with_pairs(mode, PAIRS)
    }

    fn with_pairs(mode: Mode, pairs: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tell, news) = channel();
        let config = Config {
            mode,
            path: dir.path().join("vm0"),
            retries: RETRIES,
            pairs,
            huge_pages: true,
        };
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
        settle(&front);
        self.until("the link", |s| s.link_up);
        front
    }

    /// One of the port's own counters.
    fn custom(&self, name: &str) -> u64 {
        let all = self.port.custom_stats();
        all.iter().find(|(known, _)| known == name).map(|(_, n)| *n).unwrap()
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.path().join("vm0")).unwrap()
    }
}

/// Until the port has done all that it was told.
fn settle(front: &FrontEnd<UnixStream>) {
    front.send(number::GET_FEATURES, &[], &[]).unwrap();
    assert_eq!(front.receive().unwrap().0, number::GET_FEATURES);
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
    let states = || [0, 1, 2].map(|queue| bench.port.rx_state(queue));
    for n in 1..=3 {
        assert_eq!(states(), [RxState::Disabled, RxState::Spare, RxState::Spare]);
        let front = bench.plug_in(bench.connect(), FEATURES, 2);
        assert_eq!(states(), [RxState::Enabled, RxState::Enabled, RxState::Spare]);
        let status = bench.port.status().unwrap();
        let want = |key: &str| status.details.get(key).cloned().unwrap_or_default();
        assert_eq!(want("status"), "connected");
        assert_eq!(want("num_of_vrings"), "4");
        assert_eq!(want("vring_3_size"), "64");
        assert_eq!(want("numa"), "0");
        assert_eq!(want("socket"), bench.dir.path().join("vm0").display().to_string());
        assert_eq!(u64::from_str_radix(&want("features")[2..], 16), Ok(FEATURES.0 | 1 << 30));
        drop(front);
        bench.until("the link to go", |s| {
            !s.link_up && s.details["status"] == "disconnected" && s.link_resets == 2 * n
        });
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
fn a_folder_for_sockets_is_made_where_there_is_one_to_make_it_in() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path| {
        let config =
            Config { mode: Mode::Server, path, retries: 0, pairs: PAIRS, huge_pages: true };
        VhostUser::open("vm0", config, [2; 6], &Clock::real(), Arc::new(|_| ())).map(drop)
    };
    open(dir.path().join("guests/vm0")).unwrap();
    open(dir.path().join("guests/vm0")).unwrap();
    let error = open(dir.path().join("no/such/vm0")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn two_ports_cannot_have_one_socket() {
    let bench = Bench::new(Mode::Server);
    let path = bench.dir.path().join("vm0");
    let config = Config { mode: Mode::Server, path, retries: 0, pairs: PAIRS, huge_pages: true };
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

/// UDP super-packets (`HOST_USO`, `GUEST_USO4`, `GUEST_USO6`): from the guest, and to it, in both IP versions.
#[test]
fn udp_super_packets_cross_both_ways() {
    let features =
        Features(FEATURES.0 | Features::of(&[bit::GUEST_USO4, bit::GUEST_USO6, bit::HOST_USO]).0);
    let bench = Bench::new(Mode::Server);
    let mut rx = bench.port.take_rx_queues();
    let mut tx = bench.port.tx_queue().unwrap();
    let front = bench.plug_in(bench.connect(), features, 1);
    let memory = &front.memory;
    assert!(tx.accepts().uso && tx.accepts().tso);
    let place = |index| Place { size: 64, index };
    let [mut to, mut from] = [0, 1].map(|index| Driver::new(place(index), features));
    let mut pool = Pool::default();
    for (frame, transport) in [(udp4(&[7; 3000]), 34u16), (udp6(&[7; 3000]), 54)] {
        // Kind 5, headers of 8 bytes behind the IP header, payloads of 1000 bytes.
        let [start, end] = [transport, transport + 8].map(u16::to_le_bytes);
        let mut bytes = vec![1, 5, end[0], end[1], 0xe8, 3, start[0], start[1], 6, 0, 0, 0];
        bytes.extend(&frame);
        memory.write(GUEST + BUFFERS, &bytes).unwrap();
        from.offer(memory, &[segment(0, bytes.len(), false)], None).unwrap();
        let mut got = Vec::new();
        rx[0].recv(&mut pool, 32, &mut got).unwrap();
        let packet = got.pop().unwrap();
        let gso = Gso { kind: GsoKind::Udp, size: 1000, ecn: false };
        assert_eq!(packet.offload.gso, Some(gso));
        assert_eq!(packet.offload.csum, Csum::Partial { start: transport, offset: 6 });
        to.offer(memory, &[segment(8192, 4096, true)], None).unwrap();
        tx.send(&mut pool, &mut vec![packet]);
        assert_eq!(to.take(memory).unwrap().1 as usize, bytes.len());
        from.take(memory).unwrap();
        let mut back = vec![0; bytes.len()];
        memory.read(GUEST + BUFFERS + 8192, &mut back).unwrap();
        bytes[10] = 1; // one buffer
        assert_eq!(back, bytes);
    }
    // One of the two alone is not enough: what is sent is not sorted by IP version.
    drop(front);
    bench.until("the link to go", |s| !s.link_up);
    let half = Features(FEATURES.0 | 1 << bit::GUEST_USO4);
    let _front = bench.plug_in(bench.connect(), half, 1);
    assert!(!tx.accepts().uso);
}

/// Headers by which a guest would have us read or write where its frame is not (CVE-2024-11614 and its kin): each costs its
/// frame, under the right counter, and nothing else.
#[test]
fn headers_that_point_beyond_their_frame_cost_it() {
    let bench = Bench::new(Mode::Server);
    let mut rx = bench.port.take_rx_queues();
    let front = bench.plug_in(bench.connect(), FEATURES, 1);
    let mut driver = Driver::new(Place { size: 64, index: 1 }, FEATURES);
    let frame = tcp4(3000);
    let len = frame.len() as u16;
    // Flags, kind, length of headers, payloads, start and offset of the checksum.
    let lies: [(u8, u8, u16, u16, u16, u16); 10] = [
        (1, 0, 0, 0, len, 0),
        (1, 0, 0, 0, len - 1, 0),
        (1, 0, 0, 0, 0, len - 1),
        (1, 0, 0, 0, u16::MAX, u16::MAX),
        (1, 0, 0, 0, 34, u16::MAX),
        (1, 1, 54, 1000, len, 16),
        (1, 1, 54, 1000, 34, len),
        (1, 1, 54, 0, 34, 16),
        (1, 4, 54, 1000, 34, 16),
        (1, 0x7f, u16::MAX, u16::MAX, 34, 16),
    ];
    let (mut pool, mut got) = (Pool::default(), Vec::new());
    for (n, (flags, kind, headers, size, start, offset)) in (1..).zip(lies) {
        let mut bytes = vec![flags, kind];
        bytes.extend([headers, size, start, offset, 0].iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(&frame);
        front.memory.write(GUEST + BUFFERS, &bytes).unwrap();
        driver.offer(&front.memory, &[segment(0, bytes.len(), false)], None).unwrap();
        rx[0].recv(&mut pool, 32, &mut got).unwrap();
        assert!(got.is_empty(), "lie {n}");
        assert_eq!(bench.port.stats().unwrap().rx_frame_err, n, "lie {n}");
        driver.take(&front.memory).unwrap();
    }
    let honest = [vec![0; 12], frame].concat();
    front.memory.write(GUEST + BUFFERS, &honest).unwrap();
    driver.offer(&front.memory, &[segment(0, honest.len(), false)], None).unwrap();
    rx[0].recv(&mut pool, 32, &mut got).unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!(bench.port.stats().unwrap().rx_packets, 1);
}

/// A crowd that comes and goes, some in the middle of a word, keeps nobody out for long.
#[test]
fn a_storm_of_connections_passes() {
    let bench = Bench::new(Mode::Server);
    let storm: Vec<_> = (0..20).map(|_| bench.connect()).collect();
    for (n, mut socket) in storm.into_iter().enumerate() {
        use std::io::Write;
        let _ = socket.write_all(&[1, 0, 0, 0, 1][..n % 6]); // some are gone before they are heard
    }
    let front = bench.plug_in(bench.connect(), FEATURES, 1);
    drop(front);
    // Of all of them, one was a guest, who came and went.
    bench.until("the link to go", |s| !s.link_up && s.link_resets == 2);
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
    assert_eq!(bench.custom("ovs_tx_mtu_exceeded_drops"), 2);
    assert_eq!(bench.custom("ovs_tx_failure_drops"), 0);
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
    assert_eq!(bench.custom("ovs_tx_failure_drops"), 44);
    assert_eq!(bench.custom("ovs_tx_mtu_exceeded_drops"), 0);
    // Once: after twenty had gone there was no more room, and none was made.
    assert_eq!(bench.custom("ovs_tx_retries"), 1);
    // No more of that, with the same guest.
    bench.port.retune(&[("tx-retries-max".to_owned(), "0".to_owned())].into());
    while driver.take(&front.memory).is_some() {}
    driver.offer(&front.memory, &[segment(0, 256, true)], None).unwrap();
    tx.send(&mut Pool::default(), &mut batch());
    assert_eq!((bench.port.stats().unwrap().tx_packets, bench.custom("ovs_tx_retries")), (21, 1));
}

/// As `ovs-ofctl mod-port` has it: the link is down for the switch, nothing passes in either direction, and everything does when the
/// port is up again, with the same guest.
#[test]
fn a_port_that_is_down_passes_nothing() {
    let bench = Bench::new(Mode::Server);
    let mut rx = bench.port.take_rx_queues();
    let mut tx = bench.port.tx_queue().unwrap();
    let front = bench.plug_in(bench.connect(), FEATURES, 1);
    let place = |index| Place { size: 64, index };
    let [mut to, mut from] = [0, 1].map(|index| Driver::new(place(index), FEATURES));
    front.memory.write(GUEST + BUFFERS, &[0; 12 + 60]).unwrap();
    let mut pool = Pool::default();
    for (up, resets) in [(true, 1), (false, 2), (true, 3)] {
        bench.port.set_up(up).unwrap();
        let status = bench.port.status().unwrap();
        assert_eq!((status.admin_up, status.link_up, status.link_resets), (up, up, resets));
        assert_eq!(status.details["status"], "connected");
        let before = bench.port.stats().unwrap();
        from.offer(&front.memory, &[segment(0, 12 + 60, false)], None).unwrap();
        to.offer(&front.memory, &[segment(4096, 256, true)], None).unwrap();
        let mut got = Vec::new();
        rx[0].recv(&mut pool, 32, &mut got).unwrap();
        assert_eq!(got.len(), usize::from(up));
        assert!(from.take(&front.memory).is_some(), "the guest's buffer comes back");
        tx.send(&mut pool, &mut vec![Packet::from_frame(&[0; 60])]);
        assert_eq!(to.take(&front.memory).is_some(), up);
        let now = bench.port.stats().unwrap();
        let (passed, lost) = (u64::from(up), u64::from(!up));
        assert_eq!(now.rx_packets - before.rx_packets, passed);
        assert_eq!(now.tx_packets - before.tx_packets, passed);
        assert_eq!(now.rx_dropped - before.rx_dropped, lost);
        assert_eq!(now.tx_dropped - before.tx_dropped, lost);
    }
}

/// `options:vhost-max-queue-pairs`: the front end is told, and one that does not listen is sent away.
#[test]
fn a_port_has_no_more_queue_pairs_than_it_is_to_have() {
    let read = |text: &str| {
        super::read_pairs(&[("vhost-max-queue-pairs".to_owned(), text.to_owned())].into())
    };
    assert_eq!((read("2"), read("1024")), (Ok(2), Ok(PAIRS)));
    for wrong in ["0", "1025", "two"] {
        assert!(read(wrong).unwrap_err().contains("from 1 to 1024"));
    }
    let bench = Bench::with_pairs(Mode::Server, 2);
    assert_eq!(bench.port.take_rx_queues().len(), 2);
    let front = bench.plug_in(bench.connect(), FEATURES, 2);
    assert_eq!(front.ask(number::GET_QUEUE_NUM).unwrap(), 2);
    drop(front);
    bench.until("the link to go", |s| !s.link_up);
    let mut greedy = FrontEnd::new(bench.connect()).unwrap();
    let _ = greedy.introduce(FEATURES, 6, 64); // it may be sent away before it has finished
    let _ = greedy.send(number::GET_FEATURES, &[], &[]);
    assert!(greedy.receive().is_err());
}

/// The guest's MTU (`VIRTIO_NET_F_MTU`), which the hypervisor tells, counts as well as the port's.
#[test]
fn nothing_longer_than_the_guest_takes_is_sent() {
    let bench = Bench::new(Mode::Server);
    let mut tx = bench.port.tx_queue().unwrap();
    let front = bench.plug_in(bench.connect(), FEATURES, 1);
    let mut limits = Vec::new();
    for (port, guest) in [(1500, 1000u64), (900, 1000), (9000, 9000)] {
        bench.port.set_mtu(port).unwrap();
        front.send(number::NET_SET_MTU, &guest.to_ne_bytes(), &[]).unwrap();
        settle(&front);
        limits.push(tx.accepts().frame_max);
    }
    assert_eq!(limits, [1018, 918, 9018]);
    let mut driver = Driver::new(Place { size: 64, index: 0 }, FEATURES);
    driver.offer(&front.memory, &[segment(0, 0x4000, true)], None).unwrap();
    // Without a tag, for which there is room beyond that.
    let frames = [9015, 9014].map(|len| Packet::from_frame(&vec![0; len]));
    tx.send(&mut Pool::default(), &mut frames.to_vec());
    assert_eq!(driver.take(&front.memory).map(|(_, len)| len), Some(12 + 9014));
    assert_eq!(bench.custom("ovs_tx_mtu_exceeded_drops"), 1);
}

/// A guest enables and disables queue pairs while frames flow (`ethtool -L`): each frame comes to it once, by a pair that is enabled,
/// and those of a connection in order.
#[test]
fn queue_pairs_come_and_go_while_frames_flow() {
    const PAIRS: usize = 4;
    let bench = Bench::new(Mode::Server);
    let mut tx = bench.port.tx_queue().unwrap();
    let front = bench.plug_in(bench.connect(), FEATURES, PAIRS as u16);
    let place = |pair: usize| Place { size: 64, index: 2 * pair as u16 };
    let mut drivers: Vec<_> = (0..PAIRS).map(|n| Driver::new(place(n), FEATURES)).collect();
    let address = |pair: usize, n: u64| GUEST + BUFFERS + (pair as u64 * 64 + n) * 256;
    let mut buffers = vec![VecDeque::new(); PAIRS];
    let offer = |driver: &mut Driver, buffers: &mut VecDeque<u64>, at: u64| {
        let buffer = Segment { guest: at, len: 256, writable: true };
        driver.offer(&front.memory, &[buffer], None).unwrap();
        buffers.push_back(at);
    };
    for (pair, (driver, buffers)) in drivers.iter_mut().zip(&mut buffers).enumerate() {
        (0..64).for_each(|n| offer(driver, buffers, address(pair, n)));
    }
    let (mut next, mut seen) = ([0u8; 8], [0u8; 8]);
    for enabled in [0b1111u32, 0b0001, 0b0011, 0b1000, 0b1110, 0b0001, 0b1111] {
        for pair in 0..PAIRS as u32 {
            let payload = [2 * pair, enabled >> pair & 1].map(u32::to_ne_bytes).concat();
            front.send(number::SET_VRING_ENABLE, &payload, &[]).unwrap();
        }
        settle(&front);
        for _ in 0..3 {
            let frame = |connection: usize| {
                let mut frame = tcp4(20);
                frame[35] = connection as u8;
                *frame.last_mut().unwrap() = next[connection];
                next[connection] += 1;
                Packet::from_frame(&frame)
            };
            tx.send(&mut Pool::default(), &mut (0..8).map(frame).collect());
        }
        for (pair, (driver, buffers)) in drivers.iter_mut().zip(&mut buffers).enumerate() {
            while let Some((_, len)) = driver.take(&front.memory) {
                assert!(enabled >> pair & 1 == 1, "pair {pair} of {enabled:#b}");
                let at = buffers.pop_front().unwrap();
                let mut frame = vec![0; len as usize];
                front.memory.read(at, &mut frame).unwrap();
                let connection = usize::from(frame[12 + 35]);
                assert_eq!(*frame.last().unwrap(), seen[connection]);
                seen[connection] += 1;
                offer(driver, buffers, at);
            }
        }
        assert_eq!(seen, next, "{enabled:#b}");
    }
    assert_eq!(bench.port.stats().unwrap().tx_dropped, 0);
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
