//! What is seen of the other end of a veth, and what lies on the way there. Needs root.

mod bed;
mod forwarder;

use std::os::fd::AsFd;
use std::sync::Arc;

use bed::Bed;
use netdev::rtnl::{Elsewhere, Query};
use netdev::{Device, FarEnd, Kind, Lookout};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sys::xdp::program::{Attach, Program, Sockets};
use testbed::{Cmd, Netns};

struct Scene {
    bed: Bed,
    left: Arc<dyn Device>,
    elsewhere: Elsewhere,
}

impl Scene {
    fn new() -> Self {
        let bed = Bed::new();
        let left = bed.open(Kind::System, "left").unwrap();
        let elsewhere = bed.switch.enter(|| Elsewhere::open().unwrap()).unwrap();
        let scene = Self { bed, left, elsewhere };
        // The other end's namespace has a number here from the first look on.
        assert!(scene.look().is_some());
        assert!(scene.elsewhere.poll().is_ok());
        scene
    }

    fn look(&self) -> Option<FarEnd> {
        let look = || {
            let bystanders = Lookout::default().look().unwrap();
            self.left.look_across(&bystanders, true);
            self.left.kernel_side().unwrap().far_end
        };
        self.bed.switch.enter(look).unwrap()
    }

    /// News of a link comes at once.
    #[track_caller]
    fn hear(&self) {
        let timeout = Timespec { tv_sec: 3, tv_nsec: 0 };
        let ready =
            poll(&mut [PollFd::new(&self.elsewhere.as_fd(), PollFlags::IN)], Some(&timeout));
        assert!(ready.unwrap() > 0 && self.elsewhere.poll().unwrap(), "nothing is heard");
    }
}

fn tc(ns: &Netns, line: &str) {
    Cmd::line(&format!("tc {line}")).netns(ns.name()).ok().unwrap();
}

fn index(ns: &Netns, device: &str) -> u32 {
    let links = ns.enter(|| Query::open().unwrap().links().unwrap()).unwrap();
    links.iter().find(|link| link.name == device).unwrap().ifindex
}

#[test]
fn the_other_end_is_told_by_its_address_and_length() {
    let scene = Scene::new();
    let mac = [2, 0, 0, 0, 0, 0x33];
    scene.bed.left.ip("link set eth0 address 02:00:00:00:00:33 mtu 1450").unwrap();
    scene.hear();
    assert_eq!(scene.look(), Some(FarEnd { mac, frame_max: 1468 }));
    scene.bed.left.ip("link set eth0 down").unwrap();
    scene.hear();
    assert_eq!(scene.look(), None);
    scene.bed.left.ip("link set eth0 up").unwrap();
    assert!(scene.look().is_some());
    // A pair within one namespace.
    scene
        .bed
        .left
        .ip(&format!("link set eth0 netns {} name far", scene.bed.switch.name()))
        .unwrap();
    scene.bed.switch.ip("link set far up").unwrap();
    scene.hear();
    assert_eq!(scene.look(), None);
    // Elsewhere again.
    scene.bed.switch.ip(&format!("link set far netns {}", scene.bed.right.name())).unwrap();
    scene.bed.right.ip("link set far up").unwrap();
    assert_eq!(scene.look().map(|far| far.mac), Some(mac));
}

#[test]
fn an_xdp_program_there_is_seen() {
    let scene = Scene::new();
    let ifindex = index(&scene.bed.left, "eth0");
    for how in [Attach::Native, Attach::Generic] {
        let attach = || {
            let program = Program::load(&Sockets::new(1).unwrap()).unwrap();
            program.attach(ifindex, how).unwrap()
        };
        let link = scene.bed.left.enter(attach).unwrap();
        if how == Attach::Native {
            scene.hear();
        }
        assert_eq!(scene.look(), None, "{how:?}");
        drop(link);
        assert!(scene.look().is_some(), "{how:?}");
    }
}

#[test]
fn queues_filters_and_programs_here_are_seen() {
    let scene = Scene::new();
    let switch = &scene.bed.switch;
    for queue in ["tbf rate 1gbit burst 1mb latency 50ms", "handle 1: htb"] {
        tc(switch, &format!("qdisc add dev left root {queue}"));
        scene.hear();
        assert_eq!(scene.look(), None, "{queue}");
        tc(switch, "qdisc del dev left root");
        scene.hear();
        assert!(scene.look().is_some(), "{queue}");
    }
    tc(switch, "qdisc add dev left clsact");
    scene.hear();
    // What comes in is nobody's concern here.
    tc(switch, "filter add dev left ingress protocol all prio 1 u32 match u32 0 0 flowid 1:1");
    scene.hear();
    assert!(scene.look().is_some());
    tc(switch, "filter add dev left egress protocol all prio 1 u32 match u32 0 0 flowid 1:1");
    scene.hear();
    assert_eq!(scene.look(), None);
    tc(switch, "qdisc del dev left clsact");
    assert!(scene.look().is_some());
    let tagging = testbed::netns::tag(switch, "left", 7).unwrap();
    assert_eq!(scene.look(), None);
    drop(tagging);
    assert!(scene.look().is_some());
}

#[test]
fn who_listens_here_is_seen() {
    let scene = Scene::new();
    let other = scene.bed.open(Kind::System, "right").unwrap();
    assert!(scene.look().is_some(), "somebody listens to another interface");
    let same = scene.bed.open(Kind::System, "left").unwrap();
    assert_eq!(scene.look(), None);
    drop((other, same));
    assert!(scene.look().is_some());
    // The list of another namespace, in which we are not.
    let bystanders = scene.bed.left.enter(|| Lookout::default().look().unwrap()).unwrap();
    scene.left.look_across(&bystanders, false);
    assert_eq!(scene.left.kernel_side().unwrap().far_end, None);
}
