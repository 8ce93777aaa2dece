//! Our `ovs-appctl` and `ovsdb-client` and Debian's, side by side, against the same Debian daemons: standard output, standard
//! error and exit code must be the same, but for the differences that are listed with their reasons below.
//!
//! Skipped, with a word, where Debian's programs are not installed.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A Debian database server in a directory of its own.
struct Daemon {
    dir: tempfile::TempDir,
    server: Child,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn command(program: &Path, name: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    // getopt's messages begin with the name by which the program was called.
    command.arg0(name).current_dir(dir).stdin(Stdio::null());
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, dir);
    }
    command
}

impl Daemon {
    fn start() -> Option<Daemon> {
        if !Path::new("/usr/sbin/ovsdb-server").exists() || !Path::new(SCHEMA).exists() {
            eprintln!("skipped: Debian's openvswitch-switch is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let create = command(Path::new("/usr/bin/ovsdb-tool"), "ovsdb-tool", at)
            .args(["create", "conf.db", SCHEMA])
            .status();
        assert!(create.unwrap().success());
        let server = command(Path::new("/usr/sbin/ovsdb-server"), "ovsdb-server", at)
            .args(["--remote=punix:db.sock", "--pidfile", "-vconsole:off", "conf.db"])
            .spawn()
            .unwrap();
        let daemon = Daemon { dir, server };
        daemon.wait_for("db.sock");
        daemon.wait_for("ovsdb-server.pid");
        let fill = r#"["Open_vSwitch",
            {"op":"insert","table":"Interface","uuid-name":"i1","row":{"name":"p1","options":["map",[["k","comma,quote\""]]],
                "external_ids":["map",[["a","x \"y\" <z>&"],["b","two\nlines"]]]}},
            {"op":"insert","table":"Port","uuid-name":"p1","row":{"name":"p1","tag":5,"trunks":["set",[1,2,3]],
                "interfaces":["named-uuid","i1"]}},
            {"op":"insert","table":"Bridge","uuid-name":"b","row":{"name":"br0","ports":["named-uuid","p1"],
                "fail_mode":"secure","external_ids":["map",[["e","é日本"]]]}},
            {"op":"insert","table":"Open_vSwitch","row":{"bridges":["named-uuid","b"]}}]"#;
        let reply =
            daemon.run(Path::new("/usr/bin/ovsdb-client"), "ovsdb-client", &["transact", fill]);
        assert!(!reply.1.contains("error"), "{reply:?}");
        Some(daemon)
    }

    fn wait_for(&self, file: &str) {
        for _ in 0..4000 {
            if self.dir.path().join(file).exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5)); // another program's file: nothing to wait on
        }
        panic!("no {file}");
    }

    /// What our monitor and Debian's have printed so far.
    fn printed(&self) -> [String; 2] {
        ["ours", "theirs"].map(|name| std::fs::read_to_string(self.dir.path().join(name)).unwrap())
    }

    /// Waits until both monitors have printed as much and then nothing for a while.
    fn wait_until_quiet(&self) {
        let mut last = self.printed();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(150)); // other programs' files: nothing to wait on
            let now = self.printed();
            if now == last && now[0].len() == now[1].len() {
                return;
            }
            last = now;
        }
    }

    /// Exit code, standard output, standard error.
    fn run(&self, program: &Path, name: &str, args: &[&str]) -> (Option<i32>, String, String) {
        let output = command(program, name, self.dir.path()).args(args).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), normal(&text(&output.stderr), self.dir.path()))
    }

    /// Runs both programs; they must do the same.
    fn same(&self, name: &str, ours: &str, args: &[&str]) {
        let args: Vec<String> =
            args.iter().map(|a| a.replace("DIR", &self.dir.path().display().to_string())).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let theirs = self.run(&Path::new("/usr/bin").join(name), name, &args);
        let ours = self.run(&PathBuf::from(ours), name, &args);
        assert_eq!(ours, theirs, "{name} {args:?} (left: ours)");
    }
}

