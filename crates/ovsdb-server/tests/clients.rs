//! Open vSwitch's `ovsdb-client` prints the same, whether our server or Open vSwitch's answers it: every command, formats, errors,
//! monitors while things change, conversions, backups, locks. (That our client prints what theirs does is tested beside it.)
//!
//! Skipped where Open vSwitch is not installed.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use ovsdb::Uuid;
use support::{DEBIANS, OURS, Server, create_database};

/// One shell command per line; `#` begins a comment.
const SCRIPT: &str = include_str!("data/clients.txt");

/// Text with UUIDs by the order in which they appear, without dates.
fn normal(text: &str) -> String {
    let mut seen: Vec<Uuid> = Vec::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((uuid, after)) = Uuid::parse_prefix(rest) {
            let number = seen.iter().position(|known| *known == uuid).unwrap_or_else(|| {
                seen.push(uuid);
                seen.len() - 1
            });
            out.push_str(&format!("<{number}>"));
            rest = after;
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// What the script's commands print.
fn said(program: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    create_database(&dir.path().join("t.db"));
    std::fs::write(dir.path().join("t.ovsschema"), support::SCHEMA).unwrap();
    let server = Server::start(program, dir.path());
    let lines = SCRIPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let said = lines.map(|line| {
        let output = Command::new("/bin/sh")
            .args(["-c", &format!("exec 2>&1; {line}")])
            .current_dir(dir.path())
            .env("OVS_RUNDIR", dir.path())
            .env("OVS_LOGDIR", dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let place = dir.path().display().to_string();
        let text = String::from_utf8_lossy(&output.stdout).replace(&place, "DIR");
        format!("{line}\n{}{:?}", normal(&text), output.status.code())
    });
    let said = said.collect();
    drop(server);
    said
}

#[test]
fn a_client_cannot_tell_which_server_answers() {
    if !Path::new(DEBIANS).exists() {
        println!("skipped: {DEBIANS} is not installed");
        return;
    }
    let (ours, theirs) = (said(OURS), said(DEBIANS));
    assert!(ours.len() > 60);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "left: our server");
    }
}
