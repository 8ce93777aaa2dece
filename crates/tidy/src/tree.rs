//! The workspace: its members in reading order, their dependencies, their files.

use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's root.
pub fn root() -> PathBuf {
    let mut dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    dir.pop();
    dir.pop();
    dir
}

/// The text of a file below the root.
pub fn read(path: &str) -> String {
    let full = root().join(path);
    fs::read_to_string(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()))
}

/// One line of the root's `members`.
pub struct Member {
    /// The folder, below the root.
    pub path: String,
    /// What the comment behind it says; empty if there is none.
    pub comment: String,
    /// Its Cargo.toml.
    pub manifest: Manifest,
}

impl Member {
    /// The crate's name, which is its folder's.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The Rust files below its folder.
    pub fn sources(&self) -> Vec<String> {
        files(&self.path).into_iter().filter(|file| file.ends_with(".rs")).collect()
    }
}

/// The members of the workspace, in the order in which Cargo.toml lists them.
pub fn members() -> Vec<Member> {
    let text = read("Cargo.toml");
    let lines = text.lines().skip_while(|line| !line.starts_with("members")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with(']'));
    lines
        .filter_map(|line| {
            let (path, rest) = line.trim().strip_prefix('"')?.split_once('"')?;
            let comment = rest.split_once('#').map_or("", |(_, comment)| comment.trim());
            let manifest = Manifest::parse(&read(&format!("{path}/Cargo.toml")));
            Some(Member { path: path.to_owned(), comment: comment.to_owned(), manifest })
        })
        .collect()
}

/// A Cargo.toml as sections of lines; as much of TOML as our manifests use.
pub struct Manifest(Vec<(String, Vec<String>)>);

impl Manifest {
    /// Cuts it into sections.
    pub fn parse(text: &str) -> Self {
        let mut sections = vec![(String::new(), Vec::new())];
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                sections.push((name.to_owned(), Vec::new()));
            } else if !line.is_empty()
                && !line.starts_with('#')
                && let Some((_, lines)) = sections.last_mut()
            {
                lines.push(line.to_owned());
            }
        }
        Self(sections)
    }

    /// The lines of a section, without comments; none if there is no such section.
    pub fn section(&self, name: &str) -> Vec<&str> {
        let lines =
            self.0.iter().filter(|(section, _)| section == name).flat_map(|(_, lines)| lines);
        lines.map(String::as_str).collect()
    }

    /// The crates that a section of dependencies names.
    pub fn dependencies(&self, section: &str) -> Vec<&str> {
        let name = |line: &'_ str| line.find(['.', ' ', '=']).unwrap_or(line.len());
        self.section(section).into_iter().map(|line| &line[..name(line)]).collect()
    }
}

/// Every file below `folder`, as paths below the root, in order. What building leaves behind is not looked at.
pub fn files(folder: &str) -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default();
            if path.is_symlink() || name == "target" || name == ".git" {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { found.push(below(&root, &path)) }
        }
    }
    found.sort();
    found
}

fn below(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