/// Without the times of log lines; sockets in the directory `dir` have names relative to it, which in our logs they have not.
fn normal(stderr: &str, dir: &Path) -> String {
    let here = format!("unix:{}/", dir.display());
    let line = |line: &str| match line.splitn(3, '|').collect::<Vec<_>>().as_slice() {
        [time, _, rest] if time.starts_with("20") && time.ends_with('Z') => {
            format!("TIME|{}\n", rest.replace(&here, "unix:"))
        }
        _ => format!("{line}\n"),
    };
    stderr.lines().map(line).collect()
}

/// Words separated by blanks, or by newlines where a word contains blanks.
fn words(line: &str) -> Vec<&str> {
    if line.contains('\n') { line.split('\n').collect() } else { line.split_whitespace().collect() }
}

#[test]
fn appctl_does_what_debians_does() {
    let Some(daemon) = Daemon::start() else { return };
    for line in [
        // Left out: --version and --help, which name the program that we are; -v, for we log other things.
        "-t ovsdb-server version",
        "-tovsdb-server list-commands",
        "--target=ovsdb-server ovsdb-server/list-dbs",
        "--targ ovsdb-server ovsdb-server/list-remotes",
        "-t ovsdb-server foo",
        "-t ovsdb-server version x",
        "-t ovsdb-server ovsdb-server/add-remote",
        "-t ovsdb-server vlog/list",
        "-t ovsdb-server vlog/list-pattern",
        "-t ovsdb-server vlog/set bogus:dbg",
        "-t ovsdb-server vlog/set jsonrpc:console:off reconnect:bogus",
        "-t ovsdb-server vlog/reopen",
        "-t ovsdb-server coverage/read-counter nope",
        "-t ovsdb-server -- version",
        "-t ovsdb-server version --foo",
        "-t ovsdb-server -T 5 version",
        "version",
        "-t nope version",
        "-t /nope version",
        "-t DIR/ovsdb-server.pid version",
        "-t sub/x version",
        "",
        "--nope",
        "-x",
        "-T",
        "-T 0 version",
        "-T 1x version",
        "--timeout=-1 version",
        "--t=x",
        "--ver",
        "--target",
        "--version=1",
        "-vbogus version",
        "-vconsole:off -t /nope version",
        "--syslog-method=foo version",
    ] {
        daemon.same("ovs-appctl", env!("CARGO_BIN_EXE_ovs-appctl"), &words(line));
    }
    for pidfile in ["99999\n", "abc", ""] {
        std::fs::write(daemon.dir.path().join("stale.pid"), pidfile).unwrap();
        daemon.same("ovs-appctl", env!("CARGO_BIN_EXE_ovs-appctl"), &["-t", "stale", "version"]);
    }
}

