//! Clients of databases that people use, unmodified: the Python packages `ovs` and `ovsdbapp`, against our server and the
//! reference's. They see and say the same: conditions, reconnecting, locks, conflicts.

use std::time::Duration;

use testbed::bed::Sharing;
use testbed::python::Python;
use testbed::{Programs, Testbed, wait};

use crate::support::{ok, ours, programs, reference};

const SESSION: &str = include_str!("clients/session.py");
const SCHEMA: &str = "/usr/share/ovn/ovn-nb.ovsschema";
const LIMIT: Duration = Duration::from_secs(60);

/// What the session prints with the database on this server.
#[track_caller]
fn session(programs: &Programs) -> String {
    let python = ok(Python::with_database_clients());
    let bed = ok(Testbed::new(Sharing::Shared));
    let host = ok(bed.host("host1", programs));
    let path = |name: &str| host.dir().join(name);
    let text = |name: &str| path(name).display().to_string();
    ok(host.shell(&format!("ovsdb-tool create {} {SCHEMA}", text("nb.db"))).ok());
    let server = ok(host.cmd(
        "ovsdb-server",
        [
            format!("--remote=punix:{}", text("nb.sock")),
            format!("--unixctl={}", text("nb.ctl")),
            text("nb.db"),
        ],
    ));
    let _server = ok(server.spawn(&path("nb.out")));
    let ready = || (path("nb.sock").exists() && path("nb.ctl").exists()).then_some(());
    ok(wait::until("the database server listens", LIMIT, ready));
    let script = path("session.py");
    std::fs::write(&script, SESSION).unwrap();
    let args = [text("nb.sock"), text("nb.ctl"), SCHEMA.to_owned()];
    ok(python.script(&host.ns, &script, args).limit(LIMIT).ok())
}

#[test]
fn python_clients_see_the_same() {
    let here = session(&programs());
    assert!(here.ends_with("done\n"), "{here}");
    if ours() {
        assert_eq!(here, session(&reference()));
    }
}
