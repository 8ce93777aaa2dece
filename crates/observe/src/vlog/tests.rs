use super::*;
use std::fs;

fn vlog() -> Vlog {
    let vlog = Vlog::new("test", &Clock::real());
    vlog.set("console:off").unwrap();
    vlog.set_syslog_method("null").unwrap();
    vlog
}

/// The messages in a log file written with the pattern `%c|%p|%m`.
fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn levels_by_module_and_destination_in_any_order() {
    let vlog = vlog();
    for (spec, module, want) in [
        ("bridge:file:warn", "bridge", ["OFF", "INFO", "WARN"]),
        ("DBG Bridge,console", "bridge", ["DBG", "INFO", "WARN"]),
        ("jsonrpc", "jsonrpc", ["DBG", "DBG", "DBG"]),
        ("any:any:err", "netdev", ["ERR", "ERR", "ERR"]),
        ("syslog", "netdev", ["ERR", "DBG", "ERR"]),
        ("", "netdev", ["DBG", "DBG", "DBG"]),
    ] {
        vlog.set(spec).unwrap();
        let [console, syslog, file] = want;
        let row = format!("{module:<16}  {console:>4}       {syslog:>4}       {file:>4}");
        assert!(vlog.list().lines().any(|l| l == row), "{spec}: no {row:?} in\n{}", vlog.list());
    }
    let head = "                 console    syslog    file\n                 -------    ------    ------\n\
        backtrace          DBG        DBG        DBG\n";
    assert!(vlog.list().starts_with(head));
}

#[test]
fn mistakes_read_as_the_references() {
    let vlog = vlog();
    for (spec, error) in [
        ("bogus:dbg", "no destination, level, or module \"bogus\""),
        ("dbg:info", "cannot specify multiple levels"),
        ("jsonrpc:reconnect:dbg", "cannot specify multiple modules"),
        ("console:file:dbg", "cannot specify multiple destinations"),
        ("pattern:foo:x", "unknown destination \"foo\""),
        ("PATTERN", "unknown destination \"\""),
        ("facility:foo", "invalid facility"),
        ("FACILITY:", "invalid facility"),
    ] {
        assert_eq!(vlog.set(spec).unwrap_err(), error, "{spec}");
    }
    assert_eq!(vlog.set_rate_limits(true, &["foo"]).unwrap_err(), "unknown module");
    assert_eq!(vlog.set_rate_limits(true, &["ANY"]), Ok(()));
    assert_eq!(vlog.reopen().unwrap_err(), "Logging to file not configured");
    assert_eq!(vlog.set_syslog_method("foo").unwrap_err(), "unsupported syslog method 'foo'");
    vlog.set("FACILITY:local3").unwrap();
}

#[test]
fn patterns_are_listed_and_used() {
    let vlog = vlog();
    vlog.set("PATTERN:file:%c|%p|%m: yes").unwrap();
    let text = vlog.list_pattern();
    assert!(
        text.contains("\nSYSLOG   <%B> %D{%h %e %T} %E %A:          ovs|%05N|%c%T|%p|%m\n"),
        "{text}"
    );
    assert!(
        text.contains("\nFILE     none                              %c|%p|%m: yes\n"),
        "{text}"
    );

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    vlog.set_log_file(&path).unwrap();
    vlog.write("bridge", Level::Info, "one");
    vlog.write("bridge", Level::Dbg, "not this");
    vlog.log(
        &Record::builder()
            .target("!vswitchd")
            .level(log::Level::Error)
            .args(format_args!("two"))
            .build(),
    );
    vlog.log(
        &Record::builder()
            .target("xlate::walk")
            .level(log::Level::Warn)
            .args(format_args!("3"))
            .build(),
    );
    let want = [
        &format!("vlog|INFO|opened log file {}: yes", path.display()),
        "bridge|INFO|one: yes",
        "vswitchd|EMER|two: yes",
        "xlate|WARN|3: yes",
    ];
    assert_eq!(lines(&path), want);
}

#[test]
fn the_file_is_reopened_after_rotation_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
    let vlog = vlog();
    vlog.set("PATTERN:file:%m").unwrap();
    vlog.set_log_file(&path).unwrap();
    vlog.write("a", Level::Info, "first");
    fs::rename(&path, &old).unwrap();
    vlog.write("a", Level::Info, "second");
    vlog.reopen().unwrap();
    vlog.write("a", Level::Info, "third");
    vlog.close();
    vlog.write("a", Level::Info, "nowhere");
    let opened = format!("opened log file {}", path.display());
    assert_eq!(lines(&old), [&opened, "first", "second", "closing log file"]);
    assert_eq!(lines(&path), [&opened, "third", "closing log file"]);
    assert!(vlog.set_log_file(Path::new("/nonexistent/log")).is_err());
    vlog.write("a", Level::Info, "still alive");
}

#[test]
fn a_full_disk_loses_lines_but_not_the_program() {
    let vlog = vlog();
    vlog.set_log_file(Path::new("/dev/full")).unwrap();
    for _ in 0..3 {
        vlog.write("a", Level::Info, "lost");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    vlog.set("PATTERN:file:%m").unwrap();
    let mut sinks = vlog.sinks();
    sinks.file.set_path(path.clone()); // as if room had been made
    sinks.file.open().unwrap();
    drop(sinks);
    vlog.write("a", Level::Info, "there");
    // The line about opening the file was lost too.
    assert_eq!(
        lines(&path),
        ["*** 4 log messages lost: the log file could not be written ***", "there"]
    );
}

#[test]
fn syslog_lines_are_datagrams() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let vlog = Vlog::new("ovs-x", &Clock::real());
    vlog.set("console:off").unwrap();
    vlog.set("PATTERN:syslog:%c: %m").unwrap();
    vlog.set_syslog_method(&format!("unix:{}", path.display())).unwrap();
    vlog.write("a", Level::Warn, "nobody listens");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    vlog.set_syslog_method(&format!("unix:{}", path.display())).unwrap(); // forgets the failure
    vlog.write("a", Level::Warn, "hear");
    let mut buf = [0; 200];
    let n = socket.recv(&mut buf).unwrap();
    let text = String::from_utf8_lossy(&buf[..n]);
    assert!(text.starts_with("<28>") && text.ends_with(" ovs-x: a: hear"), "{text}");
}

#[test]
fn modules_are_sorted() {
    assert!(modules::KNOWN.is_sorted_by(|a, b| a < b));
}
