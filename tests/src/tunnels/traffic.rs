//! Every protocol over IPv4 and IPv6, with a key of the port's or one of rules': ping, TCP and UDP between guests.
//!
//! The picture is the guide's; the tunnel of its last line is replaced by one tunnel after the other. What does not get through
//! is collected, and all of it is named in the end.

use testbed::guest::DEVICE;
use testbed::guide::{CABLE, Flavor, GUESTS, HOSTS, Plan, TwoSites};
use testbed::probe::{self, Ping};

use crate::support::{ok, ours, plan, programs, reference, state};

/// A kind of tunnel and what is set on its ports.
#[derive(Clone, Copy, Debug)]
struct Tunnel {
    kind: &'static str,
    options: &'static str,
    /// Whether frames go through, or only what is in them.
    frames: bool,
    has_key: bool,
}

const fn frames(kind: &'static str, options: &'static str) -> Tunnel {
    Tunnel { kind, options, frames: true, has_key: true }
}

const fn packets(kind: &'static str, options: &'static str) -> Tunnel {
    Tunnel { kind, options, frames: false, has_key: true }
}

/// What Debian's Open vSwitch 3.1 has as well.
const SHARED: [Tunnel; 10] = [
    frames("geneve", ""),
    frames("geneve", "options:csum=true"),
    frames("vxlan", ""),
    frames("vxlan", "options:exts=gpe"),
    frames("gre", ""),
    frames("gre", "options:csum=true options:seq=true"),
    packets("gre", "options:packet_type=legacy_l3"),
    packets("gtpu", ""),
    frames("erspan", "options:erspan_ver=1 options:erspan_idx=3"),
    frames("erspan", "options:erspan_ver=2 options:erspan_dir=1 options:erspan_hwid=4"),
];

/// What only ours have, or know how to receive.
const OURS: [Tunnel; 5] = [
    frames("vxlan", "options:exts=gbp"),
    packets("vxlan", "options:exts=gpe options:packet_type=legacy_l3"),
    frames("ip6gre", ""),
    frames("ip6erspan", "options:erspan_ver=1"),
    Tunnel { kind: "srv6", options: "", frames: false, has_key: false },
];

impl Tunnel {
    /// Whether Debian's computes checksums of these too early, and so does not even receive its own.
    fn is_debians_mistake(&self) -> bool {
        self.kind == "gtpu" || self.options.contains("seq=true")
    }
}

/// The hosts' addresses of the other family.
const HOSTS6: [&str; 2] = ["fd00:172::1", "fd00:172::2"];

/// Guests' own headers, and the longest that a tunnel puts around them, fit into the cable's MTU.
const GUEST_MTU: u32 = 1400;

fn prepare(two: &TwoSites) {
    for (i, site) in two.sites.iter().enumerate() {
        let other = 1 - i;
        ok(site.host.ns.ip(&format!("addr add {}/64 dev br-phy nodad", HOSTS6[i])));
        let guest = &site.guest.ns;
        ok(guest.ip(&format!("link set {DEVICE} mtu {GUEST_MTU}")));
        // Nobody asks for addresses through tunnels that carry IP alone.
        let mac = ok(two.sites[other].guest.ns.mac(DEVICE));
        let there = GUESTS[other];
        ok(guest.ip(&format!("neigh replace {there} lladdr {mac} dev {DEVICE} nud permanent")));
    }
}

