//! What the tests share: which programs, which plans, and failing with everything one needs to know.

use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guest::Wire;
use testbed::guide::{Flavor, Plan, Site, TwoSites};
use testbed::probe::{self, Echoes, Ping};
use testbed::{Guest, Host, Programs, Result, Testbed};

/// The programs to test.
pub(crate) fn programs() -> Programs {
    Programs::under_test().unwrap_or_else(|e| panic!("{e}"))
}

/// Whether ours are tested, not the reference's, which need not be better than it is.
pub(crate) fn ours() -> bool {
    programs().are_ours()
}

/// Debian's Open vSwitch, the peer.
pub(crate) fn reference() -> Programs {
    Programs::reference().unwrap_or_else(|e| panic!("{e}"))
}

/// Unwraps, with the error's own words.
#[track_caller]
pub(crate) fn ok<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}

/// The guide between these flavours. Guests keep their offloads unless it is the reference that switches for them, which
/// leaves their checksums unfinished.
pub(crate) fn plan(a: Flavor, b: Flavor) -> Plan {
    let by_reference = |f: &Flavor| matches!(f, Flavor::Switch(p) if !p.are_ours());
    let offloads = [!by_reference(&a), !by_reference(&b)];
    Plan { offloads, ..Plan::between(a, b) }
}

/// Every way traffic must pass between the guests: ping, TCP and UDP, each in both directions.
#[track_caller]
pub(crate) fn assert_connected(two: &TwoSites, bytes: usize) {
    for (from, to) in two.directions() {
        let echoes = ok(probe::ping(&from.guest.ns, to.guest.address, Ping::default()));
        assert_eq!(echoes.lost(), 0, "ping {}: {echoes}\n{}", to.guest.address, state(two));
        probe::tcp(&from.guest, &to.guest, bytes).unwrap_or_else(|e| panic!("{e}\n{}", state(two)));
        let lost = ok(probe::udp(&from.guest, &to.guest));
        assert!(
            lost.is_empty(),
            "UDP payloads of {lost:?} bytes did not come back\n{}",
            state(two)
        );
    }
}

/// The very first packet counts: none lost, and the first answered in less than `limit`.
#[track_caller]
pub(crate) fn assert_first_ping(two: &TwoSites, limit: Duration) {
    let echoes = first_ping(two);
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", state(two));
    assert!(echoes.first().is_some_and(|rtt| rtt < limit), "{echoes}\n{}", state(two));
}

/// Pings from the first guest to the second.
#[track_caller]
pub(crate) fn first_ping(two: &TwoSites) -> Echoes {
    let [a, b] = &two.sites;
    ok(probe::ping(&a.guest.ns, b.guest.address, Ping::default()))
}

/// Both switches' view, for a failed test's message.
pub(crate) fn state(two: &TwoSites) -> String {
    two.sites
        .iter()
        .filter(|s| s.by_kernel.is_none())
        .map(|site: &Site| host_state(&site.host))
        .collect()
}

/// A switch's view, for a failed test's message.
pub(crate) fn host_state(host: &Host) -> String {
    let commands = [
        "dpif/show",
        "ovs/route/show",
        "tnl/neigh/show",
        "tnl/ports/show -v",
        "dpctl/dump-flows",
        "coverage/show",
    ];
    let shown = commands.map(|command| {
        let said = host.appctl(command).unwrap_or_else(|e| e.to_string());
        format!("--- {} {command}\n{said}\n", host.ns.name())
    });
    format!("{}--- log\n{}\n", shown.concat(), host.switch_log())
}

/// One host with a bridge `br0` and guests on its ports `tap0`, `tap1` and so on.
#[derive(Debug)]
pub(crate) struct OneBridge {
    pub(crate) guests: Vec<Guest>,
    pub(crate) host: Host,
    _bed: Testbed,
}

impl OneBridge {
    /// With this many guests behind veth.
    #[track_caller]
    pub(crate) fn build(guests: usize) -> Self {
        Self::of(&vec![Wire::Veth; guests])
    }

    /// With guests behind these wires. Those of the reference have no offloads.
    #[track_caller]
    pub(crate) fn of(wires: &[Wire]) -> Self {
        let bed = ok(Testbed::new(Sharing::Shared));
        let mut host = ok(bed.host("host1", &programs()));
        ok(host.start());
        ok(host.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev"));
        let mut guests = Vec::new();
        for (i, wire) in (0u8..).zip(wires) {
            let (name, port) = (format!("vm{i}"), format!("tap{i}"));
            let address = std::net::Ipv4Addr::new(192, 168, 1, i + 1);
            let guest = ok(Guest::new(&bed, &host.ns, &name, &port, address, *wire));
            if !ours() {
                ok(guest.offloads_off());
            }
            ok(host.vsctl(&format!("add-port br0 {port}")));
            guests.push(guest);
        }
        Self { guests, host, _bed: bed }
    }

    /// Whether every guest reaches every other, by ping, TCP and UDP.
    pub(crate) fn connected(&self) -> std::result::Result<(), String> {
        let pairs = self.guests.iter().flat_map(|a| self.guests.iter().map(move |b| (a, b)));
        for (from, to) in pairs.filter(|(a, b)| a.address != b.address) {
            let how = Ping { count: 5, interval: Duration::from_millis(5), ..Ping::default() };
            let echoes = probe::ping(&from.ns, to.address, how).map_err(|e| e.to_string())?;
            if echoes.lost() > 0 {
                return Err(format!("ping {} -> {}: {echoes}", from.address, to.address));
            }
            probe::tcp(from, to, 1 << 20).map_err(|e| e.to_string())?;
            let lost = probe::udp(from, to).map_err(|e| e.to_string())?;
            if !lost.is_empty() {
                return Err(format!("UDP {} -> {}: {lost:?} lost", from.address, to.address));
            }
        }
        Ok(())
    }

    #[track_caller]
    pub(crate) fn assert_connected(&self) {
        self.connected().unwrap_or_else(|e| panic!("{e}\n{}", host_state(&self.host)));
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any characters.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or("")) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Asserts that the lines of `text` are these, in this order, by [`fits`].
#[track_caller]
pub(crate) fn assert_lines(text: &str, patterns: &[&str]) {
    let lines: Vec<&str> = text.lines().collect();
    let all_fit =
        lines.len() == patterns.len() && lines.iter().zip(patterns).all(|(line, p)| fits(p, line));
    assert!(all_fit, "expected\n{}\ngot\n{text}", patterns.join("\n"));
}

/// Asserts that some line of `text` fits.
#[track_caller]
pub(crate) fn assert_some_line(text: &str, pattern: &str) {
    assert!(text.lines().any(|line| fits(pattern, line)), "no line is like\n{pattern}\nin\n{text}");
}

#[test]
fn a_star_fits_anything() {
    assert!(fits("a*c", "abbc") && fits("*", "") && fits("a*b*c", "a--b--c") && fits("abc", "abc"));
    assert!(!fits("a*c", "abb") && !fits("abc", "abcd") && !fits("a*b*c", "ac") && !fits("*x", ""));
}
