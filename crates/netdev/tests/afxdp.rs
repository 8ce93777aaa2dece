//! AF_XDP devices in network namespaces, with the kernel's stack at their ends. Needs root.

mod bed;
mod forwarder;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bed::{Bed, LEFT, RIGHT, tcp};
use forwarder::{Forwarder, Report};
use netdev::{Device, Kind};
use testbed::probe::{self, Ping};

/// Devices of those kinds and modes at the switch's two ends.
fn pair(bed: &Bed, left: (Kind, &str), right: (Kind, &str)) -> [Arc<dyn Device>; 2] {
    let open = |name, (kind, mode): (Kind, &str)| {
        let options = [("xdp-mode", mode)];
        bed.open_with(kind, name, &options[..usize::from(!mode.is_empty())]).unwrap()
    };
    [open("left", left), open("right", right)]
}

fn assert_passed(report: &Report) {
    assert!(report.error.is_none(), "{:?}", report.error);
    for passed in report.passed {
        assert!(passed.packets > 0, "{passed:?}");
    }
}

fn left_server() -> SocketAddr {
    SocketAddr::new(LEFT.into(), 5001)
}

#[test]
fn tcp_passes_at_default_offloads_whatever_is_at_the_other_end() {
    for right in [(Kind::Afxdp, ""), (Kind::AfxdpNonpmd, "native"), (Kind::System, "")] {
        let bed = Bed::new();
        let [a, b] = pair(&bed, (Kind::Afxdp, "native"), right);
        assert_eq!(a.status().unwrap().details["xdp-mode-in-use"], "native");
        let forwarder = Forwarder::start(a, b);
        tcp(&bed.left, left_server(), &bed.right);
        assert_passed(&forwarder.stop());
    }
}
