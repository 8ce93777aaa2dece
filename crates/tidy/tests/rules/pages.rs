//! Rules about pages for people: that they describe what the programs can do, no less and no more.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, ExitCode};

use datapath::DropReason;
use tidy::settings_page::{self, IN_EFFECT};
use tidy::source::{before_tests, has_word, is_test, literals};
use tidy::tree::{files, read, root};
use vswitch_schema::settings::settings;
use vswitch_schema::table_named;

use crate::none;

#[test]
fn the_settings_page_is_up_to_date() {
    let page = settings_page::page();
    if std::env::var_os("FERROSWITCH_BLESS").is_some() {
        std::fs::write(root().join(settings_page::PATH), &page).expect("a writable tree");
    }
    assert!(
        read(settings_page::PATH) == page,
        "{} is out of date: FERROSWITCH_BLESS=1 cargo test -p tidy writes it anew",
        settings_page::PATH
    );
}

/// The page says of each setting whether it does something; the switch's own source knows.
#[test]
fn settings_in_effect_are_read_somewhere() {
    let folders = [
        "crates/vswitchd/src",
        "crates/tunnel/src",
        "crates/netdev/src",
        "crates/ovsdb-server/src",
        "crates/ferroswitch/src",
    ];
    let sources: Vec<_> = folders
        .into_iter()
        .flat_map(files)
        .filter(|file| !is_test(file))
        .map(|file| read(&file))
        .collect();
    let quoted =
        |word: &str| sources.iter().any(|text| before_tests(text).contains(&format!("\"{word}\"")));
    // Columns also as structs have them, or at the end of a remote's name.
    let column_named = |word: &str| {
        quoted(word)
            || sources.iter().any(|text| {
                text.contains(&format!(".{word}")) || text.contains(&format!(",{word}\""))
            })
    };
    let mut violations = Vec::new();
    for (table, places) in IN_EFFECT {
        let columns = table_named(table).expect("a table of that name");
        for place in *places {
            let (column, key) = place.split_once(':').unwrap_or((place, ""));
            let exists = columns.column(column).is_some()
                && (key.is_empty()
                    || settings().any(|s| (s.table, s.column, s.key) == (*table, column, key)));
            if !exists {
                violations.push(format!("{table} {place}: there is no such setting"));
            } else if !(if key.is_empty() { column_named(column) } else { quoted(key) }) {
                violations.push(format!("{table} {place}: nobody reads it"));
            }
        }
    }
    // Words that mean something else where they are quoted.
    let homonyms = ["ifindex", "pmd-sleep-max", "private_key", "certificate", "ca_cert"];
    let switch =
        settings().filter(|s| ["Open_vSwitch", "Bridge", "Port", "Interface"].contains(&s.table));
    for s in switch
        .filter(|s| !s.key.is_empty() && s.column != "external_ids" && !homonyms.contains(&s.key))
    {
        if quoted(s.key) && !settings_page::in_effect(s.table, &s.place()) {
            violations.push(format!(
                "{} {}: is read, but the page says that it does nothing yet",
                s.table,
                s.place()
            ));
        }
    }
    none("settings_page::IN_EFFECT is what the switch reads", violations);
}

/// The page about options that programs share.
const SHARED: &str = "ferroswitch-options.7";

/// A page as people see it: without roff's requests for fonts, and with plain hyphens.
fn man(page: &str) -> String {
    let text = read(&format!("docs/man/{page}"));
    assert!(
        text.contains(".Sh NAME") && text.contains(".Sh SEE ALSO"),
        "{page}: NAME or SEE ALSO is missing"
    );
    text.replace("Fl Fl ", "--").replace("\\-", "-").replace("\\&", "")
}

/// What a program prints.
fn output(
    program: fn(Vec<OsString>, &mut dyn Write, &mut dyn Write) -> ExitCode,
    option: &str,
) -> String {
    let mut out = Vec::new();
    program(vec![option.into()], &mut out, &mut Vec::new());
    String::from_utf8(out).expect("text")
}

/// The long options that a text mentions.
fn long_options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let options = words.filter_map(|word| word.strip_prefix("--"));
    options.filter(|o| o.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

/// Checks that a page describes exactly these options; those that programs share have a page of their own.
fn describes_options(page: &str, options: &BTreeSet<String>) {
    let described = long_options(&man(page));
    let mut everywhere = long_options(&man(SHARED));
    everywhere.extend(described.iter().cloned());
    let lacks = options.difference(&everywhere).map(|o| format!("{page}: --{o} is not described"));
    let invents = described.difference(options).map(|o| format!("{page}: there is no --{o}"));
    none("a manual page has the program's options", lacks.chain(invents).collect());
}

/// Checks that a page has an item for each of these commands, and none for another.
fn describes_commands(page: &str, commands: &BTreeSet<String>) {
    let text = man(page);
    let items: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix(".It "))
        .filter_map(|line| line.split(" Ic ").nth(1).or_else(|| line.strip_prefix("Ic ")))
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    let lacks = commands.difference(&items).map(|c| format!("{page}: {c} is not described"));
    let invents = items.difference(commands).map(|c| format!("{page}: there is no command {c}"));
    none("a manual page has the program's commands", lacks.chain(invents).collect());
}

