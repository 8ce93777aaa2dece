//! Flows of which nothing is wild, as text: those that are a packet's. What is not said is zero.

use super::key_value::pairs;
use super::matching::kind_by_name;
use super::names::Names;
use super::value::parse_masked;
use crate::Match;
use crate::field::Field;
use crate::field::prereq::whole_mask;

/// Reads a flow, of which each field must be whole and may be said once; and what makes it one of the packet must come before.
pub fn parse_exact(text: &str, names: &Names) -> Result<Match, String> {
    let mut flow = Match::any();
    let fails = |why: String| format!("{text}: {why}");
    for pair in pairs(text) {
        let (key, value) = (pair.key, pair.value);
        if let Some((kind, proto)) = kind_by_name(key) {
            if flow.ether_type().is_some_and(|kind| kind != 0) {
                return Err(fails("Ethernet type set multiple times".to_owned()));
            }
            flow.set_exact(Field::EthType, kind);
            if proto != 0 {
                flow.set_exact(Field::NwProto, proto);
            }
            continue;
        }
        // Of a tag, which both are parts of.
        if matches!(key, "dl_vlan" | "dl_vlan_pcp") {
            if let Some(Err(why)) = flow.parse_field(key, value) {
                return Err(fails(format!("bad value for {key} ({why})")));
            }
            continue;
        }
        let field = Field::by_name(key).ok_or_else(|| fails(format!("unknown field {key}")))?;
        if !field.row().prereq.is_met(&flow) {
            return Err(fails(format!("prerequisites not met for setting {key}")));
        }
        if flow.exact(field).is_some_and(|bits| bits != 0) {
            return Err(fails(format!("field {key} set multiple times")));
        }
        let bad = |why: String| fails(format!("bad value for {key} ({why})"));
        let port = (field == Field::InPort).then(|| names.port_by_name(value)).flatten();
        let number = port.map(|port| port.0.to_string());
        let (bits, mask) = parse_masked(field, number.as_deref().unwrap_or(value)).map_err(bad)?;
        if mask != whole_mask(field) {
            return Err(bad(format!("{value}: wildcards not allowed here")));
        }
        flow.set(field, &bits, &mask);
    }
    Ok(flow)
}
