use super::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn dummy(options: &Options) -> Dummy {
    Dummy::new("p1", "dummy", [0xaa, 0x55, 0xaa, 0x55, 0, 1], options, &Clock::real()).unwrap()
}

fn frame(n: u8, len: usize) -> Packet {
    Packet::from_frame(&vec![n; len])
}

/// Whether the queue's descriptor becomes readable within some time.
fn readable(rx: &dyn RxQueue, millis: i64) -> bool {
    let timeout = Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
    poll(&mut [PollFd::new(&rx.fd(), PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

fn receive(rx: &mut dyn RxQueue) -> Vec<Packet> {
    let mut out = Vec::new();
    while rx.recv(&mut Pool::default(), 32, &mut out).unwrap() == Received::More {}
    out
}

#[test]
fn injected_frames_are_received_in_order_and_wake_the_receiver() {
    let d = dummy(&Options::default());
    let mut queues = d.take_rx_queues();
    let rx = queues[0].as_mut();
    assert!(d.take_rx_queues().is_empty(), "a queue has one owner");
    assert!(!readable(rx, 0));
    for n in 0..40 {
        assert!(d.inject(frame(n, 60)));
    }
    assert!(!d.inject(frame(0, 13)), "a runt");
    assert!(readable(rx, 0));
    let mut out = Vec::new();
    assert_eq!(rx.recv(&mut Pool::default(), 32, &mut out).unwrap(), Received::More);
    assert!(readable(rx, 0));
    assert_eq!(rx.recv(&mut Pool::default(), 32, &mut out).unwrap(), Received::Drained);
    assert!(!readable(rx, 0));
    assert!(out.iter().map(|p| p.bytes()[0]).eq(0..40));
    let stats = d.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.rx_bytes, stats.rx_errors), (40, 2400, 1));
}

#[test]
fn the_queue_is_bounded() {
    let d = dummy(&Options::default());
    let taken = (0..QUEUE + 10).filter(|_| d.inject(frame(0, 60))).count();
    assert_eq!(taken, QUEUE);
    assert_eq!(d.stats().unwrap().rx_dropped, 10);
}

#[test]
fn frames_beyond_the_mtu_are_dropped() {
    let d = dummy(&Options::default());
    d.keep_sent(10);
    let mut tagged = frame(0, 1518);
    tagged.buf.as_mut_slice()[12..14].copy_from_slice(&[0x81, 0]);
    let mut batch = vec![frame(1, 1514), frame(2, 1515), tagged];
    d.tx_queue().unwrap().send(&mut Pool::default(), &mut batch);
    assert!(batch.is_empty());
    assert_eq!(d.take_sent().iter().map(|p| p.buf.len()).collect::<Vec<_>>(), [1514, 1518]);
    assert_eq!(d.stats().unwrap().tx_dropped, 1);
    d.set_mtu(9000).unwrap();
    d.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![frame(2, 1515)]);
    assert_eq!(d.take_sent().len(), 1);
}

#[test]
fn unfinished_packets_are_finished_unless_accepted() {
    let d = dummy(&Options::default());
    d.keep_sent(10);
    let mut p = frame(1, 60);
    p.offload.csum = packet::Csum::Partial { start: 34, offset: 16 };
    let tx = &mut d.tx_queue().unwrap();
    tx.send(&mut Pool::default(), &mut vec![p.clone()]);
    d.set_accepts(Accepts { csum: true, ..Accepts::default() });
    tx.send(&mut Pool::default(), &mut vec![p.clone()]);
    let sent = d.take_sent();
    assert!(sent[0].offload.is_complete() && sent[0].bytes()[50..52] != [1, 1]);
    assert_eq!(sent[1].offload, p.offload);
    assert_eq!(tx.accepts().frame_max, 1518);
}

#[test]
fn arp_requests_for_its_address_are_answered() {
    let d = dummy(&Options::default());
    d.add_ip4(Ipv4Addr::new(10, 0, 0, 1), 24);
    let ask = |ip| ArpFrame::request([2; 6], Ipv4Addr::new(10, 0, 0, 2), ip);
    let tx = &mut d.tx_queue().unwrap();
    for ip in [Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1)] {
        tx.send(&mut Pool::default(), &mut vec![Packet::from_frame(ask(ip).as_bytes())]);
    }
    let replies = receive(d.take_rx_queues()[0].as_mut());
    let [reply] = &replies[..] else { panic!("{replies:?}") };
    let want = ArpFrame::reply(
        [0xaa, 0x55, 0xaa, 0x55, 0, 1],
        Ipv4Addr::new(10, 0, 0, 1),
        [2; 6],
        Ipv4Addr::new(10, 0, 0, 2),
    );
    assert_eq!(reply.bytes(), want.as_bytes());
}

