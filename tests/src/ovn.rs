//! OVN on our database server: its northbound and southbound databases, `ovn-northd`, `ovn-nbctl`, `ovn-sbctl`, and a chassis
//! with `ovn-controller`. What `ovn-northd` computes is the same as over the reference's server.

use std::path::PathBuf;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::{Error, Host, Process, Programs, Result, Testbed, wait};

use crate::support::{ok, ours, programs, reference};

const LIMIT: Duration = Duration::from_secs(60);

/// Two switches with two ports each behind one router, and rules on both.
const TOPOLOGY: &str = "\
ls-add sw0 -- ls-add sw1 -- lr-add lr0
lrp-add lr0 lr0-sw0 00:00:00:00:ff:00 10.0.0.1/24 -- lrp-add lr0 lr0-sw1 00:00:00:00:ff:01 10.0.1.1/24
lsp-add sw0 sw0-lr0 -- lsp-set-type sw0-lr0 router -- lsp-set-addresses sw0-lr0 router -- lsp-set-options sw0-lr0 router-port=lr0-sw0
lsp-add sw1 sw1-lr0 -- lsp-set-type sw1-lr0 router -- lsp-set-addresses sw1-lr0 router -- lsp-set-options sw1-lr0 router-port=lr0-sw1
lsp-add sw0 sw0-p1 -- lsp-set-addresses sw0-p1 '00:00:00:00:00:01 10.0.0.11'
lsp-add sw0 sw0-p2 -- lsp-set-addresses sw0-p2 '00:00:00:00:00:02 10.0.0.12'
lsp-add sw1 sw1-p1 -- lsp-set-addresses sw1-p1 '00:00:00:00:01:01 10.0.1.11'
lsp-add sw1 sw1-p2 -- lsp-set-addresses sw1-p2 '00:00:00:00:01:02 10.0.1.12' -- lsp-set-port-security sw1-p2 '00:00:00:00:01:02 10.0.1.12'
acl-add sw0 to-lport 1001 'outport == \"sw0-p1\" && ip4 && tcp.dst == 80' allow-related
acl-add sw0 to-lport 1000 'outport == \"sw0-p1\" && ip4' drop
--log --name=watched acl-add sw1 from-lport 900 'inport == \"sw1-p1\" && ip4.dst == 10.0.0.12' reject
pg-add pg0 sw0-p1 sw1-p1 -- acl-add pg0 to-lport 500 'outport == @pg0 && udp' drop
lb-add lb0 10.0.0.100:80 10.0.0.11:80,10.0.1.11:80 tcp -- ls-lb-add sw0 lb0 -- lr-lb-add lr0 lb0
lr-route-add lr0 0.0.0.0/0 10.0.1.12 -- lr-nat-add lr0 snat 10.0.1.1 10.0.0.0/24
--if-exists lsp-del sw0-p2 -- lsp-add sw0 sw0-p2 -- lsp-set-addresses sw0-p2 '00:00:00:00:00:22 10.0.0.22'";

/// A host whose two database servers serve OVN's databases to `ovn-northd`.
struct Central {
    host: Host,
    _processes: Vec<Process>,
    _bed: Testbed,
}

impl Central {
    #[track_caller]
    fn start(programs: &Programs) -> Self {
        let bed = ok(Testbed::new(Sharing::Shared));
        let host = ok(bed.host("central", programs));
        ok(host.ns.ip("link set lo up"));
        let mut processes = Vec::new();
        for (name, global) in
            [("nb", "OVN_Northbound,NB_Global"), ("sb", "OVN_Southbound,SB_Global")]
        {
            let dir = host.dir().display();
            ok(host
                .shell(&format!(
                    "ovsdb-tool create {dir}/{name}.db /usr/share/ovn/ovn-{name}.ovsschema"
                ))
                .ok());
            let server = host.cmd(
                "ovsdb-server",
                [
                    format!("--remote=punix:{dir}/{name}.sock"),
                    format!("--remote=db:{global},connections"),
                    format!("--unixctl={dir}/{name}.ctl"),
                    format!("--log-file={dir}/{name}.log"),
                    format!("{dir}/{name}.db"),
                ],
            );
            processes.push(ok(ok(server).spawn(&host.dir().join(format!("{name}.out")))));
        }
        let dir = host.dir().display().to_string();
        let northd = host.shell(&format!(
            "exec /usr/bin/ovn-northd --ovnnb-db=unix:{dir}/nb.sock --ovnsb-db=unix:{dir}/sb.sock --unixctl={dir}/northd.ctl -vconsole:info"
        ));
        let northd = northd.env("OVN_RUNDIR", &dir).env("OVN_LOGDIR", &dir);
        for name in ["nb", "sb"] {
            let socket = host.dir().join(format!("{name}.sock"));
            ok(wait::until("a database server listens", LIMIT, || socket.exists().then_some(())));
        }
        processes.push(ok(northd.spawn(&host.dir().join("northd.out"))));
        let this = Self { host, _processes: processes, _bed: bed };
        ok(this.nbctl("init"));
        this
    }

