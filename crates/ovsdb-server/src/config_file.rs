//! `--config-file`: what to serve, and where, as a JSON file that can change while the server runs (Open vSwitch 3.3 and newer).
//!
//! ```json
//! {
//!   "remotes": { "punix:db.sock": {}, "pssl:6642": { "inactivity-probe": 16000, "read-only": false, "role": "ovn-controller" } },
//!   "databases": {
//!     "conf.db": {},
//!     "nb.db": { "service-model": "active-backup", "backup": true, "source": { "tcp:192.0.2.1:6641": {} }, "exclude-tables": ["Connection"] },
//!     "OVN_Southbound": { "service-model": "relay", "source": { "ssl:192.0.2.1:6642,ssl:192.0.2.2:6642": { "max-backoff": 8000 } } }
//!   }
//! }
//! ```
//!
//! The server is active, or the backup of one other server, as a whole: where a file wants anything else it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jsonrpc::{Json, Object};

use crate::remotes::Settings;

/// What a file asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) remotes: BTreeMap<String, Settings>,
    /// By file, or, of relays, by name.
    pub(crate) databases: BTreeMap<String, Service>,
    /// Whose backup the server is, or could be.
    pub(crate) pair: Option<Pair>,
}

/// How a database is served.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Service {
    /// From a file.
    File {
        /// Tables that are not copied if the server is a backup.
        excluded: BTreeSet<String>,
    },
    /// From memory, on behalf of a source.
    Relay(Source),
}

/// The other server of a pair.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) source: Source,
    pub(crate) is_backup: bool,
}

/// Addresses, separated by commas, and how to connect to them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Source {
    pub(crate) addresses: String,
    pub(crate) settings: Settings,
}

