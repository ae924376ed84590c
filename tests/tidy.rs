//! The house rules that no compiler checks: purity of the stages, size, names, module docs.
//!
//! Prints the measures of the tree on every run (`cargo test --test tidy -- --nocapture`).

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms that see neither clock nor disk nor network.
const PURE: [&str; 7] = ["observe", "join", "assess", "decide", "sketch", "event", "topology.rs"];
/// What a pure room must not name.
const BANNED: [&str; 14] = [
    "rdkafka",
    "tokio",
    "tracing::",
    "prometheus",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "std::time",
    "crate::runtime",
    "crate::serve",
    "crate::registry",
    "crate::cli",
];
const CODE_LINES_MAX: usize = 500;
const LINE_WIDTH_MAX: usize = 100;
const BAD_NAMES: [&str; 4] = ["utils", "common", "helpers", "manager"];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Lines of code: neither blank, nor comment, nor in the file's test module.
    fn code_lines(&self) -> usize {
        let code = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let blank_or_comment = |line: &&str| line.is_empty() || line.starts_with("//");
        code.lines().map(str::trim).filter(|line| !blank_or_comment(line)).count()
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of this package") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8 source");
                let path = path.strip_prefix(root).expect("below the root").to_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn is_pure(path: &Path) -> bool {
    PURE.iter().any(|room| path.starts_with(Path::new("src").join(room)))
}

#[test]
fn stages_name_no_clock_no_disk_and_no_network() {
    let mut wrong = Vec::new();
    for source in sources("src").iter().filter(|source| is_pure(&source.path)) {
        for (number, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let banned = BANNED.iter().filter(|word| code.contains(**word));
            wrong.extend(banned.map(|word| format!("{}:{} {word}", source.name(), number + 1)));
        }
    }
    assert!(wrong.is_empty(), "pure rooms name what they must not: {wrong:#?}");
}

#[test]
fn unsafe_code_is_in_one_module() {
    // The lint denies it in the whole package; this holds that nobody lifts it elsewhere.
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the manifest");
    assert!(manifest.contains("\nunsafe_code = \"deny\"\n"), "the lint denies it");
    let words =
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe extern", "unsafe_code"];
    let holders: Vec<String> = sources("src")
        .iter()
        .filter(|source| words.iter().any(|word| source.text.contains(word)))
        .map(Source::name)
        .collect();
    let elsewhere = holders.iter().find(|name| !name.starts_with("src/runtime/ffi"));
    assert_eq!(elsewhere, None, "unsafe outside runtime/ffi");
    assert!(!holders.is_empty(), "the words are found where they are");
}

#[test]
fn every_file_says_what_it_is_for() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(sources);
    let silent: Vec<String> =
        all.filter(|source| !source.text.starts_with("//!")).map(|source| source.name()).collect();
    assert!(silent.is_empty(), "no module doc in {silent:#?}");
}

#[test]
fn files_and_lines_stay_short() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let lines = source.code_lines();
        if lines > CODE_LINES_MAX {
            wrong.push(format!("{} has {lines} lines of code", source.name()));
        }
        let is_test = source.path.ends_with("tests.rs");
        for (number, line) in source.text.lines().enumerate() {
            if !is_test && line.chars().count() > LINE_WIDTH_MAX && !line.contains("://") {
                wrong.push(format!("{}:{} is {} wide", source.name(), number + 1, line.len()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_say_what_is_in_a_file() {
    let bad = sources("src").into_iter().filter(|source| {
        source.path.iter().any(|part| {
            BAD_NAMES
                .iter()
                .any(|bad| part.to_str().is_some_and(|part| part.trim_end_matches(".rs") == *bad))
        })
    });
    let bad: Vec<String> = bad.map(|source| source.name()).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn measures_of_the_tree_are_printed() {
    let all = sources("src");
    let mut sizes: Vec<usize> = all.iter().map(Source::code_lines).collect();
    sizes.sort_unstable();
    let total: usize = sizes.iter().sum();
    println!(
        "{} files, {total} lines of code; median {}, p90 {}, longest {}",
        sizes.len(),
        sizes[sizes.len() / 2],
        sizes[sizes.len() * 9 / 10],
        sizes[sizes.len() - 1]
    );
    assert!(sizes[sizes.len() / 2] <= 250, "most files stay under 250 lines of code");
}