#[test]
fn ovs_vsctl_8() {
    let list = output(|a, out, err| cli::vsctl::run(a, out, err), "--commands");
    let commands =
        list.lines().filter_map(|line| line.split(',').nth(1)).map(str::to_owned).collect();
    describes_commands("ovs-vsctl.8", &commands);
    let mut options =
        long_options(&output(|a, out, err| cli::vsctl::run(a, out, err), "--options"));
    options.extend(long_options(&list));
    describes_options("ovs-vsctl.8", &options);
}

#[test]
fn ovs_appctl_8() {
    let help = output(|a, out, err| cli::appctl::run(a, out, err), "--help");
    describes_options("ovs-appctl.8", &long_options(&help));
}

#[test]
fn ovs_dpctl_8() {
    let help = output(|a, out, err| cli::dpctl::run(a, out, err), "--help");
    describes_options("ovs-dpctl.8", &long_options(&help));
}

#[test]
fn ovs_ofctl_8() {
    let run = |a: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write| {
        cli::ofctl::run(a, &mut std::io::empty(), out, err)
    };
    describes_options("ovs-ofctl.8", &long_options(&output(run, "--help")));
    let list = output(run, "list-commands");
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    describes_commands("ovs-ofctl.8", &names.map(str::to_owned).collect());
}

#[test]
fn ovs_testcontroller_8() {
    let help = output(|a, out, err| cli::testcontroller::run(a, out, err), "--help");
    describes_options("ovs-testcontroller.8", &long_options(&help));
    describes_commands("ovs-testcontroller.8", &BTreeSet::new());
}

#[test]
fn ovsdb_client_1() {
    let help = output(|a, out, err| cli::ovsdb_client::run(a, out, err), "--help");
    // Its control socket cannot be moved, whatever the text that daemons share says.
    let mut options = long_options(&help);
    options.remove("unixctl");
    describes_options("ovsdb-client.1", &options);
    let (commands, _) = help.split_once("\nThe default SERVER").expect("a list of commands");
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    describes_commands(
        "ovsdb-client.1",
        &names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect(),
    );
}

#[test]
fn ovs_pki_8() {
    let run = |a: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write| {
        cli::pki::run(a, &mut std::io::empty(), out, err)
    };
    let help = output(run, "--help");
    describes_options("ovs-pki.8", &long_options(&help));
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    describes_commands("ovs-pki.8", &names.map(str::to_owned).collect());
}

#[test]
fn ovsdb_tool_1() {
    let help = output(|a, out, err| cli::ovsdb_tool::run(a, out, err), "--help");
    describes_options("ovsdb-tool.1", &long_options(&help));
    let lines = help.lines().skip(2).take_while(|line| line.starts_with("  "));
    let name =
        |line: &str| line.split_whitespace().find(|word| !word.starts_with('[')).map(str::to_owned);
    describes_commands("ovsdb-tool.1", &lines.filter_map(name).collect());
}

#[test]
fn ovs_vswitchd_8() {
    let mut registry = vswitchd::commands::registry();
    observe::commands::add_common(
        &mut registry,
        &observe::Vlog::install("tidy", &base::Clock::real()),
    );
    describes_commands("ovs-vswitchd.8", &registry.names().map(str::to_owned).collect());
    let mut options = long_options(&daemon_usage());
    options.extend(vswitchd::program::SWITCH_OPTIONS.iter().map(|option| option.long.to_owned()));
    // Of commands.
    options.extend(["cleanup", "json", "names", "no-names", "qid", "len"].map(str::to_owned));
    describes_options("ovs-vswitchd.8", &options);
}

