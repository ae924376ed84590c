//! Files of every kind, made here and read back.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use apache_avro::types::Value;
use apache_avro::{Codec, DeflateSettings, Schema, Writer};
use tempfile::TempDir;

use super::*;

const SCHEMA: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
  {"name":"id","type":"string"},
  {"name":"tags","type":{"type":"array","items":["null","string"]}},
  {"name":"more","type":{"type":"map","values":"double"}},
  {"name":"code","type":{"type":"fixed","name":"Code","size":3}},
  {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]}},
  {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
  {"name":"meta","type":{"type":"record","name":"Meta","fields":[
    {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
    {"name":"again","type":["null","Code"]}]}},
  {"name":"ok","type":"boolean"}]}"#;

fn spec(topic: &str, path: PathBuf, time: Option<&str>) -> FileSpec {
    FileSpec { topic: topic.into(), path, format: None, time: time.map(str::to_owned) }
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn order(at_ms: i64) -> Value {
    let union = |branch, value| Value::Union(branch, Box::new(value));
    Value::Record(vec![
        ("id".into(), Value::String(format!("order-{at_ms}"))),
        (
            "tags".into(),
            Value::Array(vec![union(0, Value::Null), union(1, Value::String("x".into()))]),
        ),
        ("more".into(), Value::Map([("a".to_owned(), Value::Double(1.5))].into())),
        ("code".into(), Value::Fixed(3, b"abc".to_vec())),
        ("kind".into(), Value::Enum(1, "B".into())),
        ("price".into(), Value::Decimal(b"\x01\x02".to_vec().into())),
        (
            "meta".into(),
            Value::Record(vec![
                ("at".into(), union(1, Value::TimestampMicros(at_ms * 1_000 + 7))),
                ("again".into(), union(1, Value::Fixed(3, b"xyz".to_vec()))),
            ]),
        ),
        ("ok".into(), Value::Boolean(true)),
    ])
}

fn container(codec: Codec, times: &[i64]) -> Vec<u8> {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let mut writer = Writer::with_codec(&schema, Vec::new(), codec).unwrap();
    for (i, time) in times.iter().enumerate() {
        writer.append_value(order(*time)).unwrap();
        if i % 2 == 1 {
            writer.flush().unwrap();
        }
    }
    writer.into_inner().unwrap()
}

/// The same compressed with zstandard, written by hand.
fn zstandard_container(times: &[i64]) -> Vec<u8> {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let sync = [7; 16];
    let mut bytes = b"Obj\x01".to_vec();
    put_length(&mut bytes, 2);
    for text in ["avro.codec", "zstandard", "avro.schema", SCHEMA] {
        put_length(&mut bytes, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
    put_length(&mut bytes, 0);
    bytes.extend_from_slice(&sync);
    for times in times.chunks(2) {
        #[expect(deprecated, reason = "the newer writer is no shorter here")]
        let datum = |time: &i64| apache_avro::to_avro_datum(&schema, order(*time)).unwrap();
        let datums: Vec<u8> = times.iter().flat_map(datum).collect();
        let block = zstd::encode_all(&datums[..], 1).unwrap();
        put_length(&mut bytes, times.len());
        put_length(&mut bytes, block.len());
        bytes.extend_from_slice(&block);
        bytes.extend_from_slice(&sync);
    }
    bytes
}

/// As Avro writes a long that is not negative.
fn put_length(bytes: &mut Vec<u8>, length: usize) {
    let mut left = length << 1;
    while left >= 0x80 {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

fn payloads(records: impl Iterator<Item = Result<OwnedRecord, ReplayError>>) -> Vec<String> {
    records
        .map(|record| match record {
            Ok(record) => String::from_utf8_lossy(&record.payload).into_owned(),
            Err(error) => error.to_string().rsplit('/').next().unwrap_or_default().to_owned(),
        })
        .collect()
}

#[test]
fn a_container_gives_framed_datums_and_its_schema_with_every_codec() {
    let folder = tempfile::tempdir().unwrap();
    let times = [5, 9, 7];
    let containers = [
        container(Codec::Null, &times),
        container(Codec::Deflate(DeflateSettings::default()), &times),
        container(Codec::Snappy, &times),
        zstandard_container(&times),
    ];
    let schema = Schema::parse_str(SCHEMA).unwrap();
    for container in containers {
        let path = write(&folder, "orders.avro", &container);

        let source = FileSource::open(&spec("orders", path, Some("meta.at"))).unwrap();
        let records: Vec<OwnedRecord> = source.map(Result::unwrap).collect();

        assert_eq!(records.len(), 3);
        for (i, (record, ms)) in records.iter().zip([5, 9, 7]).enumerate() {
            assert_eq!(record.offset, i as i64);
            assert_eq!(record.timestamp_ms, ms);
            assert_eq!(&record.payload[..5], [0, 0, 0, 0, 1]);
            #[expect(deprecated, reason = "the newer reader is no shorter here")]
            let value = apache_avro::from_avro_datum(&schema, &mut &record.payload[5..], None);
            assert_eq!(value.unwrap(), order(ms));
            let (id, text) = record.schema.as_ref().unwrap();
            assert_eq!(*id, 1);
            assert_eq!(Schema::parse_str(text).unwrap(), schema);
        }
    }
}

#[test]
fn a_recursive_schema_is_walked() {
    let text = r#"{"type":"record","name":"Node","fields":[
        {"name":"v","type":"int"},{"name":"next","type":["null","Node"]}]}"#;
    let schema = Schema::parse_str(text).unwrap();
    let leaf = Value::Record(vec![
        ("v".into(), Value::Int(7)),
        ("next".into(), Value::Union(0, Box::new(Value::Null))),
    ]);
    let node = Value::Record(vec![
        ("v".into(), Value::Int(300)),
        ("next".into(), Value::Union(1, Box::new(leaf.clone()))),
    ]);
    let mut writer = Writer::new(&schema, Vec::new()).unwrap();
    writer.append_value(node).unwrap();
    writer.append_value(leaf).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "n.avro", &writer.into_inner().unwrap());

    let source = FileSource::open(&spec("n", path, Some("next.v"))).unwrap();
    let times: Vec<i64> = source.map(|record| record.unwrap().timestamp_ms).collect();

    assert_eq!(times, [7, NO_TIMESTAMP]);
}

#[test]
fn a_damaged_container_names_its_block() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = container(Codec::Null, &[1, 2, 3, 4]);
    let cut = write(&folder, "cut.avro", &bytes[..bytes.len() - 20]);
    let mut flipped = bytes.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let flipped = write(&folder, "flipped.avro", &flipped);

    let told = |path| {
        let source = FileSource::open(&spec("o", path, None)).unwrap();
        source.filter_map(Result::err).map(|error| error.to_string()).collect::<Vec<_>>().join("|")
    };

    let cut = told(cut);
    assert!(cut.ends_with("cut.avro, block 2: the file ends in the middle"), "{cut}");
    let flipped = told(flipped);
    assert!(flipped.ends_with("block 2: its end mark is wrong: the file is damaged"), "{flipped}");
}

#[test]
fn lines_are_payloads_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "\u{feff}{\"t\": \"2024-01-01T00:00:00Z\"}\r\n\n{\"t\": 5, broken\n{\"a\":{\"t\":7}}";
    let path = write(&folder, "x.jsonl", text.as_bytes());

    let read = FileSource::open(&spec("x", path.clone(), None)).unwrap();
    assert_eq!(
        payloads(read),
        ["{\"t\": \"2024-01-01T00:00:00Z\"}", "{\"t\": 5, broken", "{\"a\":{\"t\":7}}"]
    );

    let read = FileSource::open(&spec("x", path.clone(), Some("t"))).unwrap();
    let times: Vec<i64> = read.map(|record| record.unwrap().timestamp_ms).collect();
    assert_eq!(times, [1_704_067_200_000, NO_TIMESTAMP, NO_TIMESTAMP]);

    let read = FileSource::open(&spec("x", path, Some("a.t"))).unwrap();
    assert_eq!(read.last().unwrap().unwrap().timestamp_ms, 7);
}

