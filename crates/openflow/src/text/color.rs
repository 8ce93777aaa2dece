//! Colours in flows and actions as people read them: words are told from values, and what opens from what closes.
//!
//! # Why afterwards
//! Text is printed without colours, and painted when it is whole: what prints rules need not know of terminals, and what is
//! painted is what would have been printed, which a test holds it to. The painter knows the grammar of lists of actions: words
//! with `:`, `=` or parentheses behind them, and which of them are special.

use std::fmt::Write;

/// What is painted alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    /// `actions=` of a flow.
    Actions,
    Drop,
    Learn,
    /// Words with a value.
    Param,
    Paren,
    /// What changes where packets go, or which rule is met.
    Special,
    /// Words that stand for themselves.
    Value,
}

/// How each tone is shown: the number of its "select graphic rendition" (ECMA-48, 8.3.117).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette([(&'static str, String); 7]);

impl Default for Palette {
    fn default() -> Palette {
        let all = [
            ("ac", "1;31"),
            ("dr", "34"),
            ("le", "31"),
            ("pm", "36"),
            ("pr", "35"),
            ("sp", "33"),
            ("vl", "32"),
        ];
        Palette(all.map(|(name, code)| (name, code.to_owned())))
    }
}

impl Palette {
    /// Reads `ac=01;31:dr=34`, as it stands in `OVS_COLORS`. What cannot be a rendition, or is none of the names, is passed over.
    pub fn parse(text: &str) -> Palette {
        let mut palette = Palette::default();
        for (name, code) in text.split(':').filter_map(|part| part.split_once('=')) {
            let plain = code.bytes().all(|b| b.is_ascii_digit() || b == b';');
            if let Some(known) = palette.0.iter_mut().find(|(known, _)| *known == name && plain) {
                known.1 = code.to_owned();
            }
        }
        palette
    }

    /// Paints what a message's text says of flows and actions; lines without any stay as they are.
    pub fn paint(&self, text: &str) -> String {
        text.split_inclusive('\n').map(|line| self.paint_line(line)).collect()
    }

    fn paint_line(&self, line: &str) -> String {
        let mut painter = Painter { palette: self, out: String::with_capacity(line.len() * 3) };
        let Some(at) = line.find("actions=") else {
            return line.to_owned();
        };
        if let Some((head, flow)) = modification(line) {
            painter.plain(head);
            painter.matching(&flow[..at - head.len()]);
            painter.actions(&line[at..], false);
        } else if line.starts_with(' ') && line[..at].ends_with(' ') {
            painter.flow(&line[..at]);
            painter.actions(&line[at..], true);
        } else {
            painter.plain(&line[..at]);
            painter.actions(&line[at..], false);
        }
        painter.out
    }
}

/// Splits a line that changes a flow before its match: `OFPT_FLOW_MOD (xid=0x1): ADD ` and what follows, a table perhaps first.
fn modification(line: &str) -> Option<(&str, &str)> {
    let verb = line.find("FLOW_MOD ").and_then(|at| Some(at + line[at..].find("): ")? + 3))?;
    let mut end = verb + line[verb..].find(' ')? + 1;
    if line[end..].starts_with("table:") {
        end += line[end..].find(' ')? + 1;
    }
    Some(line.split_at(end))
}

/// Fields that are not painted.
fn is_bare(name: &str) -> bool {
    name == "packet_type" || name.starts_with("tun_metadata") || name.starts_with("tun_erspan")
}

/// Words for an Ethernet type, that need no value.
fn is_kind(word: &str) -> bool {
    super::matching::kind_by_name(word).is_some()
}

struct Painter<'a> {
    palette: &'a Palette,
    out: String,
}

