//! `memory/show`: how much a daemon holds, one number per kind of thing.

use std::fmt::Write;

/// Formats as the reference does: `atoms:14 cells:20`, in order of name; nothing for nothing.
pub fn show(counts: &[(&str, u64)]) -> String {
    let mut counts = counts.to_vec();
    counts.sort_unstable();
    let mut out = String::new();
    for (i, (name, count)) in counts.iter().enumerate() {
        let space = if i > 0 { " " } else { "" };
        let _ = write!(out, "{space}{name}:{count}"); // writing to a String cannot fail
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn sorted_by_name() {
        assert_eq!(super::show(&[("cells", 20), ("atoms", 14)]), "atoms:14 cells:20");
        assert_eq!(super::show(&[]), "");
    }
}
