//! Guests by vhost-user: DPDK's testpmd as a front end, and real guests under QEMU.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guide::{self, CABLE, GUESTS, HOSTS};
use testbed::hugepages::HugePages;
use testbed::netns::cable;
use testbed::probe::{self, Ping};
use testbed::vm::{Card, Memory, Plan, Vm};
use testbed::{Host, Netns, Testbed, Testpmd, wait};

use crate::support::{host_state, ok, ours, programs};

const PATIENCE: Duration = Duration::from_secs(20);

/// A host with the bridge `br0` and two vhost-user ports: `vh0`, where the switch listens, and `vh1`, where the guest does.
pub(crate) struct Bed {
    pub(crate) host: Host,
    bed: Testbed,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let bed = ok(Testbed::new(Sharing::Shared));
        let mut host = ok(bed.host("host1", &programs()));
        ok(host.start());
        ok(host.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev"));
        let it = Self { host, bed };
        it.add("vh0", false);
        it.add("vh1", true);
        it
    }

    pub(crate) fn add(&self, name: &str, client: bool) {
        let kind = if client {
            let socket = self.socket(name).display().to_string();
            format!("type=dpdkvhostuserclient options:vhost-server-path={socket}")
        } else {
            "type=dpdkvhostuser".to_owned()
        };
        ok(self.host.vsctl(&format!("add-port br0 {name} -- set interface {name} {kind}")));
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.host.dir().join(name)
    }

    pub(crate) fn card(&self, name: &str, listens: bool, queues: u16) -> Card {
        Card { socket: self.socket(name), listens, queues, packed: false, mac: "52:54:00:00:01:01" }
    }

    /// An address for the host itself on the bridge.
    pub(crate) fn address(&self, address: &str) -> Ipv4Addr {
        ok(self.host.ns.ip(&format!("addr add {address}/24 dev br0")));
        ok(self.host.ns.ip("link set br0 mtu 1450 up"));
        address.parse().expect("an address")
    }

    fn column(&self, name: &str, column: &str) -> BTreeMap<String, String> {
        let text = ok(self.host.vsctl(&format!("get interface {name} {column}")));
        let inside = text.trim().trim_matches(['{', '}']);
        let pairs = inside.split(", ").filter_map(|pair| pair.split_once('='));
        pairs.map(|(k, v)| (k.to_owned(), v.trim_matches('"').to_owned())).collect()
    }

    pub(crate) fn until_status(&self, name: &str, key: &str, value: &str) {
        let is = || {
            (self.column(name, "status").get(key).map(String::as_str) == Some(value)).then_some(())
        };
        wait::until(&format!("{name}: {key}={value}"), PATIENCE, is)
            .unwrap_or_else(|e| panic!("{e}\n{}", host_state(&self.host)));
    }
}