#[test]
fn ovsdb_client_does_what_debians_does() {
    let Some(daemon) = Daemon::start() else { return };
    let same =
        |line: &str| daemon.same("ovsdb-client", env!("CARGO_BIN_EXE_ovsdb-client"), &words(line));
    // Left out: list-tables and list-columns of many, which Debian's prints in the order of a hash table; we sort.
    for line in [
        "",
        "foo",
        "list-dbs",
        "list-dbs unix:db.sock",
        "list-dbs unix:db.sock x",
        "list-dbs unix:nope",
        "list-dbs foo:bar",
        "list-dbs tcp:127.0.0.1:1",
        "list-dbs unix:/x,unix:db.sock",
        "list-dbs unix:/x,unix:/y",
        "list-dbs cid:1234,unix:db.sock",
        "--no-leader-only list-dbs unix:/x,unix:db.sock",
        "--no-db-change-aware --db-change-aware list-dbs",
        "get-schema",
        "--pretty get-schema unix:db.sock Open_vSwitch",
        "get-schema _Server",
        "get-schema Nope",
        "get-schema-version unix:db.sock",
        "get-schema-cksum",
        "list-tables _Server",
        "list-columns Nope",
        "list-tables unix:db.sock x y",
        "dump Nope",
        "dump Port nope",
        "dump Port name,tag",
        "dump unix:db.sock Open_vSwitch Port tag name trunks",
        "--bare dump Port",
        "-f xx list-dbs",
        "-d xx list-dbs",
        "--format",
        "--for",
        "-x",
        "--timeout=0 list-dbs",
        "-t x list-dbs",
        "-t 5 list-dbs",
        "transact",
        "transact []",
        "transact {}",
        "transact nul",
        "transact [\"x\"",
        "transact [\"Nope\"]",
        "transact [\"Open_vSwitch\",1]",
        "transact [\"Open_vSwitch\",{\"op\":\"selec\"}]",
        "--pretty transact [\"Open_vSwitch\",{\"op\":\"comment\",\"comment\":\"x\"},{\"op\":\"abort\"},{\"op\":\"comment\"}]",
        "query [\"Open_vSwitch\",{\"op\":\"select\",\"table\":\"Port\",\"where\":[],\"columns\":[\"name\",\"tag\"]}]",
        "query [\"Open_vSwitch\",{\"op\":\"selec\"}]",
        "wait Open_vSwitch added",
        "wait unix:db.sock Open_vSwitch connected",
        "wait Nope removed",
        "wait x foo",
        "wait unix:db.sock",
        "needs-conversion /usr/share/openvswitch/vswitch.ovsschema",
        "needs-conversion /nonexistent",
        "needs-conversion /tmp",
        "convert unix:db.sock /nonexistent",
        "convert /usr/share/openvswitch/vswitch.ovsschema",
        "backup x",
        "restore",
        "monitor Nope",
        "monitor Port nope",
        "monitor Port name,name",
        "monitor Port !initial,!foo",
        "monitor-cond [[\"nope\",\"==\",1]] Port name",
        "monitor _Server ALL nope",
        "monitor _Server ALL name,!initial name",
        "monitor-cond { Port name",
        "monitor-cond [] ALL",
        "monitor-cond [] Port name x",
        "monitor-cond-since x [] Port",
        "lock",
        "unlock a b",
    ] {
        same(line);
    }
    for format in ["table", "list", "csv", "html", "json"] {
        for cells in ["string", "bare", "json"] {
            for rest in [
                "dump",
                "--no-headings dump Bridge",
                "--max-column-width=9 dump Interface",
                "dump Mirror",
            ] {
                same(&format!("-f {format} -d {cells} {rest}"));
            }
        }
        same(&format!("-f {format} --pretty dump Port name tag"));
    }
}

