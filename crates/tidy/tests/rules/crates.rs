//! Rules about crates: how they are described, what they inherit, and which may know which.

use std::collections::BTreeMap;

use tidy::source;
use tidy::tree::{Manifest, Member, members, read};

use crate::none;

/// Crates that are functions of their arguments: no sockets, threads, files or clock. Of some, a part.
struct Pure {
    name: &'static str,
    /// The part of the crate that is pure.
    part: &'static str,
    /// The one file of it that is not.
    but: &'static str,
}

const fn pure(name: &'static str) -> Pure {
    Pure { name, part: "src/", but: "" }
}

const PURE: &[Pure] = &[
    pure("packet"),
    pure("flow"),
    pure("classifier"),
    pure("tunnel"),
    pure("openflow"),
    pure("l2"),
    pure("pipeline"),
    pure("xlate"),
    Pure { name: "jsonrpc", part: "src/json/", but: "" },
    Pure { name: "jsonrpc", part: "src/message.rs", but: "" },
    Pure { name: "jsonrpc", part: "src/reconnect.rs", but: "" },
    Pure { name: "ovsdb", part: "src/", but: "src/log/file.rs" },
];

/// What pure code cannot do, by the words for it.
const IMPURE: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "ToSocketAddrs",
    "thread",
    "mpsc",
    "fs",
    "File",
    "OpenOptions",
    "env",
    "process",
    "SystemTime",
    "Clock",
];

/// Who may depend on what, where the reading order alone does not say it: (crate, what it must not reach).
const BLIND: &[(&str, &[&str])] = &[
    ("datapath", &["pipeline", "xlate", "l2", "ovsdb", "vswitch-schema", "slowpath"]),
    ("vhost", &["flow", "netdev", "stream"]),
    ("netdev", &["flow", "datapath", "ovsdb"]),
    ("pipeline", &["datapath", "netdev", "ovsdb"]),
    ("xlate", &["datapath", "netdev", "ovsdb"]),
    ("slowpath", &["ovsdb", "vswitch-schema"]),
    ("ovsdb", &["vswitch-schema", "datapath"]),
    ("cli", &["datapath", "vswitchd"]),
    ("ovsdb-server", &["datapath", "vswitchd"]),
];

/// Who sees both the datapath and the pipeline.
const BOTH_SIDES: &[&str] = &["slowpath", "vswitchd", "lab"];

/// Crates with unsafe code of their own.
const WITH_UNSAFE: &[&str] = &["sys", "dpdk", "vhost"];

/// Edges against the reading order, each with its reason.
const AGAINST_THE_ORDER: &[(&str, &str, &str)] = &[
    ("netdev", "stream", "its netlink listener sits in the poller that a daemon's sockets sit in"),
    (
        "packet",
        "sys",
        "a packet's bytes may be in memory that the kernel shares; of `sys` it has `block` alone",
    ),
    ("ferroswitch", "testbed", "the demo's hosts are the testbed's"),
];

/// Whether `file` is code of the pure part of `member`.
fn in_part(pure: &Pure, member: &Member, file: &str) -> bool {
    let inside = file.strip_prefix(&format!("{}/", member.path)).unwrap_or_default();
    inside.starts_with(pure.part) && inside != pure.but && !source::is_test(inside)
}

#[test]
fn pure_crates_have_no_io() {
    let members = members();
    let mut violations = Vec::new();
    for pure in PURE {
        let member = members.iter().find(|m| m.name() == pure.name).expect("a member of that name");
        let files: Vec<_> =
            member.sources().into_iter().filter(|file| in_part(pure, member, file)).collect();
        assert!(!files.is_empty(), "{}/{}: nothing there", member.path, pure.part);
        for file in files {
            let text = read(&file);
            let code = source::code(source::before_tests(&text));
            for word in IMPURE {
                violations.extend(
                    source::lines_with(&code, word).map(|line| format!("{file}:{line}: {word}")),
                );
            }
        }
    }
    none("pure crates take what they need as arguments", violations);
}

#[test]
fn pure_crates_depend_on_pure_crates() {
    // Of ours, and of others' such as only compute; and what hands on words for the log.
    let mut allowed =
        vec!["base", "zerocopy", "hashbrown", "arrayvec", "smallvec", "foldhash", "log"];
    let whole: Vec<_> =
        PURE.iter().filter(|p| p.part == "src/" && p.but.is_empty()).map(|p| p.name).collect();
    allowed.extend(&whole);
    let mut violations = Vec::new();
    for member in members().iter().filter(|m| whole.contains(&m.name())) {
        let dependencies = member.manifest.dependencies("dependencies");
        let has_reason = |name: &str| {
            AGAINST_THE_ORDER.iter().any(|(a, b, _)| (*a, *b) == (member.name(), name))
        };
        let wrong = dependencies.iter().filter(|name| !allowed.contains(name) && !has_reason(name));
        violations.extend(wrong.map(|name| format!("{} -> {name}", member.name())));
    }
    none("pure crates depend on pure crates", violations);
}

/// What each crate of ours reaches by its dependencies, directly or not; tests' dependencies do not count.
fn reaches(members: &[Member]) -> BTreeMap<&str, Vec<&str>> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let direct: BTreeMap<&str, Vec<&str>> =
        members.iter().map(|m| (m.name(), own(members, m))).collect();
    for name in direct.keys() {
        let mut found: Vec<&str> = Vec::new();
        let mut next: Vec<&str> = direct[name].clone();
        while let Some(name) = next.pop() {
            if !found.contains(&name) {
                found.push(name);
                next.extend(&direct[name]);
            }
        }
        all.insert(name, found);
    }
    all
}

