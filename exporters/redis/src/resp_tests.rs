//! What the reader takes and refuses, in pieces of every size, and the fuzzer's corpus.

use super::*;

/// All answers of a stream fed in pieces of `size`.
fn answers(stream: &[u8], size: usize) -> Result<Vec<Value>, Fault> {
    let (mut reader, mut found) = (Reader::default(), Vec::new());
    for piece in stream.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (taken, value) = reader.feed(rest)?;
            found.extend(value);
            rest = &rest[taken..];
        }
    }
    Ok(found)
}

fn text(t: &str) -> Value {
    Value::Text(t.into())
}

#[test]
fn every_type_in_pieces_of_every_size() {
    let stream =
        b"+OK\r\n-NOPERM no\r\n:-7\r\n$3\r\na\r\n\r\n$0\r\n\r\n$-1\r\n*-1\r\n*2\r\n:1\r\n*1\r\n+x\r\n_\r\n#t\r\n#f\r\n,1.5\r\n(123\r\n\
        =7\r\ntxt:abc\r\n%1\r\n+k\r\n:2\r\n~1\r\n+s\r\n*0\r\n!5\r\nERR x\r\n";
    let wanted = vec![
        text("OK"),
        Value::Error(b"NOPERM no".to_vec()),
        Value::Integer(-7),
        text("a\r\n"),
        text(""),
        Value::Nil,
        Value::Nil,
        Value::List(vec![Value::Integer(1), Value::List(vec![text("x")])]),
        Value::Nil,
        Value::Integer(1),
        Value::Integer(0),
        Value::Double(1.5),
        Value::Double(123.0),
        text("abc"),
        Value::List(vec![text("k"), Value::Integer(2)]),
        Value::List(vec![text("s")]),
        Value::List(vec![]),
        Value::Error(b"ERR x".to_vec()),
    ];
    for size in 1..=stream.len() {
        assert_eq!(answers(stream, size).as_ref(), Ok(&wanted), "pieces of {size}");
    }
}

#[test]
fn pushes_and_attributes_are_no_answers() {
    let stream = b">2\r\n+invalidate\r\n*1\r\n+k\r\n|1\r\n+ttl\r\n:3\r\n+OK\r\n";
    for size in [1, 5, stream.len()] {
        assert_eq!(answers(stream, size), Ok(vec![text("OK")]), "{size}");
    }
}

#[test]
fn hostile_lengths_are_refused_at_once_and_take_no_room() {
    for stream in ["*2000000000\r\n", "$2000000000\r\n", "%1000000000\r\n", "=2000000000\r\n", "*500001\r\n", "*9223372036854775807\r\n"] {
        assert!(matches!(answers(stream.as_bytes(), 64), Err(Fault::TooLarge(_))), "{stream:?}");
    }
    // Claims that are small one by one: lists of lists of lists.
    let many = b"*400000\r\n".iter().chain(b"*400000\r\n").copied().collect::<Vec<_>>();
    let mut reader = Reader::default();
    reader.feed(&many).unwrap();
    assert!(reader.stack.iter().all(|frame| frame.values.capacity() <= 64));
    assert!(matches!(answers(&b"*1\r\n".repeat(20), 64), Err(Fault::TooLarge("lists within lists"))));
    assert!(matches!(answers(&b"+a".repeat(MAX_LINE), 4096), Err(Fault::TooLarge("a line without end"))));
    let endless: Vec<u8> = b"*400000\r\n"
        .iter()
        .copied()
        .chain(b"$100\r\n".iter().copied().chain([b'x'; 100]).chain(*b"\r\n").cycle().take(MAX_BYTES))
        .collect();
    assert_eq!(answers(&endless, 8192), Err(Fault::TooLarge("too many bytes")));
}

#[test]
fn what_is_no_resp_is_refused() {
    for stream in [
        "HTTP/1.1 200 OK\r\n",
        "\r\n",
        "+OK\n",
        ":x\r\n",
        "$-2\r\n",
        "$x\r\n",
        "$1\r\nab\r\n",
        "$1\r\na\n",
        "#x\r\n",
        ",x\r\n",
        "*-2\r\n",
        "$?\r\n",
    ] {
        for size in [1, stream.len()] {
            assert!(matches!(answers(stream.as_bytes(), size), Err(Fault::Malformed(_))), "{stream:?} {size}");
        }
    }
}

#[test]
fn an_answer_ends_where_it_ends() {
    let mut reader = Reader::default();
    assert_eq!(reader.feed(b"+a\r\n+b\r\n"), Ok((4, Some(text("a")))));
    assert_eq!(reader.feed(b"+b\r"), Ok((3, None)));
    assert_eq!(reader.feed(b"\n"), Ok((1, Some(text("b")))));
}

#[test]
fn values_are_read_as_either_protocol_has_them() {
    let map = Value::List(vec![text("a"), text("1.5"), text("b"), Value::Integer(2), text("odd")]);
    assert_eq!(map.field("a").and_then(Value::number), Some(1.5));
    assert_eq!(map.field("b").and_then(Value::number), Some(2.0));
    assert_eq!(map.field("c"), None);
    assert_eq!(Value::Text(vec![b'a', 0xff]).text().unwrap(), "a\u{fffd}");
    assert_eq!((Value::Nil.text(), Value::Nil.number(), Value::Nil.list()), (None, None, &[] as &[Value]));
}

#[test]
fn a_request_is_an_array_of_strings() {
    let mut out = Vec::new();
    request(&mut out, &[b"GET", b"a\r\nb"]);
    assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
}

/// The fuzzer's corpus, in pieces: the same answers or the same refusal, whatever the pieces.
#[test]
fn the_corpus_reads_the_same_in_pieces() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/resp");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stream = std::fs::read(&path).unwrap();
        let whole = answers(&stream, stream.len().max(1));
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(answers(&stream, size).is_ok(), whole.is_ok(), "{} in pieces of {size}", path.display());
            if whole.is_ok() {
                assert_eq!(answers(&stream, size), whole, "{} in pieces of {size}", path.display());
            }
        }
        files += 1;
    }
    assert!(files >= 8, "{files} files");
}