/// Reads the file at `path`.
pub(crate) fn read(path: &Path) -> Result<Plan, String> {
    let fail = |why: String| format!("{}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| fail(stream::strerror(&error)))?;
    let json = Json::parse(&text).map_err(|error| fail(error.to_string()))?;
    parse(&json).map_err(fail)
}

fn parse(json: &Json) -> Result<Plan, String> {
    let mut plan = Plan::default();
    for (name, value) in object(json, "the file")? {
        match &**name {
            "remotes" => {
                for (remote, settings) in object(value, "\"remotes\"")? {
                    plan.remotes.insert(remote.to_string(), parse_settings(remote, settings)?);
                }
            }
            "databases" => {
                let mut pairs = Vec::new();
                for (database, options) in object(value, "\"databases\"")? {
                    let (service, pair) = parse_database(database, options)?;
                    if let Service::File { .. } = service {
                        pairs.push(pair);
                    }
                    plan.databases.insert(database.to_string(), service);
                }
                plan.pair = pairs.first().cloned().flatten();
                if pairs.iter().any(|pair| *pair != plan.pair) {
                    return Err(
                        "the files of a server are all active, or all backups of one source"
                            .to_owned(),
                    );
                }
            }
            _ => return Err(format!("unknown member \"{name}\"")),
        }
    }
    Ok(plan)
}

fn parse_database(name: &str, json: &Json) -> Result<(Service, Option<Pair>), String> {
    let (mut model, mut is_backup) = ("standalone", false);
    let (mut source, mut excluded) = (None, BTreeSet::new());
    for (option, value) in object(json, name)? {
        let wrong = || format!("{name}: wrong value of \"{option}\": {value}");
        match &**option {
            "service-model" => model = value.as_str().ok_or_else(wrong)?,
            "backup" => is_backup = value.as_bool().ok_or_else(wrong)?,
            "source" => source = Some(parse_source(name, value)?),
            "exclude-tables" => {
                let tables = value.as_array().ok_or_else(wrong)?.iter().map(Json::as_str);
                for table in tables {
                    excluded.insert(table.ok_or_else(wrong)?.to_owned());
                }
            }
            _ => return Err(format!("{name}: unknown option \"{option}\"")),
        }
    }
    match (model, source) {
        ("standalone", None) => Ok((Service::File { excluded }, None)),
        ("relay", Some(source)) => Ok((Service::Relay(source), None)),
        ("active-backup", Some(source)) => {
            Ok((Service::File { excluded }, Some(Pair { source, is_backup })))
        }
        ("relay" | "active-backup", None) => Err(format!("{name}: \"source\" is missing")),
        ("standalone", Some(_)) => Err(format!("{name}: a standalone database has no \"source\"")),
        ("clustered", _) => Err(format!(
            "{name}: clustered databases are served by Open vSwitch's ovsdb-server; follow one as a relay"
        )),
        _ => Err(format!("{name}: \"{model}\" is no \"service-model\"")),
    }
}

fn parse_source(name: &str, json: &Json) -> Result<Source, String> {
    let mut sources = object(json, name)?.iter();
    let (Some((addresses, settings)), None) = (sources.next(), sources.next()) else {
        return Err(format!("{name}: one \"source\" is needed"));
    };
    let settings = parse_settings(addresses, settings)?;
    Ok(Source { addresses: addresses.to_string(), settings })
}

fn parse_settings(remote: &str, json: &Json) -> Result<Settings, String> {
    let mut settings = Settings::default();
    if json.is_null() {
        return Ok(settings);
    }
    for (option, value) in object(json, remote)? {
        let wrong = || format!("{remote}: wrong value of \"{option}\": {value}");
        let milliseconds = || {
            let ms = value.as_i64().and_then(|ms| u64::try_from(ms).ok());
            ms.map(Duration::from_millis).ok_or_else(wrong)
        };
        match &**option {
            "max-backoff" => settings.max_backoff = Some(milliseconds()?),
            "inactivity-probe" => settings.probe = Some(milliseconds()?),
            "read-only" => settings.read_only = value.as_bool().ok_or_else(wrong)?,
            "role" => {
                let role = value.as_str().ok_or_else(wrong)?;
                settings.role = Some(role.to_owned()).filter(|role| !role.is_empty());
            }
            _ => return Err(format!("{remote}: unknown option \"{option}\"")),
        }
    }
    Ok(settings)
}

fn object<'a>(json: &'a Json, what: &str) -> Result<&'a Object, String> {
    json.as_object().ok_or_else(|| format!("{what} must be an object"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, String> {
        parse(&Json::parse(text).unwrap())
    }

    #[test]
    fn a_file_says_what_to_serve() {
        let plan = plan(
            r#"{"remotes":{"punix:x":null,"pssl:1":{"inactivity-probe":16000,"read-only":true,"role":"r"}},
                "databases":{"a.db":{"service-model":"active-backup","backup":true,"source":{"tcp:h:1":{}},"exclude-tables":["X"]},
                             "R":{"service-model":"relay","source":{"unix:a,unix:b":{"max-backoff":9000}}}}}"#,
        )
        .unwrap();
        assert_eq!(plan.remotes["pssl:1"].role.as_deref(), Some("r"));
        assert!(plan.remotes["pssl:1"].read_only);
        let pair = plan.pair.unwrap();
        assert!(pair.is_backup);
        assert_eq!(pair.source.addresses, "tcp:h:1");
        let Service::Relay(source) = &plan.databases["R"] else { panic!() };
        assert_eq!(source.settings.max_backoff, Some(Duration::from_secs(9)));
    }

    #[test]
    fn nonsense_is_refused_with_where_and_why() {
        for (text, want) in [
            (r#"{"remote":{}}"#, "unknown member \"remote\""),
            (r#"{"remotes":[]}"#, "\"remotes\" must be an object"),
            (r#"{"remotes":{"x":{"speed":1}}}"#, "x: unknown option \"speed\""),
            (r#"{"remotes":{"x":{"max-backoff":-1}}}"#, "x: wrong value of \"max-backoff\": -1"),
            (
                r#"{"databases":{"d":{"service-model":"odd"}}}"#,
                "d: \"odd\" is no \"service-model\"",
            ),
            (r#"{"databases":{"d":{"service-model":"relay"}}}"#, "d: \"source\" is missing"),
            (
                r#"{"databases":{"d":{"source":{"x":{}}}}}"#,
                "d: a standalone database has no \"source\"",
            ),
            (
                r#"{"databases":{"d":{"service-model":"relay","source":{"x":{},"y":{}}}}}"#,
                "d: one \"source\" is needed",
            ),
            (
                r#"{"databases":{"d":{},"e":{"service-model":"active-backup","source":{"x":{}}}}}"#,
                "the files of a server are all active, or all backups of one source",
            ),
        ] {
            assert_eq!(plan(text).unwrap_err(), want);
        }
        let clustered = plan(r#"{"databases":{"d":{"service-model":"clustered"}}}"#).unwrap_err();
        assert!(clustered.contains("follow one as a relay"));
    }
}