impl Painter<'_> {
    fn plain(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn tone(&mut self, tone: Tone, text: &str) {
        let (_, code) = &self.palette.0[tone as usize];
        let _ = write!(self.out, "\x1b[{code}m\x1b[K{text}\x1b[m\x1b[K");
    }

    /// What stands before the actions of a flow that is listed: what was counted, and the match.
    fn flow(&mut self, text: &str) {
        let mut rest = text;
        while let Some(end) = rest.find(", ") {
            self.word(&rest[..end]);
            self.plain(", ");
            rest = &rest[end + 2..];
        }
        // Flags stand before the match, apart from it by a blank.
        while let Some((flag, behind)) = rest.split_once(' ').filter(|(_, rest)| !rest.is_empty()) {
            self.plain(flag);
            self.plain(" ");
            rest = behind;
        }
        self.matching(rest);
    }

    /// A match; behind it there may be more words, which are not painted.
    fn matching(&mut self, text: &str) {
        let (fields, more) = text.split_at(text.find(' ').unwrap_or(text.len()));
        let mut depth = 0u32;
        let mut at = 0;
        for (i, c) in fields.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    self.word(&fields[at..i]);
                    self.plain(",");
                    at = i + 1;
                }
                _ => {}
            }
        }
        self.word(&fields[at..]);
        self.plain(more);
    }

    /// A field with its value, or a word alone, of what is matched or counted.
    fn word(&mut self, text: &str) {
        let blanks = text.len() - text.trim_start().len();
        let (blanks, text) = text.split_at(blanks);
        self.plain(blanks);
        match text.split_once('=') {
            None if is_kind(text) => self.tone(Tone::Value, text),
            Some(("conj_id", value)) => {
                self.tone(Tone::Param, "conj_id");
                self.plain("=");
                self.plain(value);
            }
            Some((name, value)) if !is_bare(name) => {
                let tone = match name {
                    "table" | "priority" => Tone::Special,
                    _ => Tone::Param,
                };
                self.tone(tone, &text[..=name.len()]);
                self.plain(value);
            }
            _ => self.plain(text),
        }
    }

    /// `actions=` and what is behind it, up to the line's end.
    fn actions(&mut self, text: &str, of_listed_flow: bool) {
        let (keyword, mut rest) = text.split_at("actions=".len());
        if of_listed_flow {
            self.tone(Tone::Actions, keyword);
        } else {
            self.plain(keyword);
        }
        loop {
            rest = self.list(rest, Tone::Paren);
            // The next bucket, or a stray parenthesis, ends a list; another one may follow.
            if let Some((before, actions)) = rest
                .starts_with(",bucket=")
                .then(|| rest.split_at(rest.find("actions=").unwrap_or(rest.len())))
            {
                self.plain(before);
                let keyword = actions.len().min("actions=".len());
                self.plain(&actions[..keyword]);
                rest = &actions[keyword..];
                continue;
            }
            let Some(c) = rest.chars().next() else { return };
            let (stray, behind) = rest.split_at(c.len_utf8());
            self.plain(stray);
            rest = behind;
        }
    }

    /// A list of actions, or of arguments of one, up to what closes it; returns the rest.
    fn list<'t>(&mut self, mut text: &'t str, within: Tone) -> &'t str {
        loop {
            text = self.item(text, within);
            let Some(rest) = text.strip_prefix(',').filter(|rest| !rest.starts_with("bucket="))
            else {
                return text;
            };
            let comma = match rest {
                _ if within != Tone::Learn => None,
                rest if rest.starts_with("priority=") => Some((Tone::Special, "priority=")),
                rest if rest.starts_with("fin_hard_timeout=") => {
                    Some((Tone::Param, "fin_hard_timeout="))
                }
                _ => None,
            };
            text = match comma {
                // These two bring their comma with them.
                Some((tone, word)) => {
                    self.tone(tone, &text[..=word.len()]);
                    self.value(&rest[word.len()..])
                }
                None => {
                    self.plain(",");
                    rest
                }
            };
            if comma.is_some() {
                let Some(rest) = text.strip_prefix(',') else { return text };
                self.plain(",");
                text = rest;
            }
        }
    }

    /// One of a list: an action with what belongs to it.
    fn item<'t>(&mut self, text: &'t str, within: Tone) -> &'t str {
        let end = text
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '[' | ']' | '.'))
            .unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        match rest.as_bytes().first() {
            Some(b'(') => self.call(word, rest),
            Some(b':') => {
                let tone = match word {
                    "output" | "load" | "set_field" | "move" | "resubmit" | "group" => {
                        Tone::Special
                    }
                    _ => Tone::Param,
                };
                if is_port(word) {
                    self.plain(&text[..=end]);
                } else {
                    self.tone(tone, &text[..=end]);
                }
                self.value(&rest[1..])
            }
            Some(b'=') => {
                let behind = &rest[1..];
                let copies = within == Tone::Learn && word != "result_dst" && copies_field(behind);
                if copies || matches!(word, "src" | "dst") {
                    self.tone(Tone::Param, word);
                    self.tone(Tone::Param, "=");
                } else {
                    let tone = if word == "table" { Tone::Special } else { Tone::Param };
                    self.tone(tone, &text[..=end]);
                }
                self.value(behind)
            }
            _ => {
                self.alone(word, within);
                rest
            }
        }
    }

    /// A word with nothing behind it.
    fn alone(&mut self, word: &str, within: Tone) {
        let tone = match word {
            "drop" => Some(Tone::Drop),
            "exit" | "dec_nsh_ttl" => Some(Tone::Special),
            "dec_ttl" | "nat" => Some(Tone::Paren),
            "ingress" | "egress" | "src" | "dst" => Some(Tone::Param),
            _ if within == Tone::Learn && word.contains('[') => Some(Tone::Param),
            _ if is_port(word) || !word.starts_with(|c: char| c.is_ascii_alphabetic()) => None,
            _ => Some(Tone::Value),
        };
        match tone {
            Some(tone) => self.tone(tone, word),
            None => self.plain(word),
        }
    }

    /// A word and its arguments in parentheses, of which `rest` begins with the first.
    fn call<'t>(&mut self, word: &str, rest: &'t str) -> &'t str {
        let inside = &rest[1..];
        let open = format!("{word}(");
        match word {
            "learn" => {
                self.tone(Tone::Learn, &open);
                let rest = self.list(inside, Tone::Learn);
                return self.close(rest, Tone::Learn);
            }
            // Not all of it is painted.
            "output" => {
                self.tone(Tone::Special, word);
                return self.closed(rest);
            }
            "check_pkt_larger" => {
                self.tone(Tone::Param, &open);
                let rest = self.until_closed(inside);
                self.plain(&rest[..rest.len().min(1)]);
                return self.plain_value(rest.get(1..).unwrap_or_default());
            }
            "nat" | "dec_ttl" => {
                self.tone(Tone::Paren, word);
                self.tone(Tone::Paren, "(");
            }
            "encap" => {
                self.tone(Tone::Paren, &open);
                let end = inside.find(['(', ')']).unwrap_or(inside.len());
                self.plain(&inside[..end]);
                let mut rest = &inside[end..];
                if rest.starts_with('(') {
                    self.tone(Tone::Paren, "(");
                    rest = &rest[1..];
                    rest = self.until_closed(rest);
                    rest = self.close(rest, Tone::Paren);
                }
                return self.close(rest, Tone::Paren);
            }
            _ => self.tone(Tone::Paren, &open),
        }
        let arguments_are_plain = matches!(
            word,
            "resubmit"
                | "multipath"
                | "conjunction"
                | "decap"
                | "dec_ttl"
                | "set_mpls_label"
                | "set_mpls_tc"
                | "set_mpls_ttl"
        );
        let rest = match word {
            _ if arguments_are_plain => self.until_closed(inside),
            // The last of their arguments is a list itself.
            "bundle" | "bundle_load" => {
                let (before, members) = inside.split_at(inside.find("members:").unwrap_or(0));
                self.plain(before);
                let rest = self.item(members, Tone::Paren);
                self.until_closed(rest)
            }
            _ => self.list(inside, Tone::Paren),
        };
        self.close(rest, Tone::Paren)
    }

    fn close<'t>(&mut self, text: &'t str, tone: Tone) -> &'t str {
        match text.strip_prefix(')') {
            Some(rest) => {
                self.tone(tone, ")");
                rest
            }
            None => text,
        }
    }

    /// Prints, unpainted, what stands before the parenthesis that closes this; returns the rest.
    fn until_closed<'t>(&mut self, text: &'t str) -> &'t str {
        let (inside, rest) = text.split_at(end_of(text, &[]));
        self.plain(inside);
        rest
    }

    /// Prints `(..)` unpainted.
    fn closed<'t>(&mut self, text: &'t str) -> &'t str {
        self.plain("(");
        let inside = &text[1..];
        let rest = self.until_closed(inside);
        self.plain(&rest[..rest.len().min(1)]);
        rest.get(1..).unwrap_or_default()
    }

    /// What is stored elsewhere and not painted: `->reg0[0]`.
    fn plain_value<'t>(&mut self, text: &'t str) -> &'t str {
        let (value, rest) = text.split_at(text.find([',', ')', '\n']).unwrap_or(text.len()));
        self.plain(value);
        rest
    }

    /// A value, up to a comma or what closes the list, with its arrow if it has one.
    fn value<'t>(&mut self, text: &'t str) -> &'t str {
        let (value, rest) = text.split_at(end_of(text, &[',', '\n']));
        match value.split_once("->") {
            Some((before, behind)) => {
                self.plain(before);
                self.tone(Tone::Special, "->");
                self.plain(behind);
            }
            None => self.plain(value),
        }
        rest
    }
}