#[test]
fn rows_become_objects_and_a_ragged_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = "id;amount;when;\na;1.50;2024-01-01;\"x\"\"y\nz\"\nb;2\nc;;5;0\n";
    let path = write(&folder, "x.csv", text.as_bytes());

    let read = FileSource::open(&spec("x", path, Some("when"))).unwrap();

    assert_eq!(
        payloads(read),
        [
            r#"{"id":"a","amount":1.50,"when":"2024-01-01","column_4":"x\"y\nz"}"#,
            "x.csv, line 4: 2 cells, the header row has 4",
            r#"{"id":"c","amount":null,"when":5,"column_4":0}"#,
        ]
    );
}

#[test]
fn a_wrong_header_row_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let twice = write(&folder, "x.csv", b"a,b,a\n1,2,3\n");
    let error = FileSource::open(&spec("x", twice.clone(), None)).unwrap_err().to_string();
    assert!(error.ends_with("x.csv, line 1: two columns are named `a`"), "{error}");

    let path = write(&folder, "y.csv", b"a,b\n1,2\n");
    let error = FileSource::open(&spec("y", path, Some("t"))).unwrap_err().to_string();
    assert!(error.ends_with("y.csv, line 1: no column is named `t`, the time"), "{error}");
}

#[test]
fn compression_is_seen_in_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let text = b"{\"a\":1}\n{\"a\":2}\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text).unwrap();
    let gzip = write(&folder, "misnamed.txt", &gzip.finish().unwrap());
    let zstd = write(&folder, "x.zst", &zstd::encode_all(&text[..], 1).unwrap());
    let avro = zstd::encode_all(&container(Codec::Null, &[1])[..], 1).unwrap();
    let avro = write(&folder, "y.zst", &avro);

    for path in [gzip, zstd] {
        let mut source = FileSource::open(&spec("x", path.clone(), None)).unwrap();
        assert_eq!(payloads(&mut source), ["{\"a\":1}", "{\"a\":2}"]);
        let length = fs::metadata(path).unwrap().len();
        assert_eq!(source.progress(), Progress { read: length, total: Some(length) });
    }
    assert_eq!(FileSource::open(&spec("y", avro, None)).unwrap().count(), 1);
}