#[test]
fn a_pair_passes_packets_with_their_offload_state() {
    let [a, b] = Dummy::pair(["a", "b"], [[2; 6], [4; 6]], &Clock::real()).unwrap();
    a.set_accepts(Accepts { csum: true, ..Accepts::default() });
    let mut p = frame(7, 100);
    p.offload.csum = packet::Csum::Partial { start: 34, offset: 6 };
    a.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![p.clone(), frame(1, 2000)]);
    let got = receive(b.take_rx_queues()[0].as_mut());
    assert_eq!(got.len(), 1, "the long one did not pass");
    assert_eq!((got[0].bytes(), got[0].offload), (p.bytes(), p.offload));
    b.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![frame(3, 60)]);
    drop(b);
    assert_eq!(receive(a.take_rx_queues()[0].as_mut()).len(), 1);
    a.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![frame(3, 60)]);
}

#[test]
fn captures_are_complete_at_any_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| Some(dir.path().join(name));
    let d = dummy(&Options {
        pcap: path("both"),
        tx_pcap: path("tx"),
        rxq_pcap: path("rx"),
        ..Options::default()
    });
    d.inject(frame(1, 14));
    d.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![frame(2, 20)]);
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let both = read("both");
    assert_eq!(both[..4], 0xa1b2_c3d4u32.to_ne_bytes());
    assert_eq!(both[4..8], [2u16.to_ne_bytes(), 4u16.to_ne_bytes()].concat());
    assert_eq!(both.len(), 24 + 16 + 14 + 16 + 20);
    assert_eq!(both[40..54], [1; 14]);
    assert_eq!(both[54 + 8..54 + 16], [20u32.to_ne_bytes(); 2].concat());
    assert_eq!(read("tx")[40..], [2; 20]);
    assert_eq!(read("rx")[40..], [1; 14]);
}

#[test]
fn options_say_what_is_wrong() {
    let parse = |key: &str, value: &str| {
        Options::parse(&BTreeMap::from([(key.to_owned(), value.to_owned())])).map(|_| ())
    };
    assert_eq!(parse("pcap", "x.pcap"), Ok(()));
    assert_eq!(parse("stream", "unix:/run/x"), Ok(()));
    assert_eq!(parse("pstream", "ptcp:0:127.0.0.1"), Ok(()));
    assert!(
        parse("stream", "punix:/run/x")
            .unwrap_err()
            .starts_with("stream=punix:/run/x: must be unix:")
    );
    assert!(parse("pstream", "unix:/run/x").unwrap_err().contains("punix:"));
    assert!(parse("stream", "nonsense").unwrap_err().starts_with("stream=nonsense: "));
}

#[test]
fn wires_join_two_dummies_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wire").display().to_string();
    let passive =
        Options { pstream: Some(format!("punix:{path}").parse().unwrap()), ..Options::default() };
    let active =
        Options { stream: Some(format!("unix:{path}").parse().unwrap()), ..Options::default() };
    let a = dummy(&active);
    assert_eq!(a.connected(), Some(false), "nobody listens yet");
    for round in 0..2 {
        let b = dummy(&passive);
        assert_eq!(b.connected(), None);
        let (mut a_rx, mut b_rx) = (Rx { shared: a.shared.clone(), queue: 0 }, b.take_rx_queues());
        // The wait between calls passes, then both sides are driven by their descriptors alone.
        let mut rounds = 0;
        while a.connected() != Some(true) {
            readable(&a_rx, 900);
            receive(&mut a_rx);
            rounds += 1;
            assert!(rounds < 20, "never connected");
        }
        a.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![frame(1, 60), frame(2, 1514)]);
        let got = wait_for(b_rx[0].as_mut(), 2);
        assert_eq!(got[1].bytes(), [2; 1514], "round {round}");
        b.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![frame(3, 14)]);
        assert_eq!(wait_for(&mut a_rx, 1)[0].bytes(), [3; 14]);
        drop((b, b_rx));
        assert!(readable(&a_rx, 1000));
        receive(&mut a_rx);
        assert_eq!(a.connected(), Some(false));
    }
}

fn wait_for(rx: &mut dyn RxQueue, count: usize) -> Vec<Packet> {
    let mut got = Vec::new();
    for _ in 0..10 {
        readable(rx, 500);
        got.extend(receive(rx));
        if got.len() >= count {
            break;
        }
    }
    got
}

#[test]
fn a_pmd_has_queues_of_its_own_number() {
    let options = Options { n_rxq: 3, ..Options::default() };
    let open = |kind| Dummy::new("d", kind, [2; 6], &options, &Clock::real()).unwrap();
    assert_eq!(open("dummy").rx_queues(), 1);
    let dummy = open("dummy-pmd");
    let mut queues = dummy.take_rx_queues();
    assert_eq!((dummy.rx_queues(), queues.len()), (3, 3));
    let frame = Packet::from_frame(&[1; 60]);
    assert!(dummy.inject_into(2, frame.clone()));
    assert!(!dummy.inject_into(3, frame));
    let mut got = |queue: usize| {
        let mut out = Vec::new();
        queues[queue].recv(&mut Pool::default(), 32, &mut out).unwrap();
        out.len()
    };
    assert_eq!([got(0), got(1), got(2)], [0, 0, 1]);
}
