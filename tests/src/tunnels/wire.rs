//! A host whose tunnels are looked at from both sides, frame by frame.
//!
//! ```text
//! guest -- tap0, port 1 -- br-int -- tunnel, port 9 .. br-phy -- eth1 -- far
//! ```
//!
//! The host has 10.0.0.1, 10.0.0.5, fd00::1 and fd00::5. Of the others there it knows .2 and .3 (02:00:00:00:00:02 and ..:03), of
//! which nobody speaks. 10.9.0.0/24 is behind .2, for packets with mark 7 behind .3.

use std::collections::BTreeMap;
use std::time::Duration;

use packet::wire::ipv4::fix_checksum;
use testbed::bed::Sharing;
use testbed::netns::cable;
use testbed::{Host, Netns, Result, Testbed};

use crate::frames::Station;
use crate::support::{ok, programs};

const PATIENCE: Duration = Duration::from_secs(8);

pub(super) struct Wire {
    pub(super) guest: Station,
    pub(super) far: Station,
    pub(super) host: Host,
    _namespaces: [Netns; 2],
    _bed: Testbed,
}

impl Wire {
    #[track_caller]
    pub(super) fn build() -> Self {
        let bed = ok(Testbed::new(Sharing::Shared));
        let mut host = ok(bed.host("host1", &programs()));
        let namespaces = ["vm", "far"].map(|name| ok(bed.netns(name)));
        for (port, ns) in ["tap0", "eth1"].into_iter().zip(&namespaces) {
            ok(cable((&host.ns, port), (ns, "eth0")));
            // Only what a test sends is there.
            ok(ns.sysctl("ipv6/conf/all/disable_ipv6", "1"));
            ok(ns.ip("link set eth0 up"));
            ok(host.ns.ip(&format!("link set {port} up")));
        }
        // Guests may send what no tunnel takes.
        ok(namespaces[0].ip("link set eth0 mtu 9000"));
        ok(host.ns.ip("link set tap0 mtu 9000"));
        ok(host.start());
        let script = "set -e
            ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure \
             -- add-port br-int tap0 -- set interface tap0 ofport_request=1 \
             -- add-br br-phy -- set bridge br-phy datapath_type=netdev -- add-port br-phy eth1
            for a in 10.0.0.1/24 10.0.0.5/24 fd00::1/64 fd00::5/64; do ip addr add $a dev br-phy nodad; done
            ip link set br-phy up
            ip route add 10.9.0.0/24 via 10.0.0.2
            ip route add 10.9.0.0/24 via 10.0.0.3 table 70
            ip rule add fwmark 7 lookup 70
            for n in 2 3; do
              ovs-appctl tnl/neigh/set br-phy 10.0.0.$n 02:00:00:00:00:0$n
              ovs-appctl tnl/neigh/set br-phy fd00::$n 02:00:00:00:00:0$n
            done
            ovs-ofctl add-tlv-map br-int '{class=0x102,type=0x80,len=4}->tun_metadata0,\
{class=0xffff,type=0x1,len=8}->tun_metadata1'";
        ok(host.shell(script).ok());
        let [guest, far] = [0, 1].map(|i| ok(Station::at(&namespaces[i], "eth0")));
        Self { guest, far, host, _namespaces: namespaces, _bed: bed }
    }

    /// Puts this tunnel (type and options, with blanks between) in the last one's place. What the guest sends goes out there after
    /// the rule's `sets`, what arrives goes to the guest.
    pub(super) fn set_up(&self, tunnel: &str, sets: &str) -> Result<()> {
        let mut words = tunnel.split(' ');
        let kind = words.next().unwrap_or("");
        let options: String = words.map(|word| format!(" 'options:{word}'")).collect();
        let comma = if sets.is_empty() { "" } else { "," };
        let script = format!(
            "set -e
             ovs-vsctl -- --if-exists del-port t -- add-port br-int t \
             -- set interface t type={kind} ofport_request=9 {options}
             ovs-ofctl -OOpenFlow13 del-flows br-int
             ovs-ofctl -OOpenFlow13 add-flow br-int 'in_port=1 actions={sets}{comma}output:9'
             ovs-ofctl -OOpenFlow13 add-flow br-int 'in_port=9 actions=output:1'"
        );
        self.host.shell(&script).ok()?;
        self.far.clear();
        self.guest.clear();
        Ok(())
    }

    /// The next of the tunnel's packets.
    pub(super) fn caught(&self) -> Result<Vec<u8>> {
        self.far.receive("the tunnel's packet", PATIENCE, is_for_a_station)
    }

    /// The next frame for the guest.
    pub(super) fn delivered(&self) -> Result<Vec<u8>> {
        self.guest.receive("a frame for the guest", PATIENCE, is_for_a_station)
    }

    /// Every drop's counter that is not zero.
    pub(super) fn drops(&self) -> BTreeMap<String, u64> {
        let shown = ok(self.host.appctl("coverage/show"));
        let rows = shown.lines().filter_map(|line| {
            let name = line.split_whitespace().next().filter(|name| name.contains("drop_"))?;
            Some((name.to_owned(), line.rsplit("total: ").next()?.trim().parse().ok()?))
        });
        rows.collect()
    }
}

/// Not the host's own discovery and group reports.
fn is_for_a_station(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| byte & 1 == 0)
}

/// A tunnel's packet as if the other end, a stranger that cannot take unfinished checksums, had sent it: from there to here, without
/// our mark.
pub(super) fn reflected(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let is_v6 = frame.get(12..14) == Some(&[0x86, 0xdd]);
    let (addresses, len) = if is_v6 { (22, 16) } else { (26, 4) };
    for (start, len) in [(0, 6), (addresses, len)] {
        let (one, other) = frame[start..start + 2 * len].split_at_mut(len);
        one.swap_with_slice(other);
    }
    if is_v6 {
        frame[15] &= 0xf0;
        frame[16..18].fill(0);
    } else {
        frame[18..20].fill(0);
        fix_checksum(&mut frame[14..34]);
    }
    frame
}
