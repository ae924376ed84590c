//! How the blocks of an Avro container are compressed.
//!
//! apache-avro opens them, but for zstandard: its own code for that is bound to zstd 0.13, of
//! which advisories are known. *Source*: Avro 1.12 specification, "Required Codecs".

use std::io::Read;

use apache_avro::DeflateSettings;

/// Largest block once it is open: a small one can claim to be any size.
const OPEN_BYTES_MAX: usize = 512 << 20;

/// A codec that is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Codec {
    /// One of apache-avro's, with its own limit.
    Avro(apache_avro::Codec),
    /// zstd frames.
    Zstandard,
}

impl Codec {
    /// The one that a header names.
    pub(super) fn named(name: &[u8]) -> Result<Codec, String> {
        match name {
            b"null" => Ok(Codec::Avro(apache_avro::Codec::Null)),
            b"deflate" => Ok(Codec::Avro(apache_avro::Codec::Deflate(DeflateSettings::default()))),
            b"snappy" => Ok(Codec::Avro(apache_avro::Codec::Snappy)),
            b"zstandard" => Ok(Codec::Zstandard),
            _ => Err(format!(
                "codec `{}` is not read; write it with null, deflate, snappy or zstandard",
                String::from_utf8_lossy(name)
            )),
        }
    }

    /// A block as it was before it was compressed.
    pub(super) fn open(self, mut block: Vec<u8>) -> Result<Vec<u8>, String> {
        match self {
            Codec::Avro(codec) => codec
                .decompress(&mut block)
                .map(|()| block)
                .map_err(|error| format!("cannot be decompressed: {error}")),
            Codec::Zstandard => unpacked(&block, OPEN_BYTES_MAX),
        }
    }
}

fn unpacked(block: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot be decompressed: {error}");
    let decoder = zstd::stream::read::Decoder::with_buffer(block).map_err(failed)?;
    let mut open = Vec::new();
    decoder.take(bytes_max as u64 + 1).read_to_end(&mut open).map_err(failed)?;
    match open.len() <= bytes_max {
        true => Ok(open),
        false => Err(format!("cannot be decompressed: it is larger than {bytes_max} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_opens_beyond_the_limit_is_refused() {
        let block = zstd::encode_all(&[7; 1000][..], 1).expect("compressed");

        assert_eq!(unpacked(&block, 1000), Ok(vec![7; 1000]));
        assert_eq!(
            unpacked(&block, 999),
            Err("cannot be decompressed: it is larger than 999 bytes".to_owned())
        );
        assert!(unpacked(&block[..8], 1000).is_err(), "cut");
    }
}
