//! Every state of a tunnel, provoked, and seen where people and machines look: in the row, in `tunnel/show`, and there as JSON.

use std::time::Duration;

use lab::frames::{Spoil, frame, spoilt};
use testbed::wait;

use super::wire::Wire;
use crate::support::{fits, host_state, ok, ours};

const PATIENCE: Duration = Duration::from_secs(15);

const UDP: &str = "eth(src=02:00:00:00:01:01,dst=02:00:00:00:01:02),eth_type(0x0800),\
    ipv4(src=192.168.1.1,dst=192.168.1.2,proto=17,tos=0,ttl=61,frag=no),udp(src=1000,dst=2000)";
/// Longer than fits, and not to be cut.
const LONG: &[Spoil] =
    &[Spoil::At(16, &[0x07, 0xc2, 0, 0, 0x40, 0]), Spoil::FixIpv4(14), Spoil::Pad(2000)];

/// A tunnel, what the guest sends then, and how it stands.
struct Stand {
    tunnel: &'static str,
    sends: Sends,
    word: &'static str,
    /// `*` stands for anything.
    reason: &'static str,
}

#[derive(Clone, Copy)]
enum Sends {
    Nothing,
    Short,
    Long,
}

use Sends::{Long, Nothing, Short};

const fn stand(
    tunnel: &'static str,
    sends: Sends,
    word: &'static str,
    reason: &'static str,
) -> Stand {
    Stand { tunnel, sends, word, reason }
}

// One state a line, over both families.
#[rustfmt::skip]
const STANDS: &[Stand] = &[
    stand("vxlan remote_ip=10.0.0.2", Nothing, "up", "up through br-phy"),
    stand("gre remote_ip=fd00::2", Nothing, "up", "up through br-phy"),
    stand("geneve remote_ip=10.0.0.2", Long, "too-big", "up through br-phy, but packets longer than 1450 bytes came"),
    stand("gre remote_ip=fd00::2", Long, "too-big", "up through br-phy, but packets longer than 1442 bytes came"),
    stand("vxlan remote_ip=10.0.0.60", Nothing, "idle", "idle, route through br-phy"),
    stand("vxlan remote_ip=fd00::60", Nothing, "idle", "idle, route through br-phy"),
    stand("vxlan remote_ip=10.0.0.61", Short, "resolving", "resolving 10.0.0.61 on br-phy"),
    stand("vxlan remote_ip=fd00::61", Short, "resolving", "resolving fd00::61 on br-phy"),
    stand("vxlan remote_ip=10.0.0.62", Short, "no-neighbour", "no answer from 10.0.0.62 on br-phy"),
    stand("gtpu remote_ip=fd00::62", Short, "no-neighbour", "no answer from fd00::62 on br-phy"),
    stand("vxlan remote_ip=203.0.113.1", Nothing, "no-route", "no route to 203.0.113.1"),
    stand("srv6 remote_ip=2001:db8::1", Nothing, "no-route", "no route to 2001:db8::1"),
    stand("vxlan remote_ip=10.8.0.2", Nothing, "no-bridge", "route to 10.8.0.2 leads through d0, which is not a bridge of this switch"),
    stand("vxlan remote_ip=10.0.0.2 local_ip=10.0.0.99", Nothing, "no-local-address", "local_ip 10.0.0.99 is not an address of this host"),
    stand("vxlan remote_ip=10.0.0.5", Nothing, "remote-is-own", "remote_ip 10.0.0.5 is an address of this host"),
    stand("gre remote_ip=fd00::5", Nothing, "remote-is-own", "remote_ip fd00::5 is an address of this host"),
    stand("geneve remote_ip=flow key=flow", Nothing, "flow", "the remote end is chosen per flow"),
];

/// Word, reason and since when.
type Seen = [String; 3];

/// What is read of a tunnel: in its row, by the command, and by the command as JSON.
fn read(wire: &Wire) -> Option<[Seen; 3]> {
    let script = "ovs-vsctl --if-exists get interface t status
        ovs-appctl tunnel/show t
        ovs-appctl -f json tunnel/show t";
    let said = wire.host.shell(script).output().ok()?.stdout;
    let mut lines = said.lines();
    let status = lines.next()?;
    let within = |text: &str, start: String, ends: &[&str]| {
        let (_, rest) = text.split_once(&start)?;
        let end = ends.iter().filter_map(|end| rest.find(end)).min()?;
        Some(rest.get(..end)?.trim_matches('"').to_owned())
    };
    let column = |name: &str| within(status, format!("{name}="), &[", tunnel_", "}"]);
    let row =
        [column("tunnel_state")?, column("tunnel_state_reason")?, column("tunnel_state_since")?];
    let shown = lines.next()?;
    let (word, rest) = shown.strip_prefix("t: ")?.split_once(" (")?;
    let (reason, rest) = rest.rsplit_once(") since ")?;
    let since = rest.split(", MTU").next()?;
    let json: String = lines.collect();
    let field = |name: &str| within(&json, format!("\"{name}\":\""), &["\""]);
    let command = [word, reason, since].map(str::to_owned);
    Some([row, command, [field("state")?, field("reason")?, field("since")?]])
}

