//! What `ovs-dpctl` and `ovs-appctl dpctl/..` know without a datapath: their commands, and actions as text.

use std::collections::BTreeMap;

use crate::text::{ActionsText, Numbers, parse_actions, parse_flow};
use crate::{Action, FlowKey};

/// A command of either.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its name for `ovs-appctl`.
    pub appctl: &'static str,
    /// Its arguments.
    pub usage: &'static str,
    /// How many there are at least.
    pub min: usize,
    /// And at most.
    pub max: usize,
}

const fn command(appctl: &'static str, usage: &'static str, min: usize, max: usize) -> Command {
    Command { appctl, usage, min, max }
}

impl Command {
    /// Its name for `ovs-dpctl`.
    pub fn name(&self) -> &'static str {
        self.appctl.strip_prefix("dpctl/").unwrap_or(self.appctl)
    }

    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        let name = self.name();
        name.starts_with("ipf-set-") || WRITING.iter().any(|verb| name.starts_with(verb))
    }
}

/// How commands begin that change something. Those of limits of connections do not count, as they do not for the reference.
const WRITING: [&str; 9] = [
    "add-",
    "del-",
    "set-",
    "mod-",
    "flush-",
    "cache-set-",
    "ct-set-maxconns",
    "ct-enable-",
    "ct-disable-",
];

/// Any number of arguments.
const ANY: usize = usize::MAX;

