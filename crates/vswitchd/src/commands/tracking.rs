//! The connection tracker: there is none yet, so there are no connections, and nothing to set. What is asked for is read all the
//! same, so that whoever is wrong hears of that first.

use openflow::text::ct_flush::parse_ct_flush;
use unixctl::{Args, Registry};

use super::datapaths;
use crate::daemon::Daemon;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    let mut told = |name: &str, run: fn(&mut Daemon, &Args) -> Result<String, String>| {
        super::add_dpctl(registry, name, run);
    };
    told("dump-conntrack", |d, args| none(d, args, ""));
    told("flush-conntrack", flush);
    told("ct-get-nconns", |d, args| none(d, args, "0\n"));
    told("ct-stats-show", |d, args| none(d, args, "Connections Stats:\n    Total: 0\n"));
    told("ct-bkts", |d, args| none(d, args, "Total Buckets: 1\nCurrent Connections: 0\n\n"));
    told("ct-get-limits", get_limits);
    for name in ["ct-get-maxconns", "ct-get-tcp-seq-chk", "ipf-get-status"] {
        told(name, |d, args| none(d, args, "").and_then(|_| Err(untracked())));
    }
    for name in ["ct-enable-tcp-seq-chk", "ct-disable-tcp-seq-chk"] {
        told(name, |_, _| Err(untracked()));
    }
    told("ct-set-maxconns", |d, args| set_number(d, args, "maxconns missing or malformed"));
    told("ipf-set-max-nfrags", |d, args| {
        set_number(d, args, "parameter missing for maximum fragments")
    });
    told("ct-set-limits", set_limits);
    told("ct-del-limits", |d, args| {
        let words = super::operands(args);
        let words = of_datapath(d, &words)?;
        zones(words.first().copied().unwrap_or_default())?;
        Err(untracked())
    });
    for name in ["ipf-set-enabled", "ipf-set-disabled"] {
        told(name, |_, args| {
            let missing = "parameter missing: 'v4' for IPv4 or 'v6' for IPv6";
            version(super::operands(args).last(), missing)?;
            Err(untracked())
        });
    }
    told("ipf-set-min-frag", |_, args| {
        let words = super::operands(args);
        let [.., kind, size] = words[..] else {
            return Err(wrong("parameter missing for minimum fragment size"));
        };
        version(Some(&kind), "parameter missing: v4 for IPv4 or v6 for IPv6")?;
        number(size).ok_or_else(|| wrong("parameter missing for minimum fragment size"))?;
        Err(untracked())
    });
}

fn untracked() -> String {
    "ovs-vswitchd: connections are not tracked (Operation not supported)".to_owned()
}

fn wrong(why: &str) -> String {
    format!("ovs-vswitchd: {why} (Invalid argument)")
}

/// Like strtoul(): what follows the number does not matter.
fn number(text: &str) -> Option<u64> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn version(word: Option<&&str>, missing: &str) -> Result<(), String> {
    match word {
        Some(&"v4" | &"v6") => Ok(()),
        _ => Err(wrong(missing)),
    }
}

/// What is said of connections, of which there are none, in the datapath that the first word names, if it names one.
fn none(daemon: &mut Daemon, args: &Args, text: &str) -> Result<String, String> {
    const MORE: [&str; 3] = ["zone=", "gt=", "verbose"];
    let words = super::operands(args);
    let is_more = |word: &&str| MORE.iter().any(|more| word.starts_with(more));
    let about = |word: &str| word.split_once('=').is_some_and(|(_, n)| number_or_less(n));
    let name = words
        .first()
        .copied()
        .filter(|word| !(is_more(word) && (about(word) || *word == "verbose")));
    datapaths::find(daemon, name)?;
    Ok(text.to_owned())
}

fn number_or_less(text: &str) -> bool {
    number(text.strip_prefix('-').unwrap_or(text)).is_some()
}

/// The words behind the datapath's name, if the first one is that: it has no `=`, and there is such a datapath.
fn of_datapath<'a>(daemon: &Daemon, words: &'a [&'a str]) -> Result<&'a [&'a str], String> {
    match words {
        [name, rest @ ..] if datapaths::find(daemon, Some(name)).is_ok() => Ok(rest),
        words => datapaths::find(daemon, None).map(|_| words),
    }
}

fn set_number(daemon: &mut Daemon, args: &Args, missing: &str) -> Result<String, String> {
    let words = super::operands(args);
    if let [name, _] = words[..] {
        datapaths::find(daemon, Some(name))?;
    }
    words.last().and_then(|word| number(word)).ok_or_else(|| wrong(missing))?;
    Err(untracked())
}

/// `zone=1,2,3`
fn zones(text: &str) -> Result<Vec<u16>, String> {
    let list =
        text.strip_prefix("zone=").ok_or_else(|| wrong(&format!("invalid argument {text}")))?;
    let zone = |text: &str| text.parse().map_err(|_| wrong("invalid zone"));
    list.split(',').filter(|zone| !zone.is_empty()).map(zone).collect()
}

fn get_limits(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let words = super::operands(args);
    let words = of_datapath(daemon, &words)?;
    let asked = words.first().map_or(Ok(Vec::new()), |word| zones(word))?;
    let lines = asked.iter().map(|zone| format!("zone={zone},limit=0,count=0\n"));
    Ok(format!("default limit=0\n{}", lines.collect::<String>()))
}

/// `default=5 zone=1,limit=7`
fn set_limits(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let words = super::operands(args);
    let mut words = of_datapath(daemon, &words)?;
    if let [first, rest @ ..] = words
        && let Some(limit) = first.strip_prefix("default=")
    {
        limit.parse::<u32>().map_err(|_| wrong("invalid default limit"))?;
        words = rest;
    }
    for word in words {
        let (mut zone, mut limit) = (false, false);
        for part in word.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(wrong(&format!("field {part} missing value")));
            };
            let ok = match key {
                "zone" => {
                    zone = true;
                    value.parse::<u16>().is_ok()
                }
                "limit" => {
                    limit = true;
                    value.parse::<u32>().is_ok()
                }
                _ => return Err(wrong(&format!("invalid zone limit field: {key}"))),
            };
            if !ok {
                return Err(wrong(&format!("failed to parse field {key}")));
            }
        }
        if !(zone && limit) {
            return Err(wrong("failed to parse zone limit"));
        }
    }
    Err(untracked())
}

/// All connections, those of a zone, or those of certain addresses.
fn flush(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let words = super::operands(args);
    let mut rest = match words[..] {
        // A name has no value; the reference takes it for a field if nothing follows.
        [name, ref rest @ ..]
            if !name.contains('=') && datapaths::find(daemon, Some(name)).is_ok() =>
        {
            rest
        }
        ref all => all,
    };
    let mut of_zone = None;
    if let [zone, behind @ ..] = rest
        && let Some(number) = zone.strip_prefix("zone=")
    {
        of_zone = Some(number.parse().map_err(|_| wrong("failed to parse zone"))?);
        rest = behind;
    }
    if let [original, behind @ ..] = rest {
        let reply = behind.first().copied();
        parse_ct_flush(of_zone, original, reply).map_err(|why| wrong(&why))?;
    }
    datapaths::find(daemon, None)?;
    Ok(String::new())
}