/// The members that a member depends on directly.
fn own<'a>(members: &'a [Member], member: &'a Member) -> Vec<&'a str> {
    let ours = |name: &&str| members.iter().any(|m| m.name() == *name);
    member.manifest.dependencies("dependencies").into_iter().filter(ours).collect()
}

#[test]
fn who_knows_whom() {
    let members = members();
    let reaches = reaches(&members);
    let mut violations = Vec::new();
    for (name, hidden) in BLIND {
        let reached = &reaches[name];
        violations.extend(
            hidden.iter().filter(|h| reached.contains(h)).map(|h| format!("{name} -> {h}")),
        );
    }
    for (at, member) in members.iter().enumerate() {
        let direct = own(&members, member);
        if direct.contains(&"datapath")
            && direct.contains(&"pipeline")
            && !BOTH_SIDES.contains(&member.name())
        {
            violations.push(format!("{} sees both datapath and pipeline", member.name()));
        }
        let later = members.iter().skip(at).map(Member::name).filter(|name| direct.contains(name));
        let excused = |name: &str| {
            AGAINST_THE_ORDER.iter().any(|(a, b, _)| (*a, *b) == (member.name(), name))
        };
        violations.extend(
            later
                .filter(|name| !excused(name))
                .map(|name| format!("{} -> {name}, which is read later", member.name())),
        );
    }
    none("dependencies lead down the reading order of Cargo.toml", violations);
}

#[test]
fn exceptions_to_the_order_are_needed() {
    let members = members();
    let position = |name: &str| members.iter().position(|m| m.name() == name).expect("a member");
    let stale = AGAINST_THE_ORDER.iter().filter(|(from, to, _)| {
        let depends = own(&members, &members[position(from)]).contains(to);
        !depends || position(from) > position(to)
    });
    none(
        "strike what is no exception any more",
        stale.map(|(from, to, _)| format!("{from} -> {to}")).collect(),
    );
}

#[test]
fn manifests_inherit() {
    let root = Manifest::parse(&read("Cargo.toml"));
    let lints = |manifest: &Manifest, prefix: &str| {
        let sections = ["rust", "clippy"]
            .map(|tool| manifest.section(&format!("{prefix}lints.{tool}")).join("\n"));
        sections.join("\n")
    };
    // Crates with unsafe code cannot inherit that it is forbidden; everything else they repeat.
    let with_unsafe =
        lints(&root, "workspace.").replace("unsafe_code = \"forbid\"", "unsafe_code = \"deny\"");
    let mut violations = Vec::new();
    for member in members() {
        let package = member.manifest.section("package");
        for key in ["version", "edition", "rust-version", "license"] {
            if !package.contains(&format!("{key}.workspace = true").as_str()) {
                violations.push(format!("{}: {key} is not the workspace's", member.path));
            }
        }
        if !package.contains(&"publish = false") {
            violations.push(format!("{}: publish is not false", member.path));
        }
        let inherits = member.manifest.section("lints") == ["workspace = true"];
        let repeats =
            WITH_UNSAFE.contains(&member.name()) && lints(&member.manifest, "") == with_unsafe;
        if !inherits && !repeats {
            violations.push(format!("{}: lints are not the workspace's", member.path));
        }
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let elsewhere = member
                .manifest
                .section(section)
                .into_iter()
                .filter(|line| !line.contains("workspace = true"));
            violations.extend(
                elsewhere.map(|line| {
                    format!("{}: {line}: not from [workspace.dependencies]", member.path)
                }),
            );
        }
    }
    none("a member's Cargo.toml inherits", violations);
}

#[test]
fn members_are_described() {
    let architecture = read("ARCHITECTURE.md");
    let table: Vec<_> = architecture.lines().filter(|line| line.starts_with("| `")).collect();
    let mut violations = Vec::new();
    for member in members() {
        if member.comment.is_empty() {
            violations.push(format!("Cargo.toml: {}: no comment", member.path));
        }
        let cell = |line: &&str| line.split('|').nth(1).unwrap_or_default().to_owned();
        if !table.iter().any(|line| cell(line).contains(&format!("`{}`", member.name()))) {
            violations.push(format!("ARCHITECTURE.md: {}: not in the table", member.name()));
        }
        for file in member.sources().iter().filter(|file| is_root(file, &member.path)) {
            if !read(file).starts_with("//! ") {
                violations.push(format!("{file}: does not open with //!"));
            }
        }
    }
    none("every crate says what it is for", violations);
}

/// Whether a file is where a crate, program, test or example begins.
fn is_root(file: &str, member: &str) -> bool {
    let inside = file.strip_prefix(&format!("{member}/")).unwrap_or_default();
    let parts: Vec<_> = inside.split('/').collect();
    let starts = ["tests", "examples", "benches"];
    match parts.as_slice() {
        ["src", file] => ["lib.rs", "main.rs"].contains(file),
        ["src", "bin", _] => true,
        [folder, _] | [folder, _, "main.rs"] => starts.contains(folder),
        _ => false,
    }
}

#[test]
fn the_licence_is_there() {
    let licence = read("LICENSE");
    assert!(
        licence.contains("Apache License") && licence.contains("Version 2.0"),
        "LICENSE is not Apache-2.0's text"
    );
    assert!(
        Manifest::parse(&read("Cargo.toml"))
            .section("workspace.package")
            .contains(&"license = \"Apache-2.0\"")
    );
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "GLOSSARY.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ] {
        assert!(read(page).starts_with("# "), "{page} has no title");
    }
}
