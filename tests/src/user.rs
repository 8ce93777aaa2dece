//! Daemons that root starts and that serve as another user (`--user`): what they keep of root's power is enough for every kind of port.

use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use testbed::bed::Sharing;
use testbed::guest::Wire;
use testbed::probe::{self, Ping};
use testbed::{Guest, Host, Testbed, wait};

use crate::support::{host_state, ok, ours, programs};

/// Debian's `daemon`, and its group.
const USER: (u32, u32) = (1, 1);

fn owner(path: &Path) -> (u32, u32) {
    let meta = std::fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (meta.uid(), meta.gid())
}

/// A line of `/proc/PID/status`.
fn status_of(pid: u32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("such a line");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn guest(bed: &Testbed, host: &Host, n: u8) -> Guest {
    let address = Ipv4Addr::new(192, 168, 1, n + 1);
    let (name, port) = (format!("vm{n}"), format!("tap{n}"));
    ok(Guest::new(bed, &host.ns, &name, &port, address, Wire::Veth))
}

#[test]
fn another_user_is_enough_for_every_kind_of_port() {
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut host = ok(bed.host("host1", &programs()));
    chown(host.dir(), Some(USER.0), Some(USER.1)).expect("root may");
    // As it is set up where daemons serve as a user from the first day.
    let database = host.database_file().display().to_string();
    ok(ok(host.cmd("ovsdb-tool", ["create", &database])).ok());
    chown(host.database_file(), Some(USER.0), Some(USER.1)).expect("root may");
    let lock = host.dir().join(".conf.db.~lock~");
    if lock.exists() {
        chown(lock, Some(USER.0), Some(USER.1)).expect("root may");
    }
    ok(host.start_database(&["--user=daemon"]));
    ok(host.start_switch(&["--user=daemon:daemon"]));
    let pids = [&host.database, &host.switch].map(|p| p.as_ref().expect("started").pid());
    for pid in pids {
        assert_eq!(status_of(pid, "Uid:"), "1 1 1 1");
        assert_eq!(status_of(pid, "CapBnd:"), "0000000000000000");
    }
    assert_eq!(status_of(pids[0], "CapEff:"), "0000000000004400");
    assert_eq!(status_of(pids[1], "CapEff:"), "000000c000007c00");

    ok(host.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev"));
    let guests = [0, 1, 2].map(|n| guest(&bed, &host, n));
    ok(host.vsctl(
        "add-port br0 tap0 -- add-port br0 tap1 \
         -- add-port br0 tap2 -- set interface tap2 type=afxdp \
         -- add-port br0 own0 -- set interface own0 type=tap options:n_rxq=2 \
         -- add-port br0 vm0 -- set interface vm0 type=dpdkvhostuser \
         -- add-port br0 vx0 -- set interface vx0 type=vxlan options:remote_ip=10.0.0.1",
    ));
    for port in ["br0", "tap0", "tap1", "tap2", "own0", "vm0"] {
        let error = ok(host.vsctl(&format!("get interface {port} error")));
        assert_eq!(error.trim(), "[]", "{port}");
    }
    let n_rxq = ok(host.vsctl("get interface own0 status:n_rxq"));
    assert_eq!(n_rxq.trim(), "\"2\"", "steering of taps");
    for path in ["conf.db", "db.sock", "vm0", "br0.mgmt", "ovs-vswitchd.log", "ovs-vswitchd.pid"] {
        assert_eq!(owner(&host.dir().join(path)), USER, "{path}");
    }
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let (from, to) = (&guests[from], &guests[to]);
        let how = Ping { count: 3, ..Ping::default() };
        let echoes = ok(probe::ping(&from.ns, to.address, how));
        assert_eq!(echoes.lost(), 0, "{}: {echoes}\n{}", to.address, host_state(&host));
        ok(probe::tcp(from, to, 1 << 20));
    }
    // Established flows run in the kernel.
    wait::until("a flow that the kernel runs", std::time::Duration::from_secs(15), || {
        ok(probe::ping(&guests[0].ns, guests[1].address, Ping { count: 20, ..Ping::default() }));
        ok(host.appctl("dpctl/dump-flows type=offloaded")).contains("actions:").then_some(())
    })
    .unwrap_or_else(|e| panic!("{e}\n{}", host_state(&host)));
    // The log file can be opened anew after it was rotated away.
    let log = host.dir().join("ovs-vswitchd.log");
    std::fs::rename(&log, host.dir().join("old.log")).expect("it is there");
    ok(host.appctl("vlog/reopen"));
    assert_eq!(owner(&log), USER);
    ok(host.appctl("exit"));
    wait::until("the pidfile to go", std::time::Duration::from_secs(10), || {
        (!host.dir().join("ovs-vswitchd.pid").exists()).then_some(())
    })
    .unwrap_or_else(|e| panic!("{e}"));
}

/// Both daemons in one process; the database is made by the user that is to write it.
#[test]
fn one_process_serves_as_another_user() {
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut host = ok(bed.host("host1", &programs()));
    chown(host.dir(), Some(USER.0), Some(USER.1)).expect("root may");
    ok(host.start_in_one(&["--user=daemon"]));
    assert_eq!(owner(&host.database_file()), USER);
    ok(host.vsctl("add-br br0"));
    assert_eq!(ok(host.vsctl("get interface br0 error")).trim(), "[]");
}

/// What cannot be is said, by both makers in the same words, but for a name that is none ("(null)") where there is no pidfile.
#[test]
fn users_that_cannot_be_are_refused_in_the_references_words() {
    let bed = ok(Testbed::new(Sharing::Shared));
    let [ours, theirs] = [programs(), crate::support::reference()].map(|programs| {
        let host = ok(bed.host(&format!("{:?}", programs.maker()).to_lowercase(), &programs));
        let specs = ["nosuch", "daemon:nosuch", "daemon:root", ":daemon", "root:daemon"];
        let tries =
            specs.iter().flat_map(|user| ["ovs-vswitchd", "ovsdb-server"].map(|p| (p, user)));
        let said = tries.map(|(program, user)| {
            let args = ["--pidfile=/x/pid".to_owned(), format!("--user={user}")];
            let output = ok(ok(host.cmd(program, args)).output());
            (output.code, output.stderr.lines().last().unwrap_or_default().to_owned())
        });
        said.collect::<Vec<_>>()
    });
    assert_eq!(ours, theirs);
}