/// Puts this tunnel in the last one's place at both ends.
fn configure(two: &TwoSites, tunnel: Tunnel, v6: bool, by_rules: bool) {
    for (i, site) in two.sites.iter().enumerate() {
        let remote = if v6 { HOSTS6[1 - i].to_owned() } else { HOSTS[1 - i].to_string() };
        let Tunnel { kind, options, frames, has_key } = tunnel;
        let (ends, told) = match (by_rules, has_key) {
            (false, false) => (format!("options:remote_ip={remote}"), String::new()),
            (false, true) => (format!("options:remote_ip={remote} options:key=77"), String::new()),
            (true, _) => {
                let key = if has_key { "options:key=flow" } else { "" };
                let set_key = if has_key { "set_field:77->tun_id," } else { "" };
                let field = if v6 { "tun_ipv6_dst" } else { "tun_dst" };
                let told = format!("{set_key}set_field:{remote}->{field},");
                (format!("options:remote_ip=flow {key}"), told)
            }
        };
        let from = match (by_rules && has_key, by_rules) {
            (true, _) => "in_port=9,tun_id=77",
            _ => "in_port=9",
        };
        // What comes without an Ethernet header is for nobody.
        let mac = ok(site.guest.ns.mac(DEVICE));
        let address = if frames { String::new() } else { format!("mod_dl_dst:{mac},") };
        let script = format!(
            "set -e
             ovs-vsctl -- --if-exists del-port vxlan0 -- --if-exists del-port t0 -- add-port br-int t0 \
             -- set interface t0 type={kind} ofport_request=9 {ends} {options}
             ovs-ofctl -OOpenFlow13 del-flows br-int
             port=$(ovs-vsctl get interface tap0 ofport)
             ovs-ofctl -OOpenFlow13 add-flow br-int \"in_port=$port,ip actions={told}output:9\"
             ovs-ofctl -OOpenFlow13 add-flow br-int \"{from} actions={address}output:$port\""
        );
        ok(site.host.shell(&script).ok());
    }
}

/// What of the traffic does not get through.
fn troubles(two: &TwoSites) -> Result<(), String> {
    let first = Ping { count: 3, ..Ping::default() };
    // Debian's loses packets until it has found its neighbour.
    for (from, to) in two.directions() {
        probe::ping(&from.guest.ns, to.guest.address, first).map_err(|e| e.to_string())?;
    }
    for (from, to) in two.directions() {
        let echoes = probe::ping(&from.guest.ns, to.guest.address, Ping::default());
        let echoes = echoes.map_err(|e| e.to_string())?;
        if echoes.lost() > 0 {
            return Err(format!("ping {}: {echoes}", to.guest.address));
        }
        probe::tcp(&from.guest, &to.guest, 1 << 20).map_err(|e| format!("TCP: {e}"))?;
        let lost = probe::udp(&from.guest, &to.guest).map_err(|e| format!("UDP: {e}"))?;
        if !lost.is_empty() {
            return Err(format!("UDP payloads of {lost:?} bytes did not come back"));
        }
    }
    Ok(())
}

