//! Ports by DPDK: the default build says what to use instead; a build that has it (docs/dpdk.md says how to make one)
//! carries traffic over virtual devices.

use testbed::Host;

use crate::support::{OneBridge, ok, ours};

/// Two guests, and whether the programs under test have DPDK.
fn two_guests() -> (OneBridge, bool) {
    let net = OneBridge::build(2);
    let types = ok(net.host.vsctl("get Open_vSwitch . iface_types"));
    let has = types.split([',', '[', ']']).any(|ty| ty.trim() == "dpdk");
    (net, has)
}

fn error(host: &Host, port: &str) -> String {
    ok(host.vsctl(&format!("get interface {port} error"))).trim().to_owned()
}

#[test]
fn a_build_without_dpdk_says_so_and_what_to_use_instead() {
    if !ours() {
        return; // What Debian's says of it is its own affair.
    }
    let (net, has_dpdk) = two_guests();
    if has_dpdk {
        return; // The other test's build.
    }
    let add = "add-port br0 dpdk0 -- set interface dpdk0 type=dpdk options:dpdk-devargs=net_null0";
    let said = ok(net.host.try_vsctl(add));
    assert!(!said.success(), "{said:?}");
    let error = error(&net.host, "dpdk0");
    for part in ["could not open network device dpdk0", "no DPDK", "--features dpdk", "type=afxdp"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(ok(net.host.vsctl("get interface dpdk0 ofport")).trim(), "-1");
    ok(net.host.try_vsctl("set Open_vSwitch . other_config:dpdk-init=true"));
    assert_eq!(ok(net.host.vsctl("get Open_vSwitch . dpdk_initialized")).trim(), "false");
    net.assert_connected();
}

/// Of programs built with DPDK: docs/dpdk.md says how to run this.
#[cfg(feature = "dpdk")]
mod with_dpdk {
    use std::time::Duration;

    use testbed::probe::{self, Ping};
    use testbed::wait;

    use super::*;
    use crate::support::host_state;

    /// Ping and TCP both ways, and UDP in single packets: `net_af_packet` has the kernel put fragments together, to datagrams longer
    /// than any device takes.
    fn assert_connected(net: &OneBridge) {
        let [a, b] = &net.guests[..] else { panic!("two guests") };
        for (from, to) in [(a, b), (b, a)] {
            let echoes = ok(probe::ping(&from.ns, to.address, Ping::default()));
            assert_eq!(echoes.lost(), 0, "{echoes}\n{}", host_state(&net.host));
            ok(probe::tcp(from, to, 4 << 20));
            let lost = ok(probe::udp(from, to));
            assert!(lost.iter().all(|len| *len > 1422), "{lost:?}");
        }
    }

    #[test]
    fn virtual_devices_of_a_build_with_dpdk_carry_traffic() {
        let (net, has_dpdk) = two_guests();
        assert!(has_dpdk, "the programs under test were built without DPDK");
        let host = &net.host;
        let add = |port: &str, devargs: &str| {
            ok(host.try_vsctl(&format!(
                "add-port br0 {port} -- set interface {port} type=dpdk options:dpdk-devargs={devargs}"
            )));
            error(host, port)
        };
        assert!(add("early", "net_null9").contains("DPDK is not started"));
        ok(host.vsctl("del-port early"));
        let args =
            "other_config:dpdk-init=true other_config:dpdk-extra=\"--no-huge -m 256 --no-pci\"";
        ok(host.shell(&format!("ovs-vsctl set Open_vSwitch . {args}")).ok());
        assert_eq!(ok(host.vsctl("get Open_vSwitch . dpdk_initialized")).trim(), "true");

        for (i, guest) in net.guests.iter().enumerate() {
            ok(guest.ns.cmd("ethtool -K eth0 tso off gso off gro off".split(' ')).ok());
            ok(host.vsctl(&format!("del-port tap{i}")));
            assert_eq!(add(&format!("d{i}"), &format!("net_af_packet{i},iface=tap{i}")), "[]");
        }
        assert_connected(&net);

        assert_eq!(add("t0", "net_tap0,iface=dtap0"), "[]");
        assert!(host.ns.has("dtap0"));
        ok(host.vsctl("del-port t0"));
        assert!(!host.ns.has("dtap0"), "the device goes with its port");

        let sent = host.dir().join("sent.pcap");
        assert_eq!(add("p0", &format!("net_pcap0,tx_pcap={}", sent.display())), "[]");
        assert_eq!(add("n0", "net_null0,no-rx=1"), "[]");
        ok(net.guests[0].ns.ip("neigh flush all"));
        assert_connected(&net);
        let flooded = wait::until("what is flooded to be counted", Duration::from_secs(15), || {
            let count = ok(host.vsctl("get interface p0 statistics:tx_packets"));
            (count.trim() != "0").then_some(())
        });
        ok(flooded);
        assert!(add("x0", "net_nothing0").contains("net_nothing0: "));
    }
}