/// Ports that have names stand there as the actions that they are.
fn is_port(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Whether what a rule that is learned matches, is copied from a field of the packet.
fn copies_field(text: &str) -> bool {
    let end = text.find([',', ')']).unwrap_or(text.len());
    text[..end].ends_with(']')
}

/// Where something ends: before the parenthesis that closes what is around it, or before one of these that is in no parentheses of
/// its own.
fn end_of(text: &str, stops: &[char]) -> usize {
    let mut depth = 0u32;
    let end = text.find(|c| {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return true,
            ')' => depth -= 1,
            _ => return depth == 0 && stops.contains(&c),
        }
        false
    });
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Painted text with `{TONE:` and `}` in place of what terminals understand.
    fn shown(text: &str) -> String {
        let mut shown = Palette::default().paint(text).replace("\x1b[m\x1b[K", "}");
        while let Some(at) = shown.find("\x1b[") {
            let end = at + shown[at..].find("m\x1b[K").unwrap();
            shown = format!("{}{{{}:{}", &shown[..at], &shown[at + 2..end], &shown[end + 4..]);
        }
        shown
    }

    #[test]
    fn flows_are_painted() {
        assert_eq!(
            shown(
                " cookie=0x0, table=0, reset_counts priority=5,ip,in_port=1 actions=output:2,drop\n"
            ),
            " {36:cookie=}0x0, {33:table=}0, reset_counts {33:priority=}5,{32:ip},{36:in_port=}1 {1;31:actions=}{33:output:}2,{34:drop}\n"
        );
        assert_eq!(
            shown(
                "OFPT_FLOW_MOD (xid=0x1): ADD table:3 conj_id=1,tcp idle:5 actions=ct(commit,nat(src=1.2.3.4)),NORMAL"
            ),
            "OFPT_FLOW_MOD (xid=0x1): ADD table:3 {36:conj_id}=1,{32:tcp} idle:5 \
             actions={35:ct(}{32:commit},{35:nat}{35:(}{36:src}{36:=}1.2.3.4{35:)}{35:)},NORMAL"
        );
        assert_eq!(
            shown(
                "actions=learn(table=1,idle_timeout=9,priority=5,NXM_OF_IN_PORT[],load:0x1->NXM_NX_REG0[]),resubmit(,1)"
            ),
            "actions={31:learn(}{33:table=}1,{36:idle_timeout=}9{33:,priority=}5,{36:NXM_OF_IN_PORT[]},\
             {33:load:}0x1{33:->}NXM_NX_REG0[]{31:)},{35:resubmit(},1{35:)}"
        );
        assert_eq!(shown("OFPT_HELLO (xid=0x1):\n"), "OFPT_HELLO (xid=0x1):\n");
    }

    #[test]
    fn palettes_are_read() {
        let palette = Palette::parse("dr=1:nope=2:ac=x:vl=:le");
        let code = |tone: Tone| palette.0[tone as usize].1.as_str();
        let tones = [Tone::Drop, Tone::Actions, Tone::Value, Tone::Learn];
        assert_eq!(tones.map(code), ["1", "1;31", "", "31"]);
    }

    proptest! {
        #[test]
        fn nothing_but_colours_is_added(text in "[ -~]{0,20}( actions=[-a-z0-9_(),:=>\\[\\]]{0,60})?\n?") {
            let painted = Palette::parse("").paint(&text);
            let mut bare = painted.replace("\x1b[m\x1b[K", "");
            for code in ["1;31", "34", "31", "36", "35", "33", "32"] {
                bare = bare.replace(&format!("\x1b[{code}m\x1b[K"), "");
            }
            prop_assert_eq!(bare, text);
        }
    }
}