#[track_caller]
fn check(two: &TwoSites, tunnels: impl Iterator<Item = Tunnel>) {
    prepare(two);
    let mut failed = Vec::new();
    for tunnel in tunnels {
        for v6 in [false, true] {
            let only_v6 = tunnel.kind == "srv6";
            for by_rules in [false, true] {
                if only_v6 && !v6 {
                    continue;
                }
                configure(two, tunnel, v6, by_rules);
                if let Err(why) = troubles(two) {
                    let Tunnel { kind, options, .. } = tunnel;
                    failed.push(format!("{kind} {options} v6={v6} by_rules={by_rules}: {why}"));
                    if failed.len() == 1 {
                        failed.push(state(two));
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_protocol_between_two_of_ours() {
    if !ours() {
        return;
    }
    let two = ok(TwoSites::build(&Plan::alike(Flavor::Switch(programs()))));
    check(&two, SHARED.into_iter().chain(OURS));
}

#[test]
fn every_protocol_to_debians_open_vswitch() {
    let peer = Flavor::Switch(reference());
    let two = ok(TwoSites::build(&plan(Flavor::Switch(programs()), peer)));
    check(&two, SHARED.into_iter().filter(|tunnel| ours() || !tunnel.is_debians_mistake()));
}

/// The kernel's own VXLAN device with its extensions, one of which needs what is on both ends alike.
#[test]
fn extensions_of_vxlan_with_the_kernels_device() {
    if !ours() {
        return; // Debian's 3.1 sends no groups.
    }
    let two = ok(TwoSites::build(&Plan::between(Flavor::Switch(programs()), Flavor::kernel())));
    let [switch, kernel] = &two.sites;
    for site in [switch, kernel] {
        ok(site.guest.ns.ip(&format!("link set {DEVICE} mtu {GUEST_MTU}")));
    }
    ok(kernel.host.ns.ip("link del vxlan0"));
    let link =
        format!("link add vxlan0 type vxlan id 77 remote {} dstport 4789 dev eth1 gbp", HOSTS[0]);
    ok(kernel.host.ns.ip(&link));
    ok(kernel.host.ns.ip("link set vxlan0 master br0 up"));
    let script = format!(
        "ovs-vsctl -- del-port vxlan0 -- add-port br-int t0 -- set interface t0 type=vxlan \
         ofport_request=9 options:remote_ip={} options:key=77 options:exts=gbp
         port=$(ovs-vsctl get interface tap0 ofport)
         ovs-ofctl -OOpenFlow13 del-flows br-int
         ovs-ofctl -OOpenFlow13 add-flow br-int \"in_port=9,tun_gbp_id=0 actions=output:$port\"
         ovs-ofctl -OOpenFlow13 add-flow br-int \
         \"in_port=$port actions=set_field:0x200->tun_gbp_id,output:9\"",
        HOSTS[1]
    );
    ok(switch.host.shell(&script).ok());
    if let Err(why) = troubles(&two) {
        panic!("{why}\n{}", state(&two));
    }
}

/// The kernel's device with the generic protocol extension carries packets without an Ethernet header, and leaves it to routes where
/// they go. Its host routes between it and the guest.
#[test]
fn generic_vxlan_with_the_kernels_device() {
    if !ours() {
        return; // Debian's 3.1 does not know the packets that the kernel sends.
    }
    let two = ok(TwoSites::build(&Plan::between(Flavor::Switch(programs()), Flavor::kernel())));
    let [switch, kernel] = &two.sites;
    let macs = [switch, kernel].map(|site| ok(site.guest.ns.mac(DEVICE)));
    let router = ok(kernel.host.ns.mac(&kernel.guest.port));
    let [here, there] = GUESTS;
    for (site, neighbour, mac) in [(switch, there, &macs[1]), (kernel, here, &router)] {
        let ns = &site.guest.ns;
        ok(ns.ip(&format!("link set {DEVICE} mtu {GUEST_MTU}")));
        ok(ns.ip(&format!("neigh replace {neighbour} lladdr {mac} dev {DEVICE} nud permanent")));
    }
    ok(switch.host.ns.ip(&format!("addr add {}/64 dev br-phy nodad", HOSTS6[0])));
    let port = &kernel.guest.port;
    for line in [
        "link del vxlan0".to_owned(),
        format!("link set {port} nomaster"),
        format!("addr add {}/64 dev {CABLE} nodad", HOSTS6[1]),
        "link add gpe0 type vxlan dstport 4790 gpe external".to_owned(),
        "link set gpe0 up".to_owned(),
        format!("route add {there}/32 dev {port}"),
        format!("neigh replace {there} lladdr {} dev {port} nud permanent", macs[1]),
    ] {
        ok(kernel.host.ns.ip(&line));
    }
    ok(kernel.host.ns.sysctl("ipv4/ip_forward", "1"));
    for (family, ends) in
        [("ip", HOSTS.map(|ip| ip.to_string())), ("ip6", HOSTS6.map(str::to_owned))]
    {
        let route =
            format!("route replace {here}/32 encap {family} id 77 dst {} dev gpe0", ends[0]);
        ok(kernel.host.ns.ip(&route));
        let script = format!(
            "set -e
             ovs-vsctl -- --if-exists del-port vxlan0 -- --if-exists del-port t0 -- add-port br-int t0 \
             -- set interface t0 type=vxlan ofport_request=9 options:remote_ip={} options:key=77 \
             options:dst_port=4790 options:exts=gpe options:packet_type=legacy_l3
             port=$(ovs-vsctl get interface tap0 ofport)
             ovs-ofctl -OOpenFlow13 del-flows br-int
             ovs-ofctl -OOpenFlow13 add-flow br-int \"in_port=9 actions=mod_dl_dst:{},output:$port\"
             ovs-ofctl -OOpenFlow13 add-flow br-int \"in_port=$port,ip actions=output:9\"",
            ends[1], macs[0]
        );
        ok(switch.host.shell(&script).ok());
        if let Err(why) = troubles(&two) {
            panic!("over {family}: {why}\n{}", state(&two));
        }
    }
}
