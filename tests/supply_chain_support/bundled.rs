//! C libraries inside crates, which no list of crates shows. Versions are read from their sources.

use std::path::Path;

use serde_json::{Value, json};

const OF_THE_SYSTEM: &str = "of-the-system";

/// A library, and what its users know it by.
pub(crate) struct Library {
    name: &'static str,
    version: String,
    licence: &'static str,
    /// Owner and name of its repository.
    repository: &'static str,
}

impl Library {
    pub(crate) fn reference(&self) -> String {
        format!("pkg:github/{}@{}", self.repository, self.version)
    }

    pub(crate) fn component(&self) -> Value {
        json!({
            "type": "library",
            "bom-ref": self.reference(),
            "name": self.name,
            "version": self.version,
            "purl": self.reference(),
            "licenses": [{ "expression": self.licence }],
        })
    }
}

/// The libraries inside a package.
pub(crate) fn within(package: &Value) -> Vec<Library> {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
    let folder = manifest.parent().unwrap_or(manifest);
    let library =
        |name, version, licence, repository| Library { name, version, licence, repository };
    match package["name"].as_str().unwrap_or_default() {
        "rdkafka-sys" => {
            let sources = folder.join("librdkafka/src");
            let lz4 = ["LZ4_VERSION_MAJOR", "LZ4_VERSION_MINOR", "LZ4_VERSION_RELEASE"];
            let cjson = ["CJSON_VERSION_MAJOR", "CJSON_VERSION_MINOR", "CJSON_VERSION_PATCH"];
            vec![
                library(
                    "librdkafka",
                    librdkafka(&read(&sources.join("rdkafka.h"))),
                    "BSD-2-Clause",
                    "confluentinc/librdkafka",
                ),
                library("lz4", defined(&sources.join("lz4.h"), lz4), "BSD-2-Clause", "lz4/lz4"),
                library(
                    "cJSON",
                    defined(&sources.join("cJSON.h"), cjson),
                    "MIT",
                    "DaveGamble/cJSON",
                ),
                // It names no version: that of librdkafka which carries it says which one it is.
                library(
                    "snappy",
                    format!("in-librdkafka-{}", librdkafka(&read(&sources.join("rdkafka.h")))),
                    "BSD-3-Clause",
                    "andikleen/snappy-c",
                ),
            ]
        }
        "zstd-sys" => {
            let header = folder.join("zstd/lib/zstd.h");
            let names = ["ZSTD_VERSION_MAJOR", "ZSTD_VERSION_MINOR", "ZSTD_VERSION_RELEASE"];
            vec![library("zstd", defined(&header, names), "BSD-3-Clause", "facebook/zstd")]
        }
        // The system's own are linked, in whatever version it has where the binary runs.
        "libz-sys" => vec![library("zlib", OF_THE_SYSTEM.into(), "Zlib", "madler/zlib")],
        "openssl-sys" => {
            vec![library("OpenSSL", OF_THE_SYSTEM.into(), "Apache-2.0", "openssl/openssl")]
        }
        _ => Vec::new(),
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `0x020c01ff` is 2.12.1.
fn librdkafka(header: &str) -> String {
    let (_, number) = header.split_once("#define RD_KAFKA_VERSION 0x").expect("it has a version");
    let part = |at: usize| u32::from_str_radix(&number[at..at + 2], 16).expect("hexadecimal");
    format!("{}.{}.{}", part(0), part(2), part(4))
}

fn defined(header: &Path, names: [&str; 3]) -> String {
    let text = read(header);
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name));
        let word = line.and_then(|rest| rest.split_whitespace().next());
        word.unwrap_or_else(|| panic!("{} has no {name}", header.display())).to_owned()
    };
    names.map(value).join(".")
}