/// Each program has a folder of its own with the same files, for it changes them.
#[test]
fn ovsdb_tool_does_what_debians_does() {
    let theirs = Path::new("/usr/bin/ovsdb-tool");
    if !theirs.exists() || !Path::new(SCHEMA).exists() {
        eprintln!("skipped: Debian's openvswitch-common is not installed");
        return;
    }
    let ours = Path::new(env!("CARGO_BIN_EXE_ovsdb-tool"));
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let run = |program: &Path, dir: &Path, line: &str| {
        let output = command(program, "ovsdb-tool", dir).args(words(line)).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), normal(&text(&output.stderr), dir))
    };
    // Files that both get: Debian's, with a history; clustered ones, which ours tells of as far as it can; broken ones.
    let narrow = r#"{"name":"T","version":"2.0.0","tables":{"A":{"columns":{"n":{"type":"integer"}},"isRoot":true}}}"#;
    let wide = r#"{"name":"T","version":"1.9.9","cksum":"1 2","tables":{"A":{"columns":{"n":{"type":"integer"},"s":{"type":"string"}},"isRoot":true}}}"#;
    let roles = r#"{"name":"T","version":"1.0.0","tables":{"A":{"columns":{"n":{"type":"integer"}},"isRoot":true},
        "RBAC_Role":{"isRoot":true,"columns":{"name":{"type":"string"},"permissions":{"type":{"key":"string",
            "value":{"type":"uuid","refTable":"P","refType":"weak"},"min":0,"max":"unlimited"}}}},
        "P":{"isRoot":true,"columns":{"table":{"type":"string"},"insert_delete":{"type":"boolean"},
            "authorization":{"type":{"key":"string","min":0,"max":"unlimited"}},
            "update":{"type":{"key":"string","min":0,"max":"unlimited"}}}}}}"#;
    let rules = r#"["T",{"op":"insert","table":"P","uuid-name":"p","row":{"table":"A","insert_delete":false,"authorization":"",
        "update":"n"}},{"op":"insert","table":"RBAC_Role","row":{"name":"worker","permissions":["map",[["A",["named-uuid","p"]]]]}},
        {"op":"insert","table":"A","row":{"n":1}}]"#;
    for (name, text) in [
        ("roles", roles),
        ("narrow", narrow),
        ("wide", wide),
        ("bad", "{\"name\":5}"),
        ("garbage", "hello\n"),
        ("cut", "OVSDB JSON 2547 79e3"),
    ] {
        std::fs::write(dirs[0].path().join(name), text).unwrap();
    }
    for line in [
        "create made.db wide",
        "transact\nmade.db\n[\"T\",{\"op\":\"insert\",\"table\":\"A\",\"row\":{\"n\":1,\"s\":\"x\"},\"uuid\":\"11111111-1111-4111-8111-111111111111\"},{\"op\":\"comment\",\"comment\":\"first\"}]",
        "transact\nmade.db\n[\"T\",{\"op\":\"update\",\"table\":\"A\",\"where\":[],\"row\":{\"n\":2}}]",
        "transact\nmade.db\n[\"T\",{\"op\":\"delete\",\"table\":\"A\",\"where\":[]},{\"op\":\"comment\",\"comment\":\"last\"}]",
        "create roles.db roles",
        &format!("transact\nroles.db\n{}", rules.replace('\n', " ")),
        "create-cluster cluster.db narrow unix:r.sock",
        "join-cluster joining.db T tcp:127.0.0.1:9 tcp:127.0.0.1:8",
    ] {
        let done = run(theirs, dirs[0].path(), line);
        assert_eq!(done.0, Some(0), "{line}: {done:?}");
    }
    for file in std::fs::read_dir(dirs[0].path()).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(file.path(), dirs[1].path().join(file.file_name())).unwrap();
    }
    // Left out: what asks for clusters to be made, joined, checked or shown, which ours refuses; changes by `query`, which
    // Debian's tries to cut off a file that it may not write, and tells.
    for line in [
        "",
        "nope",
        "create new.db wide",
        "create new.db wide",
        "create other.db bad",
        "create other.db none",
        "db-name made.db",
        "db-name none.db",
        "db-name garbage",
        "db-name cut",
        "--cid=x db-name made.db",
        "--cid=11111111-1111-4111-8111-111111111111 db-name made.db",
        "--election-timer=99 db-name made.db",
        "--election-timer=x db-name made.db",
        "--election-timer=600000 db-name made.db",
        "db-name cluster.db",
        "db-name joining.db",
        "db-version made.db",
        "db-version cluster.db",
        "db-cksum made.db",
        "db-cid made.db",
        "db-cid cluster.db",
        "db-cid joining.db",
        "db-cid",
        "db-sid made.db",
        "db-sid cluster.db",
        "db-sid joining.db",
        "db-local-address made.db",
        "db-local-address cluster.db",
        "db-local-address joining.db",
        "db-local-address none.db",
        "db-is-clustered made.db",
        "db-is-clustered cluster.db",
        "db-is-clustered garbage",
        "db-is-standalone made.db",
        "db-is-standalone cluster.db",
        "db-is-standalone none.db",
        "schema-name wide",
        "schema-name bad",
        "schema-name .",
        "schema-version narrow",
        "schema-cksum narrow",
        "schema-cksum wide",
        "schema-cksum none",
        "compare-versions 1.2.3 < 1.10.0",
        "compare-versions 1.2.3 == 1.2.3",
        "compare-versions 1.2.3 > 1.2.3",
        "compare-versions 1.2 == 1.2.3",
        "compare-versions 1.2.3 ~ 1.2.3",
        "compare-versions 1.2.3",
        "query\nmade.db\n[\"T\",{\"op\":\"select\",\"table\":\"A\",\"where\":[],\"columns\":[\"n\"]}]",
        "query\nmade.db\n[\"T\"",
        "--rbac-role=worker\nquery\nroles.db\n[\"T\",{\"op\":\"insert\",\"table\":\"A\",\"row\":{}}]",
        "--rbac-role=worker\ntransact\nroles.db\n[\"T\",{\"op\":\"update\",\"table\":\"A\",\"where\":[],\"row\":{\"n\":2}}]",
        "--rbac-role=nobody\ntransact\nroles.db\n[\"T\",{\"op\":\"update\",\"table\":\"A\",\"where\":[],\"row\":{\"n\":3}}]",
        "--rbac-role=\ntransact\nroles.db\n[\"T\",{\"op\":\"delete\",\"table\":\"A\",\"where\":[]}]",
        "query\nmade.db\n[\"U\"]",
        "query\ncluster.db\n[\"T\"]",
        "transact\nnone.db\n[\"T\"]",
        "show-log made.db",
        "-m show-log made.db",
        "-mm show-log made.db",
        "--more show-log garbage",
        "show-log none.db",
        "needs-conversion made.db narrow",
        "needs-conversion made.db wide",
        "needs-conversion made.db bad",
        "convert made.db narrow converted.db",
        "convert made.db narrow converted.db",
        "db-version converted.db",
        "compact made.db compacted.db",
        "compact made.db compacted.db",
        "compact made.db",
        "compact none.db",
        "compact cluster.db",
        "db-cksum made.db",
        "help extra",
        "list-commands extra extra",
    ] {
        let [a, b] = [run(theirs, dirs[0].path(), line), run(ours, dirs[1].path(), line)];
        if line == "help extra" {
            assert_eq!(a.0, b.0, "{line}");
        } else {
            assert_eq!(b, a, "ovsdb-tool {line} (left: ours)");
        }
    }
}