/// All that need a datapath, or take some, in the order in which they are listed.
pub const COMMANDS: &[Command] = &[
    command("dpctl/add-dp", "dp [iface...]", 1, ANY),
    command("dpctl/del-dp", "dp", 1, 1),
    command("dpctl/add-if", "dp iface...", 2, ANY),
    command("dpctl/del-if", "dp iface...", 2, ANY),
    command("dpctl/set-if", "dp iface...", 2, ANY),
    command("dpctl/dump-dps", "", 0, 0),
    command("dpctl/show", "[-s] [dp...]", 0, ANY),
    command("dpctl/dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6),
    command("dpctl/add-flow", "[dp] flow actions", 2, 3),
    command("dpctl/mod-flow", "[dp] flow actions", 2, 3),
    command("dpctl/get-flow", "[dp] ufid", 1, 2),
    command("dpctl/del-flow", "[dp] flow", 1, 2),
    command("dpctl/add-flows", "[dp] file", 1, 2),
    command("dpctl/mod-flows", "[dp] file", 1, 2),
    command("dpctl/del-flows", "[dp] [file]", 0, 2),
    command("dpctl/offload-stats-show", "[dp]", 0, 1),
    command("dpctl/dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4),
    command("dpctl/flush-conntrack", "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", 0, 4),
    command("dpctl/cache-get-size", "[dp]", 0, 1),
    command("dpctl/cache-set-size", "dp cache <size>", 3, 3),
    command("dpctl/ct-stats-show", "[dp] [zone=N]", 0, 3),
    command("dpctl/ct-bkts", "[dp] [gt=N]", 0, 2),
    command("dpctl/ct-set-maxconns", "[dp] maxconns", 1, 2),
    command("dpctl/ct-get-maxconns", "[dp]", 0, 1),
    command("dpctl/ct-get-nconns", "[dp]", 0, 1),
    command("dpctl/ct-enable-tcp-seq-chk", "[dp]", 0, 1),
    command("dpctl/ct-disable-tcp-seq-chk", "[dp]", 0, 1),
    command("dpctl/ct-get-tcp-seq-chk", "[dp]", 0, 1),
    command("dpctl/ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, ANY),
    command("dpctl/ct-del-limits", "[dp] zone=N1[,N2]...", 1, 2),
    command("dpctl/ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2),
    command("dpctl/ipf-set-enabled", "[dp] v4|v6", 1, 2),
    command("dpctl/ipf-set-disabled", "[dp] v4|v6", 1, 2),
    command("dpctl/ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3),
    command("dpctl/ipf-set-max-nfrags", "[dp] maxfrags", 1, 2),
    command("dpctl/ipf-get-status", "[dp]", 0, 1),
    // The program's alone.
    command("help", "", 0, ANY),
    command("dpctl/list-commands", "", 0, ANY),
    command("dpctl/parse-actions", "actions", 1, ANY),
    command("dpctl/normalize-actions", "actions", 2, ANY),
];

/// A command by its name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name() == name)
}

/// The list of commands as `ovs-appctl` knows them.
pub fn list_of_appctl() -> String {
    let known = COMMANDS.iter().filter(|command| command.name() != command.appctl);
    list(known.map(|command| (command.appctl, command.usage)), 29)
}

/// The list of commands as `ovs-dpctl` knows them.
pub fn list_of_dpctl() -> String {
    list(COMMANDS.iter().map(|command| (command.name(), command.usage)), 23)
}

fn list<'a>(commands: impl Iterator<Item = (&'a str, &'a str)>, width: usize) -> String {
    let mut out = "The available commands are:\n".to_owned();
    for (name, usage) in commands {
        out += &format!("  {name:<width$} {usage}\n");
    }
    out
}

/// Reads actions and says them again, each argument on a line of its own: what was said before something was wrong, and what
/// that was.
pub fn again(args: &[&str]) -> (String, Option<String>) {
    let mut out = String::new();
    for arg in args {
        match actions(arg) {
            Ok(actions) => {
                out += &format!("{}\n", ActionsText { actions: &actions, names: &Numbers });
            }
            Err(why) => return (out, Some(why)),
        }
    }
    (out, None)
}

fn actions(text: &str) -> Result<Vec<Action>, String> {
    parse_actions(text, &Numbers).map_err(|_| "odp_actions_from_string (Invalid argument)".into())
}

/// What is done to packets of a flow, by the tags that they have when it is done, and with outputs in order: two lists of
/// actions that do the same are then more often the same. Yields what was said before something was wrong, and what that was.
pub fn normalized(flow: &str, text: &str) -> (String, Option<String>) {
    let (key, mask) = match parse_flow(flow, &Numbers) {
        Ok(parsed) => parsed,
        Err(error) => {
            let text = format!("odp_flow_key_from_string ({error}) (Invalid argument)");
            return (String::new(), Some(text));
        }
    };
    let shown = crate::text::FlowText::brief(&key, &mask).to_string();
    // What was not said is no part of what is shown again. Without a type little was.
    let said = shown.strip_prefix("recirc_id(0),").unwrap_or(&shown);
    let shown = if mask.0.eth_type == 0 { flow.trim() } else { said };
    let mut out = format!("input flow: {shown}\n");
    match actions(text) {
        Ok(actions) => {
            for ((tag, _, labels, _), part) in by_tags(&key, actions) {
                let actions = sorted(part);
                let text = ActionsText { actions: &actions, names: &Numbers };
                out += &format!("{}: {}: {text}", tag_text(tag), labels_text(labels));
            }
            (out, None)
        }
        Err(error) => (out, Some(error)),
    }
}

/// The outer tag and all tags, the outer label and all labels.
type Tags = (u16, Vec<u16>, u32, Vec<u32>);

/// Parts of a list of actions, by the tags that packets have there. Changes of tags are told by that alone.
fn by_tags(key: &FlowKey, actions: Vec<Action>) -> BTreeMap<Tags, Vec<Action>> {
    let mut tags: Vec<u16> =
        key.vlans.iter().take_while(|tag| tag.is_present()).map(|tag| tag.tci).collect();
    let mut labels: Vec<u32> = key.mpls.iter().copied().take_while(|label| *label != 0).collect();
    let mut parts: BTreeMap<Tags, Vec<Action>> = BTreeMap::new();
    for action in actions {
        match action {
            Action::PushVlan(tag) => tags.insert(0, tag.tci),
            Action::PopVlan => drop((!tags.is_empty()).then(|| tags.remove(0))),
            Action::PushMpls { entry, .. } => labels.insert(0, entry),
            Action::PopMpls { .. } => drop((!labels.is_empty()).then(|| labels.remove(0))),
            other => {
                let outer = (tags.first().copied(), labels.first().copied());
                let at = (outer.0.unwrap_or(0), tags.clone(), outer.1.unwrap_or(0), labels.clone());
                parts.entry(at).or_default().push(other);
            }
        }
    }
    if parts.is_empty() {
        parts.insert((0, tags, 0, labels), Vec::new());
    }
    parts
}

/// Outputs that follow each other, in the order of their ports.
fn sorted(mut actions: Vec<Action>) -> Vec<Action> {
    let is_output = |action: &Action| matches!(action, Action::Output(_));
    for run in actions.chunk_by_mut(|a, b| is_output(a) && is_output(b)) {
        run.sort_by_key(|action| match action {
            Action::Output(port) => port.0,
            _ => 0,
        });
    }
    actions
}

fn tag_text(tci: u16) -> String {
    if tci == 0 {
        return "no vlan".to_owned();
    }
    format!("vlan(vid={},pcp={})", tci & 0xfff, tci >> 13)
}

fn labels_text(entry: u32) -> String {
    if entry == 0 {
        return "no mpls".to_owned();
    }
    let (label, tc, ttl) = (entry >> 12, entry >> 9 & 7, entry & 0xff);
    format!("mpls(label={label},tc={tc},ttl={ttl})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETHER: &str = "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02)";
    const UDP: &str =
        "ipv4(src=1.2.3.4,dst=5.6.7.8,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)";

    #[test]
    fn actions_are_told_by_tags_with_outputs_in_order() {
        let plain = format!("{ETHER},eth_type(0x0800),{UDP}");
        let tagged =
            format!("{ETHER},eth_type(0x8100),vlan(vid=5,pcp=2),encap(eth_type(0x0800),{UDP})");
        let cases = [
            (&plain, "2,1,3", "no vlan: no mpls: 1,2,3"),
            (
                &plain,
                "push_vlan(vid=12,pcp=0),2,1,pop_vlan,3",
                "no vlan: no mpls: 3vlan(vid=12,pcp=0): no mpls: 1,2",
            ),
            (
                &tagged,
                "2,pop_vlan,push_vlan(vid=9,pcp=3),1",
                "vlan(vid=5,pcp=2): no mpls: 2vlan(vid=9,pcp=3): no mpls: 1",
            ),
            (
                &tagged,
                "1,pop_vlan,2,set(eth(dst=00:00:00:00:00:03)),5,4",
                "no vlan: no mpls: 2,set(eth(dst=00:00:00:00:00:03)),4,5vlan(vid=5,pcp=2): no mpls: 1",
            ),
            (&plain, "drop", "no vlan: no mpls: drop"),
            (
                &plain,
                "4,trunc(100),3,2,sample(sample=50.0%,actions(1))",
                "no vlan: no mpls: 4,trunc(100),2,3,sample(sample=50.0%,actions(1))",
            ),
        ];
        for (flow, actions, wanted) in cases {
            let (out, error) = normalized(flow, actions);
            assert_eq!(error, None, "{actions}");
            assert_eq!(out, format!("input flow: {flow}\n{wanted}"), "{actions}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let (out, error) = normalized("bogus", "1");
        assert_eq!(out, "");
        let text = "odp_flow_key_from_string (syntax error at bogus) (Invalid argument)";
        assert_eq!(error.as_deref(), Some(text));
        let (out, error) = normalized("in_port(1)", "bogus");
        assert_eq!(out, "input flow: in_port(1)\n");
        assert_eq!(error.as_deref(), Some("odp_actions_from_string (Invalid argument)"));
        assert_eq!(again(&["1,2", "drop"]), ("1,2\ndrop\n".to_owned(), None));
        let (out, error) = again(&["1", "bogus", "2"]);
        assert_eq!(out, "1\n");
        assert!(error.is_some());
    }
}
