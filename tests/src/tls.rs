//! TLS end to end, with keys as `ovs-pki` makes them: our programs with each other and with the reference's, both ways.

use std::path::PathBuf;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::{Host, Process, Programs, Testbed, wait};

use crate::support::{ok, programs, reference};

const LIMIT: Duration = Duration::from_secs(30);
const DATABASE: &str = "ssl:127.0.0.1:6640";

/// A host whose database is reached by TLS, with keys `sc` and `ctl` signed by one authority, and another authority.
struct Net {
    host: Host,
    _bed: Testbed,
}

impl Net {
    /// The database server gets `--remote=DATABASE` and the keys `sc`.
    #[track_caller]
    fn start(programs: &Programs) -> Net {
        let words = |net: &Net| format!("{} --remote=pssl:6640:127.0.0.1", net.keys("sc"));
        Net::start_with(programs, words)
    }

    /// The database server gets these words.
    #[track_caller]
    fn start_with(programs: &Programs, database: impl FnOnce(&Net) -> String) -> Net {
        let bed = ok(Testbed::new(Sharing::Shared));
        let host = ok(bed.host("host1", programs));
        ok(host.ns.ip("link set lo up"));
        let dir = host.dir().display();
        let pki = format!("ovs-pki --dir={dir}/pki --log={dir}/pki.log --batch --unique");
        ok(host.shell(&format!(
            "cd {dir} && {pki} init && {pki} req+sign sc switch && {pki} req+sign ctl switch && {pki} req+sign alien controller"
        )).ok());
        let mut net = Net { host, _bed: bed };
        let words = database(&net);
        let words: Vec<&str> = words.split_whitespace().collect();
        ok(net.host.start_database(&words));
        ok(net.host.start_switch(&[]));
        ok(net.host.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev"));
        net
    }

    fn path(&self, name: &str) -> PathBuf {
        self.host.dir().join(name)
    }

    fn authority(&self, name: &str) -> String {
        self.path(&format!("pki/{name}/cacert.pem")).display().to_string()
    }

    fn own(&self, name: &str) -> String {
        let file = |what: &str| self.path(&format!("{name}-{what}.pem")).display().to_string();
        format!("--private-key={} --certificate={}", file("privkey"), file("cert"))
    }

    /// The options of who has the keys `name` and believes those of the switches' authority.
    fn keys(&self, name: &str) -> String {
        format!("{} --ca-cert={}", self.own(name), self.authority("switchca"))
    }

    /// A program of that maker with these words: how it ends.
    fn run(&self, maker: &Programs, program: &str, words: &str) -> (bool, String) {
        let cmd = ok(self.host.foreign(maker, program, words.split_whitespace()));
        let output = ok(cmd.output());
        (output.success(), output.stdout + &output.stderr)
    }

    #[track_caller]
    fn succeed(&self, maker: &Programs, program: &str, words: &str) -> String {
        let (succeeded, text) = self.run(maker, program, words);
        assert!(succeeded, "{program} {words}\n{text}\n{}", self.host.database_log());
        text
    }

    #[track_caller]
    fn connected(&self) {
        let there = || {
            let connected = self
                .host
                .vsctl("--columns=is_connected,target --format=csv --data=bare list controller")
                .ok()?;
            connected.contains("true,ssl:").then_some(())
        };
        if let Err(e) = wait::until("the controller's connection", LIMIT, there) {
            panic!("{e}\n{}", self.host.switch_log());
        }
    }

    fn controller(&self) -> Process {
        let words = format!("pssl:6654:127.0.0.1 --unixctl=none {}", self.keys("ctl"));
        let cmd = ok(self.host.foreign(&reference(), "ovs-testcontroller", words.split(' ')));
        ok(cmd.spawn(&self.path("controller.log")))
    }
}

/// Servers of one maker, tools of another.
#[track_caller]
fn servers_and_tools(servers: &Programs, tools: &Programs) {
    let net = Net::start(servers);
    let (sc, ctl) = (net.keys("sc"), net.keys("ctl"));
    let shown =
        net.succeed(tools, "ovs-vsctl", &format!("{ctl} --timeout=20 --db={DATABASE} list-br"));
    assert_eq!(shown.trim(), "br0");
    let listed =
        net.succeed(tools, "ovsdb-client", &format!("{sc} --timeout=20 list-dbs {DATABASE}"));
    assert!(listed.contains("Open_vSwitch"), "{listed}");

    // Controllers: called, and calling.
    let _controller = net.controller();
    let files = [net.path("sc-privkey.pem"), net.path("sc-cert.pem")]
        .map(|path| path.display().to_string());
    ok(net.host.vsctl(&format!("set-ssl {} {} {}", files[0], files[1], net.authority("switchca"))));
    ok(net.host.vsctl("set-controller br0 pssl:6653:127.0.0.1 ssl:127.0.0.1:6654"));
    net.connected();
    let switch = "ssl:127.0.0.1:6653";
    net.succeed(tools, "ovs-ofctl", &format!("{ctl} add-flow {switch} priority=9,actions=drop"));
    let flows = net.succeed(tools, "ovs-ofctl", &format!("{ctl} dump-flows {switch}"));
    assert!(flows.contains("priority=9"), "{flows}");

    // Who is not known is refused at both ends.
    let alien = format!("{} --ca-cert={}", net.own("alien"), net.authority("switchca"));
    let (succeeded, text) = net.run(tools, "ovs-ofctl", &format!("{alien} show {switch}"));
    assert!(!succeeded, "{text}");
    let wrong = format!("{} --ca-cert={}", net.own("sc"), net.authority("controllerca"));
    let (succeeded, text) = net.run(tools, "ovsdb-client", &format!("{wrong} list-dbs {DATABASE}"));
    assert!(!succeeded && text.contains("(Protocol error)"), "{text}");
    let (succeeded, text) = net.run(tools, "ovsdb-client", &format!("list-dbs {DATABASE}"));
    assert!(!succeeded && text.contains("(Protocol not available)"), "{text}");
    let (succeeded, text) = net.run(tools, "ovsdb-client", "list-dbs tcp:127.0.0.1:6640");
    assert!(!succeeded, "{text}");

    // Bootstrapping: the reference learns and gives up, so it is asked twice.
    let learned = net.path("learned.pem");
    let words =
        format!("{} --bootstrap-ca-cert={} list-dbs {DATABASE}", net.own("ctl"), learned.display());
    let (first, _) = net.run(tools, "ovsdb-client", &words);
    assert!(first || !tools.are_ours(), "ours need not be asked twice");
    net.succeed(tools, "ovsdb-client", &words);
    assert!(learned.exists());
}

#[test]
fn ours_with_ours() {
    servers_and_tools(&programs(), &programs());
}

#[test]
fn ours_with_tools_of_the_reference() {
    servers_and_tools(&programs(), &reference());
}

#[test]
fn servers_of_the_reference_with_ours() {
    servers_and_tools(&reference(), &programs());
}

/// The switch's packages start the database server so: keys and remotes are what the database says.
#[test]
fn keys_and_remotes_of_the_database() {
    let words = "--private-key=db:Open_vSwitch,SSL,private_key --certificate=db:Open_vSwitch,SSL,certificate \
                 --bootstrap-ca-cert=db:Open_vSwitch,SSL,ca_cert";
    let net = Net::start_with(&programs(), |_| words.to_owned());
    let files = [net.path("sc-privkey.pem"), net.path("sc-cert.pem")]
        .map(|path| path.display().to_string());
    ok(net.host.vsctl("set-manager pssl:6641:127.0.0.1"));
    let list = format!("{} --timeout=20 list-dbs ssl:127.0.0.1:6641", net.keys("ctl"));
    let (succeeded, _) = net.run(&programs(), "ovsdb-client", &list);
    assert!(!succeeded, "no keys yet");
    ok(net.host.vsctl(&format!("set-ssl {} {} {}", files[0], files[1], net.authority("switchca"))));
    for maker in [programs(), reference()] {
        net.succeed(&maker, "ovsdb-client", &list);
    }
    // The switch too reaches its database by TLS, and new keys are taken up when the row changes.
    ok(net.host.vsctl(&format!(
        "set-ssl {} {} {}",
        files[0],
        files[1],
        net.authority("controllerca")
    )));
    let (succeeded, _) = net.run(&programs(), "ovsdb-client", &list);
    assert!(!succeeded, "the keys' authority is not believed any more");
}

/// Peers that say nothing, or nonsense, keep nobody from being served, and are gone soon.
#[test]
fn silent_and_senseless_peers_are_dropped() {
    let net = Net::start(&programs());
    let talk = |bytes: &str| {
        let line =
            format!("exec 3<>/dev/tcp/127.0.0.1/6640; printf '{bytes}' >&3; cat <&3 >/dev/null");
        let words = ["bash", "-c", &line].map(str::to_owned);
        testbed::Cmd::new(words).netns(net.host.ns.name()).limit(LIMIT)
    };
    let silent: Vec<Process> = (0..20)
        .map(|i| ok(talk("\\026\\003\\001").spawn(&net.path(&format!("silent{i}.log")))))
        .collect();
    ok(talk("GET / HTTP/1.1").output()); // closed by the server at once
    let list = format!("{} --timeout=20 list-dbs {DATABASE}", net.keys("ctl"));
    net.succeed(&programs(), "ovsdb-client", &list);
    let log = net.host.database_log();
    assert!(log.contains("SSL_accept: peer speaks HTTP without TLS"), "{log}");
    for mut process in silent {
        ok(process.wait(LIMIT)); // ends when the server hangs up
    }
    let log = net.host.database_log();
    assert!(log.contains("peer is too slow to connect"), "{log}");
}
