//! Looks for a secret in every form it could take.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// A planted value and its forms.
pub(crate) struct Secret {
    pub(crate) name: &'static str,
    plain: Vec<(&'static str, Vec<u8>)>,
    hashes: Vec<(&'static str, Vec<u8>)>,
}

impl Secret {
    /// A text.
    pub(crate) fn text(name: &'static str, text: &str) -> Secret {
        let bytes = text.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain = vec![
            ("text", bytes.to_vec()),
            ("list of bytes", list(bytes)),
            ("hexadecimal", hex.clone().into_bytes()),
            ("hexadecimal", hex.to_uppercase().into_bytes()),
            ("Base64", base64(bytes)),
        ];
        Secret { name, plain, hashes: hashes(bytes) }
    }

    /// A number, with as many digits that no other number in the data looks like it.
    pub(crate) fn number(name: &'static str, number: f64) -> Secret {
        let text = number.to_string();
        let plain = vec![
            ("text", text.clone().into_bytes()),
            ("binary", number.to_le_bytes().to_vec()),
            ("binary", number.to_be_bytes().to_vec()),
        ];
        Secret { name, plain, hashes: hashes(text.as_bytes()) }
    }

    /// The form in which the secret is in some bytes.
    pub(crate) fn form_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let forms = self.plain.iter().chain(&self.hashes);
        forms.into_iter().find(|(_, form)| contains(bytes, form)).map(|(name, _)| *name)
    }

    /// The form in which its unkeyed hash is in some bytes.
    pub(crate) fn hash_in(&self, bytes: &[u8]) -> Option<&'static str> {
        self.hashes.iter().find(|(_, form)| contains(bytes, form)).map(|(name, _)| *name)
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else {
        return false;
    };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(wanted) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// As `Debug` writes bytes.
fn list(bytes: &[u8]) -> Vec<u8> {
    let text = format!("{bytes:?}");
    text.trim_matches(['[', ']']).as_bytes().to_vec()
}

fn hashes(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (short, long) = (xxh3_64(bytes), xxh3_128(bytes));
    vec![
        ("hash", short.to_le_bytes().to_vec()),
        ("hash", short.to_be_bytes().to_vec()),
        ("hash", varint(u128::from(short))),
        ("hash", short.to_string().into_bytes()),
        ("hash", format!("{short:016x}").into_bytes()),
        ("hash", long.to_le_bytes().to_vec()),
        ("hash", varint(long)),
        ("hash", format!("{long:032x}").into_bytes()),
    ]
}

/// As internal messages write integers.
fn varint(mut number: u128) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Whole groups alone, so that what follows the secret does not matter.
    let groups = bytes.chunks_exact(3).flat_map(|group| {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift & 63) as usize])
    });
    groups.collect()
}
