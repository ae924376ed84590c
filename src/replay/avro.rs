//! Avro object containers: header, blocks, and the bytes of each datum as they were written.
//!
//! apache-avro parses the schema; its own reader is not used, because it gives
//! values and hides the bytes, and encoding values again is neither cheap nor the same bytes.
//! *Source*: Avro 1.12 specification, "Object Container Files".

use std::io::{BufRead, Read};
use std::sync::Arc;

use apache_avro::Schema;

use super::Row;
use super::codec::Codec;
use super::input::Input;
use super::shape::{Walker, varint};

const MAGIC: [u8; 4] = *b"Obj\x01";
/// Largest block, as it lies in the file; writers make blocks of kilobytes to a few megabytes.
const BLOCK_BYTES_MAX: usize = 256 << 20;
/// Largest key or value of the header: the schema.
const HEADER_BYTES_MAX: usize = 16 << 20;

type Failed<T> = Result<T, String>;

pub(super) struct AvroRows {
    input: Input,
    codec: Codec,
    sync: [u8; 16],
    walker: Walker,
    time: Vec<String>,
    schema: Arc<str>,
    id: u32,
    block: Vec<u8>,
    at: usize,
    left: u64,
    number: u64,
    is_over: bool,
}

impl AvroRows {
    /// Reads the header; the error is about it. The local schema id is set later, by
    /// [`AvroRows::set_id`].
    pub(super) fn new(mut input: Input, time: Option<&str>) -> Failed<AvroRows> {
        let mut magic = [0; 4];
        input.read_exact(&mut magic).map_err(cut)?;
        if magic != MAGIC {
            return Err("it does not start like an Avro container".into());
        }
        let (mut schema, mut codec) = (None, Codec::named(b"null")?);
        loop {
            let count = read_varint(&mut input)?.ok_or("the file ends in the middle")?;
            if count == 0 {
                break;
            }
            if count < 0 {
                read_varint(&mut input)?;
            }
            for _ in 0..count.unsigned_abs() {
                let key = read_bytes(&mut input, HEADER_BYTES_MAX)?;
                let value = read_bytes(&mut input, HEADER_BYTES_MAX)?;
                match key.as_slice() {
                    b"avro.schema" => schema = Some(value),
                    b"avro.codec" => codec = Codec::named(&value)?,
                    _ => {}
                }
            }
        }
        let mut sync = [0; 16];
        input.read_exact(&mut sync).map_err(cut)?;
        let schema = schema.ok_or("it has no schema")?;
        let schema = String::from_utf8(schema).map_err(|_| "its schema is not UTF-8")?;
        let parsed =
            Schema::parse_str(&schema).map_err(|error| format!("its schema is wrong: {error}"))?;
        Ok(AvroRows {
            input,
            codec,
            sync,
            walker: Walker::new(&parsed),
            time: time.map(|path| path.split('.').map(str::to_owned).collect()).unwrap_or_default(),
            schema: schema.into(),
            id: 0,
            block: Vec::new(),
            at: 0,
            left: 0,
            number: 0,
            is_over: false,
        })
    }

    pub(super) fn schema(&self) -> &Arc<str> {
        &self.schema
    }

    pub(super) fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    pub(super) fn next(&mut self) -> Option<Result<Row, (String, String)>> {
        if self.is_over {
            return None;
        }
        match self.row() {
            Ok(Some(row)) => Some(Ok(row)),
            Ok(None) => {
                self.is_over = true;
                None
            }
            Err(reason) => {
                self.is_over = true;
                Some(Err((format!("block {}", self.number), reason)))
            }
        }
    }

    fn row(&mut self) -> Failed<Option<Row>> {
        while self.left == 0 {
            if self.at < self.block.len() {
                return Err(format!("{} bytes left over", self.block.len() - self.at));
            }
            if !self.read_block()? {
                return Ok(None);
            }
        }
        let path: Vec<&str> = self.time.iter().map(String::as_str).collect();
        let rest = &self.block[self.at..];
        let (length, time_ms) = self.walker.walk(rest, &path).ok_or_else(|| {
            format!("the {}. record from its end is not of the schema", self.left)
        })?;
        let mut payload = Vec::with_capacity(5 + length);
        payload.push(0);
        payload.extend_from_slice(&self.id.to_be_bytes());
        payload.extend_from_slice(&rest[..length]);
        self.at += length;
        self.left -= 1;
        Ok(Some(Row { payload, time_ms }))
    }

    /// Returns `false` at the end of the file.
    fn read_block(&mut self) -> Failed<bool> {
        self.number += 1;
        let Some(count) = read_varint(&mut self.input)? else { return Ok(false) };
        self.left = u64::try_from(count).map_err(|_| format!("{count} records"))?;
        let block = read_bytes(&mut self.input, BLOCK_BYTES_MAX)?;
        self.at = 0;
        let mut sync = [0; 16];
        self.input.read_exact(&mut sync).map_err(cut)?;
        if sync != self.sync {
            return Err("its end mark is wrong: the file is damaged".into());
        }
        self.block = self.codec.open(block)?;
        Ok(true)
    }
}

fn cut(error: std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the file ends in the middle".into(),
        _ => error.to_string(),
    }
}

/// `None` at the end of the file.
fn read_varint(input: &mut Input) -> Failed<Option<i64>> {
    let mut bytes = Vec::with_capacity(10);
    loop {
        let Some(byte) = input.fill_buf().map_err(cut)?.first().copied() else {
            return match bytes.is_empty() {
                true => Ok(None),
                false => Err("the file ends in the middle".into()),
            };
        };
        input.consume(1);
        bytes.push(byte);
        if byte & 0x80 == 0 {
            return varint(&bytes).map(|(value, _)| Some(value)).ok_or("a number is wrong".into());
        }
        if bytes.len() == 10 {
            return Err("a number is too long: the file is damaged".into());
        }
    }
}

fn read_bytes(input: &mut Input, max: usize) -> Failed<Vec<u8>> {
    let length = read_varint(input)?.ok_or("the file ends in the middle")?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= max)
        .ok_or_else(|| format!("a length of {length} bytes: the file is damaged"))?;
    let mut bytes = Vec::new();
    let read = input.by_ref().take(length as u64).read_to_end(&mut bytes).map_err(cut)?;
    match read == length {
        true => Ok(bytes),
        false => Err("the file ends in the middle".into()),
    }
}