#[test]
fn ovsdb_server_1() {
    let mut options = long_options(&daemon_usage());
    let source = read("crates/ovsdb-server/src/options.rs");
    options.extend(long_options(&source));
    options.extend(
        literals(&source, "Opt::value(\"")
            .chain(literals(&source, "Opt::flag(\""))
            .map(str::to_owned),
    );
    describes_options("ovsdb-server.1", &options);
    let mut commands: BTreeSet<_> =
        ["crates/ovsdb-server/src/commands.rs", "crates/observe/src/commands.rs"]
            .iter()
            .flat_map(|file| {
                // The formatter may break a line anywhere in `registry.add("NAME"`.
                let text: String = read(file).split_whitespace().collect();
                literals(&text, "registry.add(\"").map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
    commands.insert("list-commands".to_owned());
    describes_commands("ovsdb-server.1", &commands);
}

#[test]
fn ferroswitch_1() {
    let main = read("crates/ferroswitch/src/main.rs");
    let commands: BTreeSet<_> = literals(&main, "name: \"").map(str::to_owned).collect();
    describes_commands("ferroswitch.1", &commands);
    let mut options = long_options(&read("crates/ferroswitch/src/demo/mod.rs"));
    options.extend(long_options(&daemon_usage()));
    options.extend(long_options(vswitchd::program::switch_usage()));
    options.extend(["database", "remote"].map(str::to_owned));
    describes_options("ferroswitch.1", &options);
}

#[test]
fn shared_options() {
    let mut options = long_options(&daemon_usage());
    let tables =
        [observe::daemon::OPTIONS, observe::daemon::VLOG_OPTIONS, observe::daemon::SSL_OPTIONS];
    options.extend(tables.concat().iter().map(|option| option.long.to_owned()));
    let described = long_options(&man(SHARED));
    assert_eq!(described, options, "{SHARED}");
}

/// The options that every daemon has.
fn daemon_usage() -> String {
    observe::daemon::usage("x") + &observe::daemon::vlog_usage("x") + " --help --version"
}

#[test]
fn pages_render() {
    if Command::new("groff").arg("--version").output().is_err() {
        eprintln!("skipped: groff is not installed");
        return;
    }
    let mut violations = Vec::new();
    for page in files("docs/man") {
        // -ww: every warning; -b: with where it came from; -z: no output.
        let run = Command::new("groff")
            .args(["-ww", "-z", "-mdoc", "-Tutf8"])
            .arg(root().join(&page))
            .output()
            .expect("groff");
        let complaints = String::from_utf8_lossy(&run.stderr).into_owned();
        violations.extend(complaints.lines().map(str::to_owned));
    }
    none("groff renders every manual page without a warning", violations);
}

#[test]
fn drop_counters_are_explained() {
    let page = read("docs/troubleshooting.md");
    let rows: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| {
            name.contains("_drop_")
                || name.starts_with("drop_")
                || name.starts_with("tunnel_")
                || name.starts_with("upcall_")
                || name.starts_with("revalidate_")
                || name.starts_with("offload_")
        })
        .map(str::to_owned)
        .collect();
    let mut counters: BTreeSet<_> =
        DropReason::ALL.iter().map(|reason| reason.name().to_owned()).collect();
    for file in files("crates")
        .iter()
        .filter(|file| file.ends_with(".rs") && !is_test(file) && !file.starts_with("crates/tidy/"))
    {
        counters.extend(literals(before_tests(&read(file)), ".counter(\"").map(str::to_owned));
    }
    let lacks = counters.difference(&rows).map(|name| format!("{name} is not explained"));
    let invents = rows.difference(&counters).map(|name| format!("there is no counter {name}"));
    none("docs/troubleshooting.md explains every counter", lacks.chain(invents).collect());
}

#[test]
fn tunnel_states_are_explained() {
    let source = read("crates/tunnel/src/state.rs");
    let (_, body) = source.split_once("pub fn word(").expect("where the words are");
    let (body, _) = body.split_once("\n    }\n").expect("its end");
    let words: Vec<_> = literals(body, "=> \"").collect();
    assert!(words.contains(&"up") && words.len() > 5, "{words:?}");
    let page = read("docs/troubleshooting.md");
    let lacks = words
        .iter()
        .filter(|word| !page.lines().any(|line| line.starts_with(&format!("| `{word}` |"))));
    none(
        "docs/troubleshooting.md explains every state of a tunnel",
        lacks.map(|word| (*word).to_owned()).collect(),
    );
}

/// The guide's page has the lines that the demo types.
#[test]
fn the_guide_is_the_one_that_the_demo_types() {
    let page = read("docs/guide.md").replace("\\\n", "");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let [local, remote] = testbed::guide::HOSTS;
    let lines = testbed::guide::lines(local, remote, "MAC");
    let lacks = lines
        .iter()
        .filter(|line| !page.contains(&line.text) && !line.text.starts_with("if command"));
    none(
        "docs/guide.md has every line of testbed::guide",
        lacks.map(|line| line.text.clone()).collect(),
    );
}

/// Links between our own pages lead somewhere.
#[test]
fn links_lead_somewhere() {
    let pages: Vec<_> =
        files(".").into_iter().filter(|f| f.ends_with(".md") && !f.contains("/corpus/")).collect();
    let mut violations = Vec::new();
    for page in &pages {
        let folder = root().join(page).parent().expect("a folder").to_owned();
        for target in read(page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || file.is_empty();
            if !elsewhere && !folder.join(file).exists() {
                violations.push(format!("{page}: {target}"));
            }
        }
    }
    none("a link leads nowhere", violations);
}

/// What is installed is there, and everything for users is installed.
#[test]
fn everything_is_installed() {
    let script = read("packaging/install.sh");
    let made = files("docs/man")
        .into_iter()
        .chain(files("packaging/systemd"))
        .chain(files("crates/cli/completions"));
    let lacks = made.filter(|file| {
        let name = file.rsplit('/').next().unwrap_or_default();
        let folder = file.trim_end_matches(name);
        !script.contains(folder)
            || !(has_word(&script, name) || script.contains(&format!("{folder}*")))
    });
    none("packaging/install.sh installs it", lacks.collect());
}

/// Runs a line of bash with a completion loaded and our programs played by functions; prints what can follow the words.
fn complete(file: &str, function: &str, players: &str, words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "{players}\nsource {}\nCOMP_WORDS=({}); COMP_CWORD={}; COMPREPLY=(); {function}; echo \"${{COMPREPLY[*]}}\"",
        root().join(file).display(),
        words.join(" "),
        words.len() - 1
    );
    let output = Command::new("bash").args(["--norc", "-c", &script]).output().expect("bash");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn completions_complete() {
    let client = output(|a, out, err| cli::ovsdb_client::run(a, out, err), "--help");
    let tool = output(|a, out, err| cli::ovsdb_tool::run(a, out, err), "--help");
    let players = format!(
        "ovsdb-client() {{ cat <<'EOT'\n{client}\nEOT\n}}\novsdb-tool() {{ cat <<'EOT'\n{tool}\nEOT\n}}\n\
         ferroswitch() {{ [[ $1 == demo ]] && echo '--keep  leave it' || echo '  demo      build'; }}"
    );
    let file = "crates/cli/completions/ferroswitch.bash";
    let of = |words: &[&str]| complete(file, "_ferroswitch", &players, words);
    assert_eq!(of(&["ovsdb-client", "get-schema-"]), "get-schema-version get-schema-cksum");
    assert_eq!(of(&["ovsdb-client", "--fo"]), "--force --format=");
    assert_eq!(of(&["ovsdb-tool", "sh"]), "show-log");
    assert_eq!(of(&["ovsdb-tool", "create", "x"]), "");
    assert_eq!(of(&["ferroswitch", ""]), "demo");
    assert_eq!(of(&["ferroswitch", "demo", "--"]), "--keep");

    let help = output(|a, out, err| cli::appctl::run(a, out, err), "--help");
    let players = format!(
        "ovs-appctl() {{ case $* in --help) cat <<'EOT'\n{help}\nEOT\n;; *'-t ovsdb-server list-commands') printf 'x:\\n  exit\\n' ;;\n\
         *list-commands) printf 'The commands:\\n  fdb/show  [bridge]\\n  fdb/flush\\n  exit\\n' ;; *ofproto/list) echo br0 ;; esac; }}"
    );
    let file = "crates/cli/completions/ovs-appctl.bash";
    let of = |words: &[&str]| complete(file, "_ovs_appctl", &players, words);
    assert_eq!(of(&["ovs-appctl", "fdb/"]), "fdb/show fdb/flush");
    assert_eq!(of(&["ovs-appctl", "fdb/show", ""]), "br0");
    assert_eq!(of(&["ovs-appctl", "-t", "ovsdb-server", ""]), "exit");
    assert_eq!(of(&["ovs-appctl", "--target", "=", "ovsdb-server", "e"]), "exit");
    assert_eq!(of(&["ovs-appctl", "--pr"]), "--pretty");
    assert_eq!(of(&["ovs-appctl", "-f", ""]), "text json");
}

#[test]
fn shell_scripts_parse() {
    let mut violations = Vec::new();
    for file in files(".") {
        let first = std::fs::read(root().join(&file)).unwrap_or_default();
        if !file.ends_with(".bash")
            && !first.starts_with(b"#!/bin/sh")
            && !first.starts_with(b"#!/usr/bin/env bash")
        {
            continue;
        }
        let run = Command::new("bash").arg("-n").arg(root().join(&file)).output().expect("bash");
        violations.extend(String::from_utf8_lossy(&run.stderr).lines().map(str::to_owned));
    }
    none("bash understands every script", violations);
}
