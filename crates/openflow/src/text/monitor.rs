//! What `ovs-ofctl monitor` takes behind `watch:`.

use super::key_value::pairs;
use super::names::Names;
use super::number::parse;
use crate::message::monitor::MonitorRequest;
use crate::version::Protocols;

/// Reads a question for changes of rules; `id` is the controller's name for it. Gives the protocols that can carry it, too.
pub fn parse_monitor(
    text: &str,
    id: u32,
    names: &Names,
) -> Result<(MonitorRequest, Protocols), String> {
    let mut asked = MonitorRequest::new(id);
    let mut protocols = Protocols::ANY;
    for pair in pairs(text) {
        let (key, value) = (pair.key, pair.value);
        let flags = &mut asked.flags;
        match key {
            "!initial" => flags.initial = false,
            "!add" => flags.add = false,
            "!delete" => flags.delete = false,
            "!modify" => flags.modify = false,
            "!actions" => flags.actions = false,
            "!own" => flags.own = false,
            _ => match asked.matching.parse_field_named(key, value, names) {
                Some(usable) => protocols = protocols.and(usable?),
                None if value.is_empty() => {
                    return Err(format!("{text}: field {key} missing value"));
                }
                None => match key {
                    "table" => {
                        let unknown = || format!("unknown table \"{value}\"");
                        asked.table = names.parse_table(value).ok_or_else(unknown)?;
                    }
                    "out_port" => {
                        let unknown = || format!("{value} is not a valid OpenFlow port");
                        asked.out_port = names.parse_port(value).ok_or_else(unknown)?;
                    }
                    "out_group" => {
                        let bad = || format!("invalid out_group {value:?}");
                        asked.out_group = parse(value).ok_or_else(bad)?;
                        protocols = protocols.and(Protocols::OF14_UP);
                    }
                    _ => return Err(format!("{text}: unknown keyword {key}")),
                },
            },
        }
    }
    let flags = asked.flags;
    if !(flags.add || flags.delete || flags.modify) {
        return Err(format!("{text}: of add, delete and modify at least one is to be watched"));
    }
    Ok((asked, protocols))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Port;

    #[test]
    fn what_is_not_wanted_is_crossed_out() {
        let mut names = Names::default();
        names.add_port(Port(3), "eth0");
        let text = "!initial,!own,table=2,tcp,tp_dst=80,out_port=eth0";
        let (asked, protocols) = parse_monitor(text, 7, &names).expect("a monitor");
        assert_eq!((asked.id, asked.table, asked.out_port), (7, 2, Port(3)));
        assert!(!asked.flags.initial && !asked.flags.own && asked.flags.add);
        assert_eq!(asked.matching.to_string(), "tcp,tp_dst=80");
        assert_eq!(protocols, Protocols::ANY);
        for (text, why) in [
            ("tabel=1", "unknown keyword tabel"),
            ("table", "missing value"),
            ("table=x", "unknown table"),
            ("!add,!delete,!modify", "at least one"),
        ] {
            let error = parse_monitor(text, 0, &names).expect_err(text);
            assert!(error.contains(why), "{error}");
        }
    }
}