/// What a monitor prints while things change.
#[test]
fn monitors_print_what_debians_print() {
    let Some(daemon) = Daemon::start() else { return };
    for line in [
        "monitor Port name,tag,trunks,external_ids",
        "monitor Port name tag,!initial,!modify",
        "-f json monitor Port name,tag,trunks",
        "-f list monitor Port !initial,name,tag",
        "-f csv monitor-cond-since [true] Port name,tag",
        "monitor-cond [[\"name\",\"==\",\"p1\"]] Port name,tag",
        "-d json monitor-cond [] Bridge name,other_config",
        "monitor ALL",
    ] {
        let start = |program: &str, output: &str| {
            let file = std::fs::File::create(daemon.dir.path().join(output)).unwrap();
            let child = command(Path::new(program), "ovsdb-client", daemon.dir.path())
                .args(words(line))
                .stdout(file)
                .stderr(Stdio::null())
                .spawn();
            child.unwrap()
        };
        let mut children = [
            start("/usr/bin/ovsdb-client", "theirs"),
            start(env!("CARGO_BIN_EXE_ovsdb-client"), "ours"),
        ];
        daemon.wait_until_quiet();
        for (tag, key) in [(7, "x"), (5, "y")] {
            let change = format!(
                r#"["Open_vSwitch",{{"op":"update","table":"Port","where":[],"row":{{"tag":{tag},"external_ids":["map",[["{key}","{key}"]]]}}}},
                {{"op":"update","table":"Bridge","where":[],"row":{{"other_config":["map",[["{key}","{tag}"]]]}}}}]"#
            );
            let client = Path::new("/usr/bin/ovsdb-client");
            let done = daemon.run(client, "ovsdb-client", &["transact", &change]);
            assert_eq!(done.0, Some(0), "{done:?}");
        }
        daemon.wait_until_quiet();
        children.iter_mut().for_each(|child| {
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let [ours, theirs] = daemon.printed();
        assert!(ours.lines().count() > 2, "{line}: {ours}");
        assert_eq!(ours, theirs, "{line} (left: ours)");
    }
}

/// In the background a monitor goes on to print.
#[test]
fn monitors_in_the_background_print_what_debians_print() {
    let Some(daemon) = Daemon::start() else { return };
    let printed = ["/usr/bin/ovsdb-client", env!("CARGO_BIN_EXE_ovsdb-client")].map(|program| {
        let output = daemon.dir.path().join("output");
        let started = command(Path::new(program), "ovsdb-client", daemon.dir.path())
            .args(["--detach", "--no-chdir", "--pidfile=monitor.pid", "-vconsole:off"])
            .args(["monitor-cond", "[[\"tag\",\"==\",1]]", "Port", "name,tag"])
            .stdout(std::fs::File::create(&output).unwrap())
            .status();
        assert!(started.unwrap().success(), "{program}");
        let pid = std::fs::read_to_string(daemon.dir.path().join("monitor.pid")).unwrap();
        for tag in [1, 2, 1] {
            let change = format!(
                r#"["Open_vSwitch",{{"op":"update","table":"Port","where":[],"row":{{"tag":{tag}}}}}]"#
            );
            daemon.run(Path::new(program), "ovsdb-client", &["transact", &change]);
        }
        let said = || std::fs::read_to_string(&output).unwrap();
        for _ in 0..2000 {
            if said().matches("insert").count() == 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5)); // another program's file: nothing to wait on
        }
        let killed = Command::new("kill").arg(pid.trim()).status().unwrap();
        assert!(killed.success());
        for _ in 0..2000 {
            if !daemon.dir.path().join("monitor.pid").exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5)); // as above
        }
        daemon.run(
            Path::new(program),
            "ovsdb-client",
            &["transact", r#"["Open_vSwitch",{"op":"update","table":"Port","where":[],"row":{"tag":5}}]"#],
        );
        said()
    });
    assert_eq!(printed[0].matches("delete").count(), 1, "{}", printed[0]);
    assert_eq!(printed[1], printed[0], "left: ours");
}

