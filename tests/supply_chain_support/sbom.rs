//! A CycloneDX document from `cargo metadata`: what a binary is built from, and what that needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::bundled;

/// The document for one platform's metadata. Tests and benches are left out.
pub(crate) fn of(metadata: &Value) -> Value {
    let by_id: BTreeMap<&str, &Value> = items(&metadata["packages"])
        .map(|package| (package["id"].as_str().unwrap_or_default(), package))
        .collect();
    let nodes: BTreeMap<&str, &Value> = items(&metadata["resolve"]["nodes"])
        .map(|node| (node["id"].as_str().unwrap_or_default(), node))
        .collect();
    let root = metadata["resolve"]["root"].as_str().expect("the metadata of one package");
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for id in reachable(root, &nodes) {
        let package = by_id[id];
        let mut needs: Vec<String> =
            needed(nodes[id]).into_iter().map(|id| reference(by_id[id])).collect();
        for library in bundled::within(package) {
            needs.push(library.reference());
            dependencies.push(json!({ "ref": library.reference(), "dependsOn": [] }));
            components.push(library.component());
        }
        dependencies.push(json!({ "ref": reference(package), "dependsOn": needs }));
        if id != root {
            components.push(component(package));
        }
    }
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(by_id[root]) },
        "components": components,
        "dependencies": dependencies,
    })
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Packages a node needs at run or build time.
fn needed(node: &Value) -> Vec<&str> {
    let needed = items(&node["deps"]).filter(|dependency| {
        items(&dependency["dep_kinds"]).any(|kind| kind["kind"].as_str() != Some("dev"))
    });
    needed.filter_map(|dependency| dependency["pkg"].as_str()).collect()
}

fn reachable<'m>(root: &'m str, nodes: &BTreeMap<&'m str, &'m Value>) -> BTreeSet<&'m str> {
    let mut found = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        for needed in needed(nodes[id]) {
            if found.insert(needed) {
                open.push(needed);
            }
        }
    }
    found
}

fn reference(package: &Value) -> String {
    // A version may hold `+`, which a package URL writes in hexadecimal.
    let version = package["version"].as_str().unwrap_or_default().replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", package["name"].as_str().unwrap_or_default())
}

fn component(package: &Value) -> Value {
    let is_ours = package["source"].is_null();
    // Old crates write `/` for `OR`.
    let licence = package["license"].as_str().unwrap_or_default();
    let licence = licence.replace(" / ", " OR ").replace('/', " OR ");
    json!({
        "type": if is_ours { "application" } else { "library" },
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
        "licenses": [{ "expression": licence }],
    })
}
