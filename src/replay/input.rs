//! Bytes of a file or of standard input, decompressed, counted, and looked at for their format.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::{FileSpec, Format, ReplayError};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const AVRO: [u8; 4] = *b"Obj\x01";
/// Enough for the magic of any format and the first key of a JSON line.
const LOOK_BYTES: u64 = 64;

/// Decompressed bytes.
pub(super) type Input = Box<dyn BufRead + Send>;

/// How much has been read. *Units*: bytes of files as they lie on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Read so far.
    pub read: u64,
    /// Of how many; `None` when standard input is among them.
    pub total: Option<u64>,
}

/// An opened file.
pub(super) struct Opened {
    pub(super) input: Input,
    pub(super) format: Format,
    pub(super) read: Arc<AtomicU64>,
    pub(super) total: Option<u64>,
}

/// Opens a file and finds out what it holds.
pub(super) fn open(spec: &FileSpec) -> Result<Opened, ReplayError> {
    let failed = |error: io::Error| ReplayError::Open {
        name: spec.path.display().to_string(),
        reason: error.to_string(),
    };
    let (raw, total): (Box<dyn Read + Send>, _) = if spec.path.as_os_str() == "-" {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(&spec.path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        (Box::new(file), Some(length))
    };
    let read = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: raw, read: Arc::clone(&read) };
    let (look, input) = look_at(BufReader::with_capacity(1 << 18, counted)).map_err(failed)?;
    let input: Input = if look.starts_with(&GZIP) {
        Box::new(BufReader::with_capacity(1 << 18, MultiGzDecoder::new(input)))
    } else if look.starts_with(&ZSTD) {
        let decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(failed)?;
        Box::new(BufReader::with_capacity(1 << 18, decoder))
    } else {
        Box::new(input)
    };
    let (look, input) = look_at(input).map_err(failed)?;
    let format = match spec.format {
        Some(format) => format,
        None => sniffed(&look).map_err(|reason| failed(io::Error::other(reason)))?,
    };
    Ok(Opened { input: Box::new(input), format, read, total })
}

fn sniffed(look: &[u8]) -> Result<Format, &'static str> {
    if look.starts_with(&AVRO) {
        return Ok(Format::Avro);
    }
    if look.starts_with(b"PAR1") {
        return Err("Parquet is not read; convert it to Avro, JSON lines or CSV");
    }
    let text = look.strip_prefix(b"\xef\xbb\xbf").unwrap_or(look);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(Format::Json),
        Some(b'[') => Err("a JSON array; write one object a line, as `jq -c '.[]'` does"),
        _ => Ok(Format::Csv),
    }
}

type LookedAt<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// The first bytes, and the input with them still in front.
fn look_at<R: BufRead>(mut input: R) -> io::Result<(Vec<u8>, LookedAt<R>)> {
    let mut look = Vec::new();
    input.by_ref().take(LOOK_BYTES).read_to_end(&mut look)?;
    Ok((look.clone(), Cursor::new(look).chain(input)))
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