/// A backup by either program restores by the other.
#[test]
fn backups_are_exchanged_with_debians() {
    let Some(daemon) = Daemon::start() else { return };
    let theirs = Path::new("/usr/bin/ovsdb-client");
    let ours = Path::new(env!("CARGO_BIN_EXE_ovsdb-client"));
    let content =
        |_: &str| daemon.run(theirs, "ovsdb-client", &["dump", "Port", "name", "tag", "trunks"]).1;
    let before = content("");
    for (writer, reader) in [(ours, theirs), (theirs, ours)] {
        let backup =
            command(writer, "ovsdb-client", daemon.dir.path()).arg("backup").output().unwrap();
        assert!(backup.status.success());
        let path = daemon.dir.path().join("snapshot");
        std::fs::write(&path, &backup.stdout).unwrap();
        let gone = r#"["Open_vSwitch",{"op":"update","table":"Port","where":[],"row":{"tag":9}}]"#;
        daemon.run(theirs, "ovsdb-client", &["transact", gone]);
        assert_ne!(content(""), before);
        let restore = command(reader, "ovsdb-client", daemon.dir.path())
            .arg("restore")
            .stdin(std::fs::File::open(&path).unwrap())
            .output()
            .unwrap();
        assert!(restore.status.success(), "{}", String::from_utf8_lossy(&restore.stderr));
        assert_eq!(content(""), before);
    }
    // A damaged backup is refused.
    let path = daemon.dir.path().join("snapshot");
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    for damaged in
        [text.replace("br0", "br1"), text[..text.len() - 5].to_owned(), "garbage".to_owned()]
    {
        std::fs::write(&path, damaged).unwrap();
        let restore = command(ours, "ovsdb-client", daemon.dir.path())
            .arg("restore")
            .stdin(std::fs::File::open(&path).unwrap())
            .output()
            .unwrap();
        assert_eq!(restore.status.code(), Some(1));
        assert_eq!(content(""), before);
    }
}