#[test]
fn what_is_not_read_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, expected) in [
        (&b"PAR1...."[..], "Parquet is not read; convert it to Avro, JSON lines or CSV"),
        (b" [1]", "a JSON array; write one object a line, as `jq -c '.[]'` does"),
    ] {
        let path = write(&folder, "x", bytes);
        let error = FileSource::open(&spec("x", path, None)).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let error = FileSource::open(&spec("x", "/no/such".into(), None)).unwrap_err().to_string();
    assert!(error.starts_with("cannot open /no/such: "), "{error}");
}

#[test]
fn files_are_merged_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let a = write(&folder, "a.jsonl", b"{\"t\":1}\n{\"t\":4}\n{\"t\":2}\n{\"t\":9}\n");
    let b = write(&folder, "b.csv", b"t\n2\n4\nx,\n5\n");
    let untimed = write(&folder, "c.jsonl", b"{\"c\":1}\n{\"c\":2}\n");
    let specs = [spec("x", a, Some("t")), spec("x", b, Some("t")), spec("c", untimed, None)];

    let replay = Replay::open(&specs).unwrap();

    assert_eq!(replay.topics(), [("c".into(), 1), ("x".into(), 2)].into());
    let told: Vec<String> = replay
        .map(|record| match record {
            Ok(record) => format!("{}-{} {}", record.topic, record.partition, record.timestamp_ms),
            Err(_) => "error".into(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "c-0 -1", "c-0 -1", "x-0 1", "x-1 2", "x-0 4", "x-0 2", "x-1 4", "error", "x-1 5",
            "x-0 9"
        ]
    );
}

#[test]
fn the_same_schema_has_the_same_local_id() {
    let folder = tempfile::tempdir().unwrap();
    let other = Schema::parse_str(r#"{"type":"record","name":"O","fields":[]}"#).unwrap();
    let mut writer = Writer::new(&other, Vec::new()).unwrap();
    writer.append_value(Value::Record(Vec::new())).unwrap();
    let other = write(&folder, "b.avro", &writer.into_inner().unwrap());
    let first = write(&folder, "a.avro", &container(Codec::Null, &[1]));
    let again = write(&folder, "c.avro", &container(Codec::Snappy, &[2]));

    let specs = [first, other, again].map(|path| spec("o", path, None));
    let ids: Vec<(u32, u8)> = Replay::open(&specs)
        .unwrap()
        .map(Result::unwrap)
        .map(|record| (record.schema.map_or(0, |(id, _)| id), record.payload[4]))
        .collect();

    assert_eq!(ids, [(1, 1), (2, 2), (1, 1)]);
}

proptest::proptest! {
    #[test]
    fn a_damaged_container_never_panics(at in 0_usize..2_000, byte: u8, end in 0_usize..2_000) {
        let mut bytes = container(Codec::Null, &[1, 2, 3, 4, 5]);
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - end % 200);
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder, "x.avro", &bytes);

        let mut specification = spec("x", path, Some("meta.at"));
        specification.format = Some(Format::Avro);
        if let Ok(source) = FileSource::open(&specification) {
            let _ = source.take(1_000).count();
        }
    }
}
