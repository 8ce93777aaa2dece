//! What `ovs-ofctl mod-table` takes: a table, and how it shall be set up.

use super::names::Names;
use super::number::parse;
use crate::message::flow_mod::ALL_TABLES;
use crate::message::table::{TableMiss, TableMod, Vacancy};
use crate::version::{Protocols, Version};

/// Reads a table (a number, a name, or `all`) and a setting: `controller`, `continue` or `drop` in OpenFlow 1.1 and 1.2;
/// `evict`, `noevict`, `vacancy:LOW,HIGH` or `novacancy` in 1.4 and later. Gives the protocols that can carry the change, too.
pub fn parse_table_mod(
    table: &str,
    setting: &str,
    names: &Names,
) -> Result<(TableMod, Protocols), String> {
    let table = if table.eq_ignore_ascii_case("all") {
        ALL_TABLES
    } else {
        names.parse_table(table).ok_or_else(|| format!("unknown table \"{table}\""))?
    };
    let mut change = TableMod { table, ..TableMod::default() };
    if let Some(miss) = TableMiss::ALL.into_iter().find(|miss| miss.name() == setting) {
        if table == ALL_TABLES - 1 && miss == TableMiss::Continue {
            return Err("last table's flow miss handling can not be continue".to_owned());
        }
        change.miss = Some(miss);
        let versions = [Version::V11, Version::V12].map(Protocols::of_version);
        return Ok((change, versions[0].or(versions[1])));
    }
    match setting.split_once(':').unwrap_or((setting, "")) {
        ("evict", "") => change.eviction = Some(true),
        ("noevict", "") => change.eviction = Some(false),
        ("novacancy", "") => change.vacancy_events = Some(false),
        ("vacancy", limits) => {
            change.vacancy_events = Some(true);
            change.vacancy = Some(parse_vacancy(limits)?);
        }
        _ => return Err(format!("invalid table_mod setting {setting}")),
    }
    Ok((change, Protocols::OF14_UP))
}

/// `LOW,HIGH`, in percent.
fn parse_vacancy(text: &str) -> Result<Vacancy, String> {
    let percent = |what: &str, text: Option<&str>| -> Result<u8, String> {
        let text = text.filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| format!("Vacancy {what} value missing"))?;
        let percent = parse(text).filter(|percent| *percent <= 100);
        percent.ok_or_else(|| format!("Invalid vacancy {what} value \"{text}\""))
    };
    let mut limits = text.splitn(2, ',');
    let down = percent("down", limits.next())?;
    let up = percent("up", limits.next())?;
    if down > up {
        return Err("Invalid vacancy range, vacancy up should be greater than vacancy down \
                    (OFPBPC_BAD_VALUE)"
            .to_owned());
    }
    Ok(Vacancy { down, up, now: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_of_versions() {
        let parsed = |table: &str, setting: &str| parse_table_mod(table, setting, Names::none());
        let (change, protocols) = parsed("3", "drop").expect("a setting");
        assert_eq!((change.table, change.miss), (3, Some(TableMiss::Drop)));
        assert_eq!(protocols.to_string(), "OpenFlow11,OXM-OpenFlow12");
        let (change, protocols) = parsed("ALL", "vacancy:20,80").expect("a setting");
        assert_eq!(
            (change.table, change.vacancy),
            (255, Some(Vacancy { down: 20, up: 80, now: 0 }))
        );
        assert_eq!(protocols, Protocols::OF14_UP);
        for (table, setting, why) in [
            ("x", "drop", "unknown table \"x\""),
            ("256", "drop", "unknown table"),
            ("254", "continue", "last table"),
            ("1", "vacancy", "down value missing"),
            ("1", "vacancy:20", "up value missing"),
            ("1", "vacancy:101,200", "Invalid vacancy down value \"101\""),
            ("1", "vacancy:80,20", "Invalid vacancy range"),
            ("1", "evict:1", "invalid table_mod setting evict:1"),
        ] {
            let error = parsed(table, setting).expect_err(setting);
            assert!(error.contains(why), "{error}");
        }
    }
}