/// testpmd on both ports, with these options of its devices. It sends a number of packets from both ports, and receives what
/// comes; then both sides have counted the same.
fn counts_agree(devices: &str, queues: u16) {
    if !ours() {
        return; // Debian's default build has no such ports.
    }
    let bed = Bed::new();
    let ns = ok(bed.bed.netns("testpmd"));
    let device = |n: u8, server: u8| {
        let socket = bed.socket(&format!("vh{n}"));
        format!(
            "net_virtio_user{n},path={},server={server},queues={queues},queue_size=256,mac=02:00:00:00:00:0{}{devices}",
            socket.display(),
            // Port N sends to an address that ends in N.
            1 - n
        )
    };
    let several = [format!("--rxq={queues}"), format!("--txq={queues}")];
    let options: Vec<&str> = several.iter().map(String::as_str).collect();
    let mut testpmd = ok(Testpmd::start(&ns, &[device(0, 0), device(1, 1)], &options));
    for port in ["vh0", "vh1"] {
        bed.until_status(port, "num_of_vrings", &(2 * queues).to_string());
    }
    ok(testpmd.tell("set fwd rxonly"));
    // A few first, which make the flows: of a large burst that nothing is known of, some would find the slow path's queue full.
    ok(testpmd.tell("start tx_first 1"));
    wait::until("flows both ways", PATIENCE, || {
        let flows = ok(bed.host.appctl("dpctl/dump-flows"));
        let there = |port: &str| {
            flows.lines().any(|flow| flow.contains(port) && flow.contains("eth_type(0x0800)"))
        };
        (there("in_port(2)") && there("in_port(3)")).then_some(())
    })
    .unwrap_or_else(|e| panic!("{devices}: {e}\n{}", host_state(&bed.host)));
    ok(testpmd.tell("stop"));
    ok(testpmd.tell("start tx_first 50"));
    let number = |counts: &BTreeMap<String, String>, key: &str| -> u64 {
        counts.get(key).and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    let mut last = String::new();
    // The database's statistics are those of some seconds ago.
    let agreed = wait::until("the counts to agree", PATIENCE, || {
        let theirs = ok(testpmd.counts::<2>());
        let ours = [0, 1].map(|n| bed.column(&format!("vh{n}"), "statistics"));
        last = format!("testpmd {theirs:?}\nswitch {ours:?}");
        let agree = (0..2).all(|n| {
            let (this, other) = (&ours[n], &ours[1 - n]);
            let counts = theirs[n];
            counts.tx_packets >= 32
                && counts.tx_packets == number(this, "rx_packets")
                && counts.rx_packets == number(this, "tx_packets")
                && number(other, "rx_packets")
                    == number(this, "tx_packets") + number(this, "tx_dropped")
                && number(this, "rx_errors") + number(this, "tx_errors") == 0
        });
        agree.then_some(())
    });
    agreed.unwrap_or_else(|e| panic!("{devices}: {e}\n{last}\n{}", host_state(&bed.host)));
}

#[test]
fn counts_agree_with_testpmd_on_split_rings() {
    counts_agree("", 1);
}

#[test]
fn counts_agree_with_testpmd_on_packed_rings() {
    counts_agree(",packed_vq=1", 1);
}

#[test]
fn counts_agree_with_testpmd_out_of_order() {
    counts_agree(",in_order=0", 1);
}

#[test]
fn counts_agree_with_testpmd_without_mergeable_buffers() {
    counts_agree(",mrg_rxbuf=0", 1);
}

#[test]
fn counts_agree_with_vectorized_testpmd() {
    counts_agree(",mrg_rxbuf=0,vectorized=1", 1);
}

#[test]
fn counts_agree_with_testpmd_of_two_queues() {
    counts_agree("", 2);
    counts_agree(",packed_vq=1", 2);
}

/// The kernel's own stack behind the port `vh0`: a tap that testpmd joins to it. The host's address is the second result.
fn stack(bed: &Bed) -> (Netns, Ipv4Addr, Testpmd) {
    let ns = ok(bed.bed.netns("guest"));
    let local = bed.address("192.168.1.254");
    let devices = [
        format!("net_virtio_user0,path={},server=0", bed.socket("vh0").display()),
        "net_tap0,iface=dtap0".to_owned(),
    ];
    let mut testpmd = ok(Testpmd::start(&ns, &devices, &[]));
    ok(testpmd.tell("set fwd io"));
    ok(testpmd.tell("start"));
    ok(ns.ip("addr add 192.168.1.1/24 dev dtap0"));
    ok(ns.ip("link set dtap0 up"));
    bed.until_status("vh0", "status", "connected");
    (ns, local, testpmd)
}

#[test]
fn a_stack_behind_testpmd_talks_to_the_host() {
    if !ours() {
        return;
    }
    let bed = Bed::new();
    let (ns, local, _testpmd) = stack(&bed);
    let echoes = ok(probe::ping(&ns, local, Ping::default()));
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", host_state(&bed.host));
    ok(probe::tcp_between(&ns, (&bed.host.ns, local), 4 << 20));
    ok(probe::tcp_between(&bed.host.ns, (&ns, Ipv4Addr::new(192, 168, 1, 1)), 4 << 20));
}

/// What is said of a port while its guest runs, by a controller, by hand and in the database, is done to it as it is: the guest
/// stays connected. As Debian's Open vSwitch with DPDK does it.
#[test]
fn a_port_is_changed_under_its_guest() {
    if !ours() {
        return;
    }
    let bed = Bed::new();
    let (ns, local, _testpmd) = stack(&bed);
    let once = Ping { count: 2, patience: Duration::from_millis(500), ..Ping::default() };
    let lost = || ok(probe::ping(&ns, local, once)).lost();
    let column = |name: &str| ok(bed.host.vsctl(&format!("get interface vh0 {name}")));
    assert_eq!(lost(), 0);
    let controller = |word: &str| {
        ok(ok(bed.host.cmd("ovs-ofctl", ["mod-port", "br0", "vh0", word])).ok());
    };
    let by_hand = |word: &str| {
        assert_eq!(ok(bed.host.appctl(&format!("netdev-dpdk/set-admin-state vh0 {word}"))), "OK\n");
    };
    let ways: [&dyn Fn(&str); 2] = [&controller, &by_hand];
    for way in ways {
        for (word, expected) in [("down", 2), ("up", 0)] {
            way(word);
            assert_eq!(lost(), expected, "{word}");
            wait::until("the row to say so", PATIENCE, || {
                let states = [column("admin_state"), column("link_state")];
                states.iter().all(|state| state.trim() == word).then_some(())
            })
            .unwrap_or_else(|e| panic!("{word}: {e}\n{}", host_state(&bed.host)));
        }
    }
    let resets = column("link_resets");
    ok(bed.host.vsctl("set interface vh0 options:tx-retries-max=0"));
    assert_eq!((lost(), column("link_resets")), (0, resets));
    // They are written now and then.
    let names = ["ovs_tx_retries", "ovs_tx_failure_drops", "ovs_tx_mtu_exceeded_drops"];
    wait::until("the row to have the reference's counts", PATIENCE, || {
        let counts = bed.column("vh0", "statistics");
        names.iter().all(|name| counts.contains_key(*name)).then_some(())
    })
    .unwrap_or_else(|e| panic!("{e}\n{}", host_state(&bed.host)));
    // Of the queues that a guest could have the one that this one has is listed, and of a port without a guest the first.
    let show = ok(bed.host.appctl("dpif-netdev/pmd-rxq-show"));
    let of = |port: &str| {
        let lines = show.lines().filter(|line| line.contains(&format!("port: {port} ")));
        let states = lines.map(|line| (line.contains("(enabled) "), line.contains("(disabled)")));
        states.collect::<Vec<_>>()
    };
    assert_eq!((of("vh0"), of("vh1")), (vec![(true, false)], vec![(false, true)]), "{show}");
}

#[track_caller]
pub(crate) fn pings(ns: &Netns, to: Ipv4Addr, host: &Host) {
    let back = wait::until("a ping to be answered", PATIENCE, || {
        let once = Ping { count: 1, patience: Duration::from_millis(500), ..Ping::default() };
        (ok(probe::ping(ns, to, once)).lost() == 0).then_some(())
    });
    back.unwrap_or_else(|e| panic!("{e}\n{}", host_state(host)));
    let how = Ping { count: 5, patience: Duration::from_secs(5), ..Ping::default() };
    let echoes = ok(probe::ping(ns, to, how));
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", host_state(host));
}

/// TCP at full speed for a second from the guest, and then to it.
fn carries(vm: &mut Vm, host: &Netns, local: Ipv4Addr) {
    for direction in ["", "-R"] {
        let server = ok(host
            .cmd(["iperf3", "-s", "-1"])
            .spawn(&std::env::temp_dir().join(format!("iperf3-{}.out", host.name()))));
        ok(wait::until("iperf3", PATIENCE, || host.listens(5201).then_some(())));
        let said = ok(vm.ok(&format!("iperf3 -c {local} -t 1 {direction}")));
        let rate = said.lines().rfind(|line| line.contains("receiver")).unwrap_or_default();
        assert!(!rate.is_empty() && !rate.contains(" 0.00 bits/sec"), "{said}");
        drop(server);
    }
}

/// The guide with vhost-user instead of a tap, on two hosts; guests on ports of either kind.
#[test]
fn real_guests_do_the_guide_across_two_hosts() {
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut hosts = [1, 2].map(|n| ok(bed.host(&format!("host{n}"), &programs())));
    ok(cable((&hosts[0].ns, CABLE), (&hosts[1].ns, CABLE)));
    let mut vms = Vec::new();
    for n in 0..2 {
        let host = &mut hosts[n];
        ok(host.start());
        let mac = ok(host.ns.mac(CABLE));
        for line in guide::lines(HOSTS[n], HOSTS[1 - n], &mac) {
            // The guest's port is of another kind.
            if !line.text.contains(guide::GUEST_PORT) {
                ok(host.shell(&line.text).ok());
            }
        }
        let socket = host.dir().join("vm0");
        let kind = match n {
            0 => "type=dpdkvhostuser".to_owned(),
            _ => format!("type=dpdkvhostuserclient options:vhost-server-path={}", socket.display()),
        };
        ok(host.vsctl(&format!("add-port br-int vm0 -- set interface vm0 {kind}")));
        let mac = ["52:54:00:00:01:01", "52:54:00:00:01:02"][n];
        let card = Card { socket, listens: n == 1, queues: 1, packed: false, mac };
        let plan = Plan::new(GUESTS[n], card);
        vms.push(ok(Vm::start(&host.ns, &host.dir().join("vm"), &plan)));
    }
    vms.iter_mut().for_each(|vm| ok(vm.ready()));
    let [a, b] = vms.as_mut_slice() else { panic!("two guests") };
    let state = || hosts.iter().map(host_state).collect::<String>();
    let (_, said) = ok(a.run(&format!("ping -c 5 -W 5 {}", GUESTS[1])));
    assert!(said.contains(" 0% packet loss"), "{said}\n{}", state());
    ok(b.ok("iperf3 -s -D"));
    for direction in ["", "-R"] {
        let said = ok(a.ok(&format!("iperf3 -c {} -t 2 {direction}", GUESTS[1])));
        let rate = said.lines().rfind(|line| line.contains("receiver")).unwrap_or_default();
        assert!(!rate.contains(" 0.00 bits/sec"), "{said}\n{}", state());
    }
    // Bytes, not only rates: what one hashes, the other has sent.
    ok(b.ok("dd if=/dev/urandom of=/tmp/a bs=64k count=64; nc -l -p 7000 < /tmp/a &"));
    let theirs = ok(b.ok("md5sum < /tmp/a"));
    let got = ok(a.ok(&format!("nc {} 7000 | md5sum", GUESTS[1])));
    assert_eq!(got.trim(), theirs.trim());
}

/// Takes the guest's driver away from its card, gives it back, and configures the new device. Typed in the guest.
const REBIND: &str = "cd /sys/bus/virtio/drivers/virtio_net; d=$(echo virtio*); echo $d > unbind; echo $d > bind; cd /; \
                      until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; \
                      ip link set eth0 mtu 1450 up; ip addr add 192.168.1.1/24 dev eth0";

/// Two queue pairs, and all that can happen to a guest or its switch.
#[test]
fn a_real_guest_outlives_its_driver_and_its_switch() {
    if !ours() {
        return;
    }
    let mut bed = Bed::new();
    let local = bed.address("192.168.1.254");
    let guest = Ipv4Addr::new(192, 168, 1, 1);
    let dir = bed.host.dir().join("vm");
    let card = bed.card("vh1", true, 2);
    let mut vm = ok(Vm::start(&bed.host.ns, &dir, &Plan::new(guest, card)));
    ok(vm.ready());
    pings(&bed.host.ns, guest, &bed.host);
    bed.until_status("vh1", "num_of_vrings", "4");
    assert_eq!(ok(vm.ok("ls /sys/class/net/eth0/queues | wc -l")).trim(), "4");
    carries(&mut vm, &bed.host.ns, local);
    ok(vm.ok(REBIND));
    pings(&bed.host.ns, guest, &bed.host);
    // The switch dies and comes back, and nobody types anything but the host's own address.
    ok(bed.host.switch.take().expect("it runs").kill());
    ok(bed.host.start_switch(&[]));
    pings(&bed.host.ns, guest, &bed.host);
    carries(&mut vm, &bed.host.ns, local);
}

/// The feature bit of packed rings (virtio 1.3, section 6).
const PACKED: u32 = 34;

/// Packed rings under the kernel's driver, which is bound anew, and with a switch that dies. QEMU then does not know where the
/// rings were, or knows what it was told when the guest was last stopped; they tell themselves.
#[test]
fn a_real_guest_has_packed_rings() {
    if !ours() {
        return;
    }
    let mut bed = Bed::new();
    let local = bed.address("192.168.1.254");
    let guest = Ipv4Addr::new(192, 168, 1, 1);
    let dir = bed.host.dir().join("vm");
    let card = Card { packed: true, ..bed.card("vh1", true, 2) };
    let mut vm = ok(Vm::start(&bed.host.ns, &dir, &Plan::new(guest, card)));
    ok(vm.ready());
    pings(&bed.host.ns, guest, &bed.host);
    bed.until_status("vh1", "num_of_vrings", "4");
    let features = bed.column("vh1", "status").remove("features").unwrap_or_default();
    let features = u64::from_str_radix(features.trim_start_matches("0x"), 16).unwrap_or(0);
    assert!(features >> PACKED & 1 != 0, "{features:#x}");
    carries(&mut vm, &bed.host.ns, local);
    ok(vm.ok(REBIND));
    pings(&bed.host.ns, guest, &bed.host);
    for was_stopped in [false, true] {
        if was_stopped {
            ok(vm.control(&[r#"{"execute":"stop"}"#, r#"{"execute":"cont"}"#]));
            carries(&mut vm, &bed.host.ns, local);
        }
        ok(bed.host.switch.take().expect("it runs").kill());
        ok(bed.host.start_switch(&[]));
        pings(&bed.host.ns, guest, &bed.host);
        carries(&mut vm, &bed.host.ns, local);
    }
}

/// The usual form of memory where DPDK is at home, and the newer one.
#[test]
fn a_real_guest_has_huge_pages() {
    if !ours() {
        return;
    }
    let bed = Bed::new();
    let local = bed.address("192.168.1.254");
    let guest = Ipv4Addr::new(192, 168, 1, 1);
    let _borrowed = ok(HugePages::borrow(Memory::HUGE_PAGES));
    for memory in [Memory::HugePages, Memory::HugeFile] {
        let dir = bed.host.dir().join(format!("{memory:?}"));
        let plan = Plan { memory, ..Plan::new(guest, bed.card("vh0", false, 1)) };
        let mut vm = ok(Vm::start(&bed.host.ns, &dir, &plan));
        ok(vm.ready());
        pings(&bed.host.ns, guest, &bed.host);
        carries(&mut vm, &bed.host.ns, local);
        ok(vm.process.kill());
        bed.until_status("vh0", "status", "disconnected");
    }
}

/// A guest that is killed is replaced on the same port, where the switch listens.
#[test]
fn a_killed_guest_is_replaced() {
    if !ours() {
        return;
    }
    let bed = Bed::new();
    bed.address("192.168.1.254");
    let guest = Ipv4Addr::new(192, 168, 1, 1);
    for n in 0..2 {
        let dir = bed.host.dir().join(format!("vm{n}"));
        let plan = Plan::new(guest, bed.card("vh0", false, 1));
        let mut vm = ok(Vm::start(&bed.host.ns, &dir, &plan));
        ok(vm.ready());
        pings(&bed.host.ns, guest, &bed.host);
        ok(vm.process.kill());
        bed.until_status("vh0", "status", "disconnected");
    }
}
