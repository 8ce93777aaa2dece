//! The repository's rules; see the crate's essay.

mod crates;
mod pages;
mod sources;

/// Fails with a list of what breaks a rule.
#[track_caller]
fn none(rule: &str, violations: Vec<String>) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}