/// Waits until each has said so at some time: since when, as all of them say.
fn becomes(wire: &Wire, word: &str, reason: &str) -> Result<String, String> {
    let mut said = [None, None, None];
    let mut last = None;
    let shown = wait::until("the state", PATIENCE, || {
        last = read(wire);
        for (said, [w, r, since]) in said.iter_mut().zip(last.as_ref()?) {
            if w == word && fits(reason, r) {
                *said = Some(since.clone());
            }
        }
        let since = said[0].clone()?;
        said.iter().all(|other| other.as_ref() == Some(&since)).then_some(since)
    });
    shown.map_err(|e| format!("{e}: {word}, {reason}: {said:?}, and last {last:?}"))
}

fn error(wire: &Wire) -> String {
    ok(wire.host.vsctl("get interface t error")).trim().trim_matches('"').to_owned()
}

fn look(wire: &Wire, stand: &Stand) -> Result<(), String> {
    wire.set_up(stand.tunnel, "").map_err(|e| e.to_string())?;
    let sent = match stand.sends {
        Nothing => Ok(()),
        Short => wire.guest.send(&frame(UDP)),
        Long => wire.guest.send(&spoilt(frame(UDP), LONG)),
    };
    sent.map_err(|e| e.to_string())?;
    let since = becomes(wire, stand.word, stand.reason)?;
    let is_a_date = since.len() == 20 && since.starts_with("20") && since.ends_with('Z');
    is_a_date.then_some(()).ok_or(format!("since {since:?}"))
}

#[test]
fn every_state_is_seen_in_the_row_by_command_and_as_json() {
    if !ours() {
        return;
    }
    let wire = Wire::build();
    ok(wire.host.ns.ip("link add d0 type veth peer name d1"));
    ok(wire.host.ns.ip("addr add 10.8.0.1/24 dev d0"));
    ok(wire.host.ns.ip("link set d0 up"));
    let failed: Vec<_> = STANDS
        .iter()
        .filter_map(|stand| Some(format!("{}: {}", stand.tunnel, look(&wire, stand).err()?)))
        .collect();
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), host_state(&wire.host));
}

/// Options that make no tunnel, and one that could not be told from another, have a state as well, and get over it.
#[test]
fn a_tunnel_that_is_not_there_says_why_and_since_when() {
    if !ours() {
        return;
    }
    let wire = Wire::build();
    ok(wire.host.shell(
        "ovs-vsctl --force add-port br-int t -- set interface t type=vxlan options:key=99999999 options:remote_ip=10.0.0.2",
    ).output());
    let since = becomes(&wire, "misconfigured", "*99999999*").unwrap_or_else(|e| panic!("{e}"));
    assert!(error(&wire).contains("99999999"), "{}", error(&wire));
    // Nothing that happens meanwhile makes it another moment.
    ok(wire.host.vsctl("set interface eth1 external_ids:a=b"));
    assert_eq!(becomes(&wire, "misconfigured", "*").as_ref(), Ok(&since));
    ok(wire.host.vsctl("set interface t options:key=9"));
    becomes(&wire, "up", "up through br-phy").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(error(&wire), "[]");

    ok(wire.host.vsctl("del-port t"));
    ok(wire.host.vsctl(
        "add-port br-int t0 -- set interface t0 type=vxlan options:remote_ip=10.0.0.2 options:key=9",
    ));
    ok(wire.host.try_vsctl(
        "add-port br-int t -- set interface t type=vxlan options:remote_ip=10.0.0.2 options:key=9",
    ));
    becomes(&wire, "misconfigured", "*File exists*").unwrap_or_else(|e| panic!("{e}"));
    ok(wire.host.vsctl("del-port t0"));
    becomes(&wire, "up", "up through br-phy").unwrap_or_else(|e| panic!("{e}"));
}
