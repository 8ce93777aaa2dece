//! From the names of a schema to names of Rust: `Logical_Switch_Port` is `LogicalSwitchPort`, `MAC` is `mac`, `type` is `r#type`.
//!
//! Different names stay different: of two that would be alike, the later gets a number.

use std::collections::BTreeSet;

/// Words that Rust has other uses for, those of editions to come included.
const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Words that are keywords even if written `r#..`.
const RESERVED: [&str; 3] = ["crate", "self", "super"];

/// The types that generated code has by their bare names, so that tables cannot.
const TYPES: [&str; 12] = [
    "BTreeMap", "BTreeSet", "Column", "Datum", "FnMut", "Option", "Real", "Ref", "Row", "Self",
    "String", "Uuid",
];

/// The names given so far, in one scope.
#[derive(Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// For the types of a module.
    pub(super) fn of_types() -> Self {
        Self(TYPES.map(String::from).into())
    }

    /// A name for the type of the rows of `table`.
    pub(super) fn type_of(&mut self, table: &str) -> String {
        self.unlike_others(table.split('_').map(capitalized).collect())
    }

    /// A name for the field of `column`.
    pub(super) fn field_of(&mut self, column: &str) -> String {
        let name = self.unlike_others(snake_case(column));
        if RESERVED.contains(&&*name) {
            self.unlike_others(name + "_")
        } else if KEYWORDS.contains(&&*name) {
            format!("r#{name}")
        } else {
            name
        }
    }

    fn unlike_others(&mut self, name: String) -> String {
        let numbered = (2..).map(|n: u64| format!("{name}{n}"));
        let mut candidates = std::iter::once(name.clone()).chain(numbered);
        let free = candidates.find(|name| !self.0.contains(name));
        let free = free.expect("numbers do not end");
        self.0.insert(free.clone());
        free
    }
}

/// `ACL` is `Acl`, `entry` is `Entry`; what is mixed (`QoS`, `vSwitch`) keeps its other letters.
fn capitalized(word: &str) -> String {
    let Some((first, rest)) = word.split_at_checked(1) else { return String::new() };
    let is_shouted = word.bytes().all(|byte| !byte.is_ascii_lowercase());
    let rest = if is_shouted { rest.to_ascii_lowercase() } else { rest.to_owned() };
    first.to_ascii_uppercase() + &rest
}

/// `vlanBindings` is `vlan_bindings`, `MAC` is `mac`, `ACL__In_` is `acl_in`.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && was_lower {
            out.push('_');
        }
        if letter != '_' || !out.ends_with('_') {
            out.push(letter.to_ascii_lowercase());
        }
        was_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
    }
    out.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_rust() {
        let mut types = Names::of_types();
        let made = ["Logical_Switch_Port", "ACL", "NB_Global", "QoS", "sFlow", "Open_vSwitch"]
            .map(|table| types.type_of(table));
        assert_eq!(made, ["LogicalSwitchPort", "Acl", "NbGlobal", "QoS", "SFlow", "OpenVSwitch"]);
        let mut fields = Names::default();
        let made = ["external_ids", "type", "MAC", "vlanBindings", "a__B_", "gen"]
            .map(|column| fields.field_of(column));
        assert_eq!(made, ["external_ids", "r#type", "mac", "vlan_bindings", "a_b", "r#gen"]);
    }

    #[test]
    fn no_two_are_alike_and_none_is_taken() {
        let mut types = Names::of_types();
        let made = ["Row", "Row2", "AB", "A_b", "Ab", "self"].map(|table| types.type_of(table));
        assert_eq!(made, ["Row2", "Row22", "Ab", "AB", "Ab2", "Self2"]);
        let mut fields = Names::default();
        let made =
            ["MAC", "mac", "mac2", "self", "self_", "Type", "type"].map(|c| fields.field_of(c));
        assert_eq!(made, ["mac", "mac2", "mac22", "self_", "self2", "r#type", "type2"]);
    }
}
