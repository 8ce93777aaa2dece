//! Lists of fields.

use std::fmt;

use crate::field::Field;

/// The place of a field in lists, which is not quite that in the manual.
pub(super) fn rank(field: Field) -> u32 {
    let place = |field: Field| 4 * (field as u32 + 1);
    match field {
        Field::TunFlags => place(Field::TunIpv6Dst) + 1,
        Field::Metadata => place(Field::InPort) - 1,
        Field::ActsetOutput => place(Field::InPortOxm) + 1,
        Field::TunErspanIdx => place(Field::TunErspanVer) - 1,
        Field::VlanTci => place(Field::VlanVid) - 1,
        Field::NwTos => place(Field::NwProto) + 1,
        Field::IpDscp => place(Field::NwProto) + 2,
        Field::NwEcn => place(Field::NwProto) + 3,
        Field::NshTtl => place(Field::NdOptionsType) + place(Field::NshC4) + 1,
        _ if (Field::NshFlags..=Field::NshC4).contains(&field) => {
            place(Field::NdOptionsType) + place(field)
        }
        _ => place(field),
    }
}

/// One field, or three and more whose names differ by consecutive numbers at their end.
struct Run {
    first: &'static str,
    last: &'static str,
}

impl Run {
    /// The name up to the first underscore, and with it, if there is one.
    fn prefix(&self) -> &'static str {
        self.first.split_inclusive('_').next().filter(|p| p.ends_with('_')).unwrap_or("")
    }

    /// The same without what stands before.
    fn without(&self, prefix: &str) -> Run {
        let rest = |name: &'static str| name.strip_prefix(prefix).unwrap_or(name);
        Run { first: rest(self.first), last: rest(self.last) }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.first)?;
        if self.first == self.last { Ok(()) } else { write!(f, "...{}", self.last) }
    }
}

/// Runs with `separator` between; neighbours that begin with the same word have it said once.
fn grouped(runs: &[Run], separator: &str) -> String {
    let same = |a: &Run, b: &Run| !a.prefix().is_empty() && a.prefix() == b.prefix();
    let groups = runs.chunk_by(same).map(|group| match group {
        [first, _, ..] => {
            let prefix = first.prefix();
            let parts: Vec<Run> = group.iter().map(|run| run.without(prefix)).collect();
            format!("{prefix}{{{}}}", grouped(&parts, ","))
        }
        _ => group.iter().map(Run::to_string).collect(),
    });
    groups.collect::<Vec<_>>().join(separator)
}

/// A name's end, if that is a number, and what stands before it.
fn numbered(name: &str) -> Option<(&str, u32)> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((stem, name.strip_prefix(stem)?.parse().ok()?))
}

/// Fields in short: `reg0...reg15 eth_{src,dst}`.
pub(super) fn list<'a>(fields: impl IntoIterator<Item = &'a Field>) -> String {
    let mut fields: Vec<Field> = fields.into_iter().copied().collect();
    fields.sort_by_key(|field| rank(*field));
    let names: Vec<&'static str> = fields.into_iter().map(|field| field.name()).collect();
    let follows = |a: &&'static str, b: &&'static str| match (numbered(a), numbered(b)) {
        (Some((stem, n)), Some((other, m))) => stem == other && n + 1 == m,
        _ => false,
    };
    let mut runs = Vec::new();
    for chunk in names.chunk_by(follows) {
        match chunk {
            [first, _, .., last] => runs.push(Run { first, last }),
            _ => runs.extend(chunk.iter().map(|name| Run { first: name, last: name })),
        }
    }
    grouped(&runs, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_short() {
        for (fields, text) in [
            (&[Field::EthType, Field::EthSrc, Field::EthDst][..], "eth_{src,dst,type}"),
            (&[Field::Reg0, Field::Reg1], "reg0 reg1"),
            (&[Field::Reg0, Field::Reg1, Field::Reg2, Field::Reg4], "reg0...reg2 reg4"),
            (&[Field::InPort, Field::Metadata], "metadata in_port"),
            (
                &[Field::TunMetadata0, Field::TunMetadata1, Field::TunMetadata2, Field::TunSrc],
                "tun_{src,metadata0...metadata2}",
            ),
            (
                &[Field::TunSrc, Field::TunIpv6Src, Field::TunIpv6Dst, Field::TunFlags],
                "tun_{src,ipv6_{src,dst},flags}",
            ),
            (&[Field::NshFlags, Field::NshTtl, Field::NshMdtype], "nsh_{flags,mdtype,ttl}"),
            (&[], ""),
        ] {
            assert_eq!(list(fields), text);
        }
    }
}
