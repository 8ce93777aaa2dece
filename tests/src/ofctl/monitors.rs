//! `monitor` and `snoop` in the background, of both sides: what they are told, and what they print of it.
//!
//! A barrier, asked for at the control socket, says when answers are printed; for packets, which may come later, they wait.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use testbed::wait;

use super::normal;
use super::sides::Side;

/// A monitor that runs in the background, until it is told to exit.
pub(super) struct Monitor<'a> {
    side: &'a Side,
}

const PACKET: &str =
    "505400000001505400000002080045000028000000004006f97cc0a80001c0a800020000000000000000";

impl<'a> Monitor<'a> {
    pub(super) fn start(side: &'a Side, args: &[&str]) -> Self {
        let daemon = ["--detach", "--no-chdir", "--pidfile=m.pid", "--unixctl=m.ctl"];
        let args: Vec<String> = args.iter().chain(&daemon).map(|arg| (*arg).to_owned()).collect();
        let errors = File::create(side.dir().join("m.err")).expect("a file");
        let status =
            side.command(&args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).status();
        let said = || std::fs::read_to_string(side.dir().join("m.err")).unwrap_or_default();
        assert!(status.is_ok_and(|status| status.success()), "{args:?}: {}", said());
        Monitor { side }
    }

    /// What the control socket answers, and whether it is an error.
    pub(super) fn tell(&self, words: &[&str]) -> (bool, String) {
        let output = Command::new("/usr/bin/ovs-appctl")
            .arg("--target")
            .arg(self.side.dir().join("m.ctl"))
            .args(words)
            .env("OVS_RUNDIR", self.side.dir())
            .output()
            .expect("ovs-appctl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
    }

    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(self.side.dir().join("m.err")).unwrap_or_default()
    }

    /// Waits until it has printed `count` messages of a kind.
    pub(super) fn await_messages(&self, kind: &str, count: usize) {
        wait_for(&format!("{count} {kind}"), || self.said().matches(kind).count() >= count);
    }

    /// Ends it; returns what it printed.
    pub(super) fn finish(self) -> String {
        assert!(self.tell(&["exit"]).0);
        let pidfile = self.side.dir().join("m.pid");
        wait_for("the monitor to exit", || !pidfile.exists());
        let text = self.said();
        // A switch that is busy elsewhere may come to ask whether its peer still lives.
        let is_probe = |line: &str| line.starts_with("OFPT_ECHO_REQUEST");
        let kept = |line: &&str| !is_probe(line);
        let text: String = text.lines().filter(kept).map(|line| format!("{line}\n")).collect();
        normal::text(&text, self.side.dir())
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let limit = Duration::from_secs(20);
    if let Err(error) = wait::until(what, limit, || condition().then_some(())) {
        panic!("{error}");
    }
}

/// Has both sides monitor, and do the same meanwhile; what they print is equal.
#[track_caller]
fn same(ours: &Side, theirs: &Side, args: &[&str], act: impl Fn(&Side, &Monitor<'_>)) -> String {
    let [left, right] = [ours, theirs].map(|side| {
        let monitor = Monitor::start(side, args);
        act(side, &monitor);
        assert_eq!(monitor.tell(&["ofctl/barrier"]), (true, String::new()));
        monitor.finish()
    });
    assert_eq!(left, right, "{args:?} (left: ours)");
    left
}

/// Our program on either switch, each beside Debian's on Debian's.
fn pairs() -> [(Side, Side); 2] {
    [(Side::guest(), Side::theirs()), (Side::ours(), Side::theirs())]
}

fn run(side: &Side, words: &str) {
    let args: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let outcome = side.ofctl(&args, "");
    assert_eq!(outcome.code, Some(0), "{words}: {}", outcome.err);
}

#[test]
fn monitors_are_told_the_same_and_say_the_same() {
    for (ours, theirs) in pairs() {
        let packets = |side: &Side, monitor: &Monitor<'_>| {
            run(side, &format!("packet-out br0 1 controller {PACKET}"));
            run(side, &format!("packet-out br0 2 controller(userdata=01.02,max_len=20) {PACKET}"));
            monitor.await_messages("PACKET_IN", 2);
        };
        for version in
            ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"]
        {
            let said = same(&ours, &theirs, &["-O", version, "monitor", "br0", "65534"], packets);
            assert!(said.contains("NXT_PACKET_IN2"), "{said}");
            for form in ["standard", "nxt_packet_in", "nxt_packet_in2"] {
                let args = ["-O", version, "-P", form, "monitor", "br0", "65534"];
                same(&ours, &theirs, &args, packets);
            }
        }
        for args in [
            &["monitor", "br0", "128", "invalid_ttl"][..],
            &["-O", "OpenFlow13", "-m", "monitor", "br0", "128"],
            &["--names", "-O", "OpenFlow13", "monitor", "br0", "128"],
        ] {
            same(&ours, &theirs, args, packets);
        }
    }
}

#[test]
fn flows_are_watched_the_same() {
    for (ours, theirs) in pairs() {
        let change = |side: &Side, _: &Monitor<'_>| {
            run(side, "add-flow br0 table=1,in_port=1,cookie=5,actions=2");
            run(side, "add-flow br0 table=2,ip,nw_dst=10.0.0.0/8,idle_timeout=60,actions=normal");
            run(side, "mod-flows br0 table=1,in_port=1,actions=3");
            run(side, "del-flows br0 table=2");
            run(side, "mod-port br0 p1 down");
            run(side, "mod-port br0 p1 up");
        };
        for version in ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"] {
            for watch in [
                "watch:",
                "watch:!initial,table=2",
                "watch:!add,!own",
                "watch:!actions,in_port=1",
                "watch:out_port=3",
            ] {
                let said = same(&ours, &theirs, &["-O", version, "monitor", "br0", watch], change);
                assert!(watch != "watch:" || said.contains("event=ADDED"), "{said}");
            }
        }
    }
}

