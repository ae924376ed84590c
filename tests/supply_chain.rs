//! What the build is made of: where it comes from, under which licences, and a list of it.
//!
//! Reads `Cargo.lock` through `cargo metadata` without a network. Advisories need one, and are
//! asked for by hand: `cargo deny check`, with `.deny.toml`. `deploy/sbom.sh FILE` writes the list
//! (`DRIFTLINE_SBOM=FILE`), a CycloneDX document of what the binary for this platform is built
//! from, with the C libraries inside crates.

#[path = "supply_chain_support/bundled.rs"]
mod bundled;
#[path = "supply_chain_support/sbom.rs"]
mod sbom;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn metadata(more: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(more)
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("metadata is JSON")
}

fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().map_or(&[], Vec::as_slice)
}

fn named(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("name"), text("version"))
}

/// The texts of a list in `.deny.toml`.
fn listed(key: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(ROOT).join(".deny.toml")).expect("it is there");
    let (_, rest) = text.split_once(&format!("\n{key} = [")).expect("the list is there");
    let (list, _) = rest.split_once(']').expect("it ends");
    let quoted = list.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// Whether a licence expression lets us choose allowed ones alone. Old crates write `/` for `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let answer = either(&mut words, allowed);
    assert_eq!(words.next(), None, "not a licence expression: {expression}");
    answer
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn either(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut answer = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        answer |= both(words, allowed);
    }
    answer
}

fn both(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut answer = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        answer &= one(words, allowed);
    }
    answer
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.next() else {
        return false;
    };
    if word == "(" {
        let answer = either(words, allowed);
        assert_eq!(words.next(), Some(")"), "a parenthesis is closed");
        return answer;
    }
    let mut name = word.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&name)
}

#[test]
fn licence_expressions_are_read() {
    let allowed = ["MIT", "Zlib", "A WITH B"].map(str::to_owned).into();

    for (expression, answer) in [
        ("MIT", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(GPL-3.0 OR Zlib) AND MIT", true),
        ("MIT OR GPL-3.0 AND GPL-2.0", true),
        ("A WITH B", true),
        ("A", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), answer, "{expression}");
    }
}

#[test]
fn every_crate_has_a_licence_that_is_allowed() {
    let allowed = listed("allow");
    let metadata = metadata(&[]);
    let wrong: Vec<String> = packages(&metadata)
        .iter()
        .filter(|package| !is_allowed(package["license"].as_str().unwrap_or_default(), &allowed))
        .map(|package| format!("{}: {}", named(package), package["license"]))
        .collect();

    assert!(packages(&metadata).len() > 100, "all of Cargo.lock is looked at");
    assert!(wrong.is_empty(), "allow these in .deny.toml or do without: {wrong:#?}");
}

#[test]
fn every_crate_comes_from_the_registry_with_a_checksum() {
    let registries: BTreeSet<String> =
        listed("allow-registry").iter().map(|url| format!("registry+{url}")).collect();
    let lock = std::fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).expect("it is there");
    let mut looked_at = 0;
    for package in lock.split("\n[[package]]\n").skip(1) {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_matches('"').to_owned())
        };
        let name = value("name = ").expect("a name");
        if name == "driftline" {
            continue;
        }
        let source = value("source = ").unwrap_or_default();
        assert!(registries.contains(&source), "{name} comes from {source:?}");
        let checksum = value("checksum = ").unwrap_or_default();
        assert_eq!(checksum.len(), 64, "{name} has no checksum");
        looked_at += 1;
    }
    assert!(looked_at > 100, "all of Cargo.lock is looked at");
}

#[test]
fn crates_in_two_versions_are_printed() {
    let metadata = metadata(&[]);
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages(&metadata) {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        versions.entry(text("name")).or_default().push(text("version"));
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        println!("{name}: {}", versions.join(", "));
    }
    // Two copies of what holds state or speaks to the outside would be two of them at work.
    for single in
        ["rdkafka-sys", "tokio", "openssl-sys", "zstd", "zstd-sys", "reqwest", "apache-avro"]
    {
        assert_eq!(versions[single].len(), 1, "{single}: {:?}", versions[single]);
    }
}

#[test]
fn the_list_names_crates_and_the_c_libraries_inside_them() {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let list = sbom::of(&metadata(&["--filter-platform", &platform]));
    if let Some(path) = std::env::var_os("DRIFTLINE_SBOM") {
        let text = serde_json::to_string_pretty(&list).expect("JSON");
        std::fs::write(path, text + "\n").expect("the list is written");
    }

    assert_eq!((&list["bomFormat"], &list["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(list["metadata"]["component"]["name"], "driftline");
    let components = list["components"].as_array().expect("components");
    let mut references = BTreeSet::new();
    for component in components {
        for key in ["type", "name", "version", "purl", "bom-ref"] {
            assert!(component[key].as_str().is_some_and(|text| !text.is_empty()), "{component}");
        }
        let reference = component["bom-ref"].as_str().unwrap_or_default();
        assert!(references.insert(reference.to_owned()), "{reference} is listed twice");
        assert!(component["licenses"].as_array().is_some_and(|one| !one.is_empty()), "{component}");
    }
    let root = list["metadata"]["component"]["bom-ref"].as_str().expect("a reference").to_owned();
    references.insert(root);
    for edge in list["dependencies"].as_array().expect("dependencies") {
        let to = edge["dependsOn"].as_array().into_iter().flatten();
        for reference in to.chain([&edge["ref"]]) {
            let reference = reference.as_str().unwrap_or_default();
            assert!(references.contains(reference), "{reference} is not listed");
        }
    }
    let version_of = |name: &str| {
        let found = components.iter().find(|component| component["name"] == name);
        found.map(|component| component["version"].as_str().unwrap_or_default().to_owned())
    };
    for library in ["librdkafka", "zstd", "lz4", "cJSON", "zlib", "OpenSSL", "snappy"] {
        let version = version_of(library).unwrap_or_default();
        assert!(!version.is_empty(), "{library} is not listed");
    }
    assert_eq!(version_of("librdkafka"), version_of("rdkafka-sys").map(behind_plus));
    assert_eq!(version_of("proptest"), None, "what only tests use is not in the binary");
}

/// Crates that bundle a C library name its version behind their own.
fn behind_plus(version: String) -> String {
    version.split_once('+').map(|(_, library)| library.to_owned()).unwrap_or_default()
}