    fn ovn(&self, program: &str, database: &str, line: &str) -> Result<String> {
        let dir = self.host.dir().display().to_string();
        let line =
            format!("/usr/bin/{program} --timeout=60 --db=unix:{dir}/{database}.sock {line}");
        self.host.shell(&line).env("OVN_RUNDIR", &dir).limit(LIMIT * 2).ok()
    }

    fn nbctl(&self, line: &str) -> Result<String> {
        self.ovn("ovn-nbctl", "nb", line)
    }

    fn sbctl(&self, line: &str) -> Result<String> {
        self.ovn("ovn-sbctl", "sb", line)
    }

    /// Everything that was computed, without what is random.
    #[track_caller]
    fn results(&self) -> String {
        let shown = [
            ok(self.sbctl("lflow-list")),
            ok(self.sbctl("--bare --columns=logical_port,type list Port_Binding")),
            ok(self.sbctl("--bare --columns=external_ids list Datapath_Binding")),
            ok(self.sbctl("--bare --columns=name,addresses list Address_Set")),
            ok(self.sbctl("--bare --columns=ports list Port_Group")),
            ok(self.sbctl("--bare --columns=name,vips list Load_Balancer")),
            ok(self.sbctl(
                "--bare --columns=table,authorization,insert_delete,update list RBAC_Permission",
            )),
            ok(self.nbctl("show")),
        ];
        shown.iter().map(|text| sorted(&without_uuids(text))).collect::<Vec<_>>().join("\n===\n")
    }
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn without_uuids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_uuid = rest.get(..36).is_some_and(|word| {
            word.bytes().enumerate().all(|(i, b)| match i {
                8 | 13 | 18 | 23 => b == b'-',
                _ => b.is_ascii_hexdigit(),
            })
        });
        if is_uuid {
            out.push_str("<uuid>");
            rest = &rest[36..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[track_caller]
fn needs_ovn() {
    for program in ["ovn-northd", "ovn-nbctl", "ovn-sbctl", "ovn-controller"] {
        let path = PathBuf::from("/usr/bin").join(program);
        let hint = "the test needs Debian's packages ovn-central and ovn-host";
        assert!(path.exists(), "{}", Error::Missing(format!("{program} is missing: {hint}")));
    }
}

#[track_caller]
fn computed(programs: &Programs) -> String {
    let central = Central::start(programs);
    for line in TOPOLOGY.lines() {
        ok(central.nbctl(line));
    }
    // What northd would make up by itself.
    ok(central.nbctl(
        "set NB_Global . options:svc_monitor_mac=02:00:00:00:00:01 options:mac_prefix=02:00:00",
    ));
    ok(central.nbctl("--wait=sb sync"));
    let first = central.results();
    // What is taken away is gone from the flows.
    ok(central.nbctl("--wait=sb ls-del sw1 -- acl-del sw0"));
    format!("{first}\n=== after deletions\n{}", central.results())
}

#[test]
fn northd_computes_the_same_over_our_server() {
    needs_ovn();
    let computed_here = computed(&programs());
    let flows = computed_here.lines().filter(|line| line.starts_with("table=")).count();
    assert!(flows > 300, "{flows} logical flows\n{computed_here}");
    if ours() {
        let computed_there = computed(&reference());
        for (here, there) in computed_here.lines().zip(computed_there.lines()) {
            assert_eq!(here, there);
        }
        assert_eq!(computed_here.len(), computed_there.len());
    }
}

#[test]
fn a_chassis_follows_the_southbound_database() {
    needs_ovn();
    let mut central = Central::start(&programs());
    for line in TOPOLOGY.lines() {
        ok(central.nbctl(line));
    }
    ok(central.host.start());
    let dir = central.host.dir().display().to_string();
    ok(central.host.vsctl(&format!(
        "set Open_vSwitch . external_ids:system-id=hv1 external_ids:ovn-remote=unix:{dir}/sb.sock \
         external_ids:ovn-encap-type=geneve external_ids:ovn-encap-ip=127.0.0.1 external_ids:ovn-bridge-datapath-type=netdev"
    )));
    ok(central
        .host
        .vsctl("add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure"));
    ok(central.host.vsctl(
        "add-port br-int vm1 -- set interface vm1 type=internal external_ids:iface-id=sw0-p1",
    ));
    let controller = central
        .host
        .shell(&format!("exec /usr/bin/ovn-controller unix:{dir}/db.sock -vconsole:info"));
    let controller = controller.env("OVN_RUNDIR", &dir).env("OVN_LOGDIR", &dir);
    let _controller = ok(controller.spawn(&central.host.dir().join("controller.out")));
    ok(central.nbctl("--wait=hv sync"));
    ok(central.nbctl("wait-until Logical_Switch_Port sw0-p1 up=true"));
    let bound = ok(central.sbctl("--bare --columns=logical_port find Port_Binding up=true"));
    assert_eq!(bound.trim(), "sw0-p1");
    let chassis = ok(central.sbctl("--bare --columns=name list Chassis"));
    assert_eq!(chassis.trim(), "hv1");
    let up = ok(central.nbctl("lsp-get-up sw0-p1"));
    assert_eq!(up.trim(), "up");
    let flows = ok(central.host.shell("ovs-ofctl -O OpenFlow15 dump-flows br-int").ok());
    assert!(flows.lines().count() > 300, "{} flows", flows.lines().count());
}