/// How a monitor ends, and what it leaves behind: when its database goes away or is converted, and by signals.
#[test]
fn monitors_end_as_debians_do() {
    let Some(daemon) = Daemon::start() else { return };
    let dir = daemon.dir.path();
    let by_appctl = |words: &[&str]| {
        let args = [&["-t", "ovsdb-server"], words].concat();
        assert_eq!(daemon.run(Path::new("/usr/bin/ovs-appctl"), "ovs-appctl", &args).0, Some(0));
    };
    let end = |program: &str, options: &[&str], how: &str| {
        let [out, err] = ["out", "err"].map(|name| dir.join(name));
        let mut child = command(Path::new(program), "ovsdb-client", dir)
            .arg("--pidfile=monitor.pid")
            .args(options)
            .args(["monitor", "Bridge", "name"])
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(std::fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let said = |path: &Path| std::fs::read_to_string(path).unwrap();
        for _ in 0..4000 {
            if said(&out).contains("br0") {
                break;
            }
            std::thread::sleep(Duration::from_millis(5)); // another program's file: nothing to wait on
        }
        match how {
            "remove" => by_appctl(&["ovsdb-server/remove-db", "Open_vSwitch"]),
            "convert" => {
                let converted = ["convert", SCHEMA];
                let done =
                    daemon.run(Path::new("/usr/bin/ovsdb-client"), "ovsdb-client", &converted);
                assert_eq!(done.0, Some(0), "{done:?}");
            }
            signal => {
                let pid = child.id().to_string();
                assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
            }
        }
        let status = child.wait().unwrap();
        if how == "remove" {
            by_appctl(&["ovsdb-server/add-db", "conf.db"]);
        }
        let left = dir.join("monitor.pid").exists();
        (status.to_string(), said(&out), normal(&said(&err), dir), left)
    };
    for options in [&["--db-change-aware"][..], &["--no-db-change-aware"], &[]] {
        for how in ["remove", "convert", "-TERM", "-INT", "-HUP"] {
            let theirs = end("/usr/bin/ovsdb-client", options, how);
            let ours = end(env!("CARGO_BIN_EXE_ovsdb-client"), options, how);
            assert_eq!(ours, theirs, "{options:?} {how} (left: ours)");
        }
    }
}

/// What is said at the control socket of a monitor in the background.
#[test]
fn monitors_obey_as_debians_do() {
    let Some(daemon) = Daemon::start() else { return };
    let dir = daemon.dir.path();
    let answers = ["/usr/bin/ovsdb-client", env!("CARGO_BIN_EXE_ovsdb-client")].map(|program| {
        let started = command(Path::new(program), "ovsdb-client", dir)
            .args(["--detach", "--no-chdir", "--pidfile=monitor.pid", "-vconsole:off"])
            .args(["monitor", "Bridge", "name"])
            .stdout(std::fs::File::create(dir.join("out")).unwrap())
            .stderr(std::fs::File::create(dir.join("err")).unwrap())
            .status();
        assert!(started.unwrap().success(), "{program}");
        let pid = std::fs::read_to_string(dir.join("monitor.pid")).unwrap();
        let socket = dir.join(format!("ovsdb-client.{}.ctl", pid.trim())).display().to_string();
        let answers = [
            &["list-commands"][..],
            &["ovsdb-client/unblock"],
            &["ovsdb-client/block"],
            &["ovsdb-client/block"],
            &["ovsdb-client/block", "x"],
            &["ovsdb-client/unblock"],
            &["ovsdb-client/cond_change", "Bridge"],
            &["coverage/read-counter", "nope"],
            &["vlog/disable-rate-limit", "any"],
            &["vlog/enable-rate-limit", "ANY"],
            &["vlog/enable-rate-limit", "nope"],
            &["exit"],
        ]
        .map(|words| {
            let args = [&["-t", &socket], words].concat();
            let (code, out, err) =
                daemon.run(Path::new("/usr/bin/ovs-appctl"), "ovs-appctl", &args);
            (words.join(" "), code, out, err.replace(&socket, "SOCKET"))
        });
        let gone = (0..2000).any(|_| {
            std::thread::sleep(Duration::from_millis(5)); // another program's file: nothing to wait on
            !dir.join("monitor.pid").exists()
        });
        assert!(gone, "{program}");
        answers
    });
    assert_eq!(answers[1], answers[0], "left: ours");
}
