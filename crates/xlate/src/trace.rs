//! What a translation did, step by step, for people: the tree that `ofproto/trace` prints.
//!
//! # The text
//! Facts of the reference. What happens to a packet stands one step further in than the table that says so; a table, bucket or
//! bridge that is the last of its siblings is not moved in (so a chain of tables stays at the left), any other is, and what
//! belongs to it is moved in twice.

use std::fmt;

/// Steps in order. Empty unless they were wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    nodes: Vec<Node>,
    /// For each node that is still open, its siblings before it and itself, outermost first.
    open: Vec<(Vec<Node>, Kind, String)>,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The packet enters a bridge.
    Bridge,
    /// It meets a rule, or none, in a table.
    Table,
    /// A group's bucket.
    Bucket,
    /// It comes back to go on where it was left.
    Thaw,
    /// An action.
    Action,
    /// What came of the action before it.
    Detail,
    /// Something that may not be what was meant.
    Warning,
    /// Something that ended the translation.
    Error,
}

impl Kind {
    /// Whether nothing but what the packet undergoes is meant, which always stands further in.
    fn is_event(self) -> bool {
        !matches!(self, Kind::Bridge | Kind::Table | Kind::Thaw)
    }
}

/// One step, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// What happened.
    pub text: String,
    /// In order.
    pub inner: Vec<Node>,
}

impl Trace {
    /// The outermost steps.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Adds a step that nothing belongs to.
    pub(crate) fn push(&mut self, kind: Kind, text: String) {
        self.nodes.push(Node { kind, text, inner: Vec::new() });
    }

    /// Adds a step that the following ones belong to, until it is closed.
    pub(crate) fn open(&mut self, kind: Kind, text: String) {
        self.open.push((std::mem::take(&mut self.nodes), kind, text));
    }

    /// Ends the innermost open step.
    pub(crate) fn close(&mut self) {
        if let Some((siblings, kind, text)) = self.open.pop() {
            let inner = std::mem::replace(&mut self.nodes, siblings);
            self.nodes.push(Node { kind, text, inner });
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_nodes(f, &self.nodes, 0)
    }
}

fn write_nodes(f: &mut fmt::Formatter<'_>, nodes: &[Node], level: usize) -> fmt::Result {
    for (i, node) in nodes.iter().enumerate() {
        let further = usize::from(i + 1 < nodes.len() || node.kind.is_event());
        let (indent, text) = (4 * (level + further), &node.text);
        match node.kind {
            Kind::Bridge => {
                writeln!(f, "\n{:indent$}{text}", "")?;
                writeln!(f, "{:indent$}{:-<width$}", "", "", width = text.len())?;
            }
            Kind::Detail => writeln!(f, "{:indent$} -> {text}", "")?,
            Kind::Warning => writeln!(f, "{:indent$} >> {text}", "")?,
            Kind::Error => writeln!(f, "{:indent$} >>>> {text} <<<<", "")?,
            Kind::Table | Kind::Bucket | Kind::Thaw | Kind::Action => {
                writeln!(f, "{:indent$}{text}", "")?;
            }
        }
        write_nodes(f, &node.inner, level + 2 * further)?;
    }
    Ok(())
}