#[test]
fn commands_of_the_control_socket_answer_the_same() {
    for (ours, theirs) in pairs() {
        let act = |side: &Side, monitor: &Monitor<'_>| {
            let packet = format!("in_port=2 packet={PACKET} actions=controller");
            let mut answers = Vec::new();
            for words in [
                &["ofctl/send", "0402000800000007", "zz", "01"][..],
                &["ofctl/barrier"],
                &["ofctl/packet-out", &packet],
                &["ofctl/packet-out", "foo"],
                &["ofctl/barrier"],
                &["ofctl/block"],
                &["ofctl/block"],
                &["ofctl/unblock"],
                &["ofctl/unblock"],
            ] {
                answers.push(monitor.tell(words));
                if words.contains(&packet.as_str()) {
                    monitor.await_messages("PACKET_IN", 1);
                }
            }
            let text: String = answers.iter().map(|(ok, text)| format!("{ok} {text}\n")).collect();
            side.write("answers", &normal::text(&text, side.dir()));
        };
        same(&ours, &theirs, &["-O", "OpenFlow13", "monitor", "br0", "128"], act);
        let [left, right] = [&ours, &theirs]
            .map(|side| std::fs::read_to_string(side.dir().join("answers")).expect("answers"));
        assert_eq!(left, right, "left: ours");
    }
}

#[test]
fn packets_that_wait_are_resumed() {
    for (ours, theirs) in pairs() {
        for side in [&ours, &theirs] {
            run(side, "add-flow br0 in_port=1,actions=controller(pause),output:3");
        }
        let act = |side: &Side, monitor: &Monitor<'_>| {
            run(side, &format!("packet-out br0 1 table {PACKET}"));
            monitor.await_messages("NXT_RESUME", 1);
        };
        same(&ours, &theirs, &["-O", "OpenFlow13", "monitor", "br0", "128", "resume"], act);
        for side in [&ours, &theirs] {
            let words = ["dump-ports", "br0", "3"].map(str::to_owned);
            wait_for("the packet to go its way", || {
                side.ofctl(&words, "").out.contains("tx pkts=1,")
            });
        }
    }
}

#[test]
fn snooping_begins_and_ends() {
    for (ours, theirs) in pairs() {
        let [left, right] = [&ours, &theirs].map(|side| {
            side.start_controller();
            // Only who has a controller can be snooped on: wait until it has.
            wait_for("a controller", || side.has_controller());
            let monitor = Monitor::start(side, &["-O", "OpenFlow13", "snoop", "br0"]);
            run(side, &format!("packet-out br0 1 controller {PACKET}"));
            monitor.await_messages("PACKET_IN", 1);
            monitor.finish()
        });
        assert_eq!(left, right, "left: ours");
    }
}
