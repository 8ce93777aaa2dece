use super::*;
use crate::json;
use proptest::prelude::*;

fn error(text: &str) -> String {
    Json::parse(text).expect_err(text).to_string()
}

/// Texts and positions observed with the reference's `ovsdb-client transact`.
#[test]
fn errors_read_as_the_references() {
    for (text, want) in [
        ("", "line 0, column 0, byte 0: empty input stream"),
        (" ", "line 0, column 1, byte 1: empty input stream"),
        ("[", "line 0, column 1, byte 1: unexpected end of input"),
        ("[1", "line 0, column 3, byte 3: unexpected end of input"),
        ("[1,", "line 0, column 3, byte 3: unexpected end of input"),
        ("[1,]", "line 0, column 3, byte 3: syntax error expecting value"),
        ("{\"a\"", "line 0, column 4, byte 4: unexpected end of input"),
        ("{\"a\":1", "line 0, column 7, byte 7: unexpected end of input"),
        ("{\"a\":1,}", "line 0, column 7, byte 7: syntax error parsing object expecting string"),
        ("{,}", "line 0, column 1, byte 1: syntax error parsing object expecting string"),
        ("{1:2}", "line 0, column 2, byte 2: syntax error parsing object expecting string"),
        ("]", "line 0, column 0, byte 0: syntax error at beginning of input"),
        ("nul", "line 0, column 3, byte 3: invalid keyword 'nul'"),
        ("null", "line 0, column 4, byte 4: syntax error at beginning of input"),
        ("TRUE", "line 0, column 0, byte 0: invalid character 'T'"),
        ("1", "line 0, column 1, byte 1: syntax error at beginning of input"),
        ("\"x\"", "line 0, column 2, byte 2: syntax error at beginning of input"),
        ("[01]", "line 0, column 3, byte 3: leading zeros not allowed"),
        ("[1.]", "line 0, column 3, byte 3: decimal point must be followed by digit"),
        ("[-]", "line 0, column 2, byte 2: '-' must be followed by digit"),
        ("[1e]", "line 0, column 3, byte 3: exponent must contain at least one digit"),
        ("[1e999]", "line 0, column 6, byte 6: number outside valid range"),
        ("[0e99999999999999999999]", "line 0, column 23, byte 23: exponent outside valid range"),
        ("[1-2]", "line 0, column 4, byte 4: syntax error in number"),
        ("[1E5x]", "line 0, column 5, byte 5: invalid keyword 'x'"),
        ("[\"\\x\"]", "line 0, column 4, byte 4: bad escape \\x"),
        ("[\"\\u12\"]", "line 0, column 6, byte 6: quoted string ends within \\u escape"),
        ("[\"\\u00zz\"]", "line 0, column 8, byte 8: malformed \\u escape"),
        ("[\"\\u0000\"]", "line 0, column 8, byte 8: null bytes not supported in quoted strings"),
        ("[\"\\ud800\"]", "line 0, column 8, byte 8: malformed escaped surrogate pair"),
        (
            "[\"\\ud800\\u0041\"]",
            "line 0, column 14, byte 14: second half of escaped surrogate pair is not trailing surrogate",
        ),
        ("[\"abc", "line 0, column 5, byte 5: unexpected end of input in quoted string"),
        ("[\"\\", "line 0, column 3, byte 3: unexpected end of input in quoted string"),
        ("[\"a\\\"]", "line 0, column 6, byte 6: unexpected end of input in quoted string"),
        ("[\"a\tb\"]", "line 0, column 3, byte 3: U+0009 must be escaped in quoted string"),
        ("[1] 2", "line 0, column 5, byte 5: trailing garbage at end of input"),
        ("[1]]", "line 0, column 3, byte 3: trailing garbage at end of input"),
        ("[1 2]", "line 0, column 4, byte 4: syntax error expecting ']' or ','"),
        ("[1}", "line 0, column 2, byte 2: syntax error expecting ']' or ','"),
        ("[@]", "line 0, column 1, byte 1: invalid character '@'"),
        ("[é]", "line 0, column 1, byte 1: invalid character U+00c3"),
        ("[\n1,\n@]", "line 2, column 0, byte 5: invalid character '@'"),
        ("{\"a\" 1}", "line 0, column 6, byte 6: syntax error parsing object expecting ':'"),
        ("{\"a\":1 \"b\"}", "line 0, column 9, byte 9: syntax error expecting '}' or ','"),
        ("{\"a\":1:2}", "line 0, column 6, byte 6: syntax error expecting '}' or ','"),
        ("[:]", "line 0, column 1, byte 1: syntax error expecting value"),
        ("[tr1]", "line 0, column 3, byte 3: invalid keyword 'tr'"),
    ] {
        assert_eq!(error(text), want, "for {text:?}");
    }
}

#[test]
fn refused_beyond_the_reference() {
    assert_eq!(
        error("[\"\\udc00\"]"),
        "line 0, column 8, byte 8: malformed escaped surrogate pair"
    );
    let e = Json::parse_bytes(b"[\"\xff\"]").unwrap_err();
    assert_eq!(e.to_string(), "line 0, column 3, byte 3: quoted string is not valid UTF-8");
    assert_eq!(
        error(&format!("[{}", "a".repeat(100_000))),
        "line 0, column 100001, byte 100001: invalid keyword"
    );
}

#[test]
fn numbers_narrow_and_print_as_the_reference_does() {
    let text = "[-0, 0.0,-0.0,1e5,1.5e1,0.1,0.30000000000000004,1e18,1e19,9223372036854775807,9223372036854775808,\
        -9223372036854775808,-9223372036854775809,123456789012345678901234567890,1e-5,1e-4,123456.789e3,1e300,1e15,1.5e15,1e16,\
        1e17,100000000000000000000,12345678901234567890.5,3.14159265358979312,1.0e-999]";
    let want = "[0,0,0,100000,15,0.1,0.3,1000000000000000000,1e+19,9223372036854775807,9.22337203685478e+18,\
        -9223372036854775808,-9.22337203685478e+18,1.23456789012346e+29,1e-05,0.0001,123456789,1e+300,1000000000000000,\
        1500000000000000,10000000000000000,100000000000000000,1e+20,1.23456789012346e+19,3.14159265358979,0]";
    assert_eq!(Json::parse(text).unwrap().to_string(), want);
    assert_eq!(Json::real(2.0), Json::Integer(2));
    assert_eq!(Json::real(f64::NAN), Json::Null);
}

#[test]
fn strings_print_as_the_reference_does() {
    let text = r#"["\u0001\u001f\b\f\n\r\t\"\\\/\u007f\u00e9é<>&'\u2028\ud83d\ude00"]"#;
    let want = "[\"\\u0001\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\u{7f}éé<>&'\u{2028}😀\"]";
    assert_eq!(Json::parse(text).unwrap().to_string(), want);
}

#[test]
fn members_are_sorted_and_the_last_duplicate_wins() {
    let value = Json::parse(r#"{"z":1,"a":2,"m":{"y":1,"b":[]},"a":3,"a":4}"#).unwrap();
    assert_eq!(value.to_string(), r#"{"a":4,"m":{"b":[],"y":1},"z":1}"#);
    assert_eq!(value.as_object().unwrap()["nothing"], Json::Null);
    let want = "{\n  \"a\": 4,\n  \"m\": {\n    \"b\": [],\n    \"y\": 1},\n  \"z\": 1}";
    assert_eq!(value.to_pretty(), want);
}

#[test]
fn depth_is_bounded_and_needs_no_stack() {
    let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(Json::parse(&nest(1000)).is_ok());
    assert_eq!(
        error(&nest(1001)),
        "line 0, column 1000, byte 1000: input exceeds maximum nesting depth 1000"
    );
    assert_eq!(
        error(&"{\"a\":".repeat(100_000)),
        "line 0, column 5000, byte 5000: input exceeds maximum nesting depth 1000"
    );
}

#[test]
fn a_stream_is_cut_into_documents() {
    let mut parser = Parser::new(100);
    let mut input = &b" {\"a\":1} [2]\n{\"b\""[..];
    assert_eq!(parser.feed(&mut input).unwrap(), Some(json!({"a": 1})));
    assert_eq!(parser.feed(&mut input).unwrap(), Some(json!([2])));
    assert!(parser.is_idle());
    assert_eq!(parser.feed(&mut input).unwrap(), None);
    assert!(!parser.is_idle());
    let mut input = &b":[]}"[..];
    assert_eq!(parser.feed(&mut input).unwrap(), Some(json!({"b": []})));
    assert!(input.is_empty());
    let error = parser.feed(&mut &[b'['; 101][..]).unwrap_err();
    assert_eq!(error.message, "document exceeds maximum size of 100 bytes");
}

#[test]
fn the_macro_builds_what_it_shows() {
    let (table, n) = ("Bridge", 7u16);
    let built = json!({"op": "x", "n": n, "null": null, "list": [1, null, [true], {"k": "v"}, n + 1], (table): {},});
    assert_eq!(
        built.to_string(),
        r#"{"Bridge":{},"list":[1,null,[true],{"k":"v"},8],"n":7,"null":null,"op":"x"}"#
    );
    assert_eq!(json!([]).to_string(), "[]");
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Integer),
        any::<i32>().prop_map(|n| Json::real(f64::from(n) / 8.0)),
        "[^\u{0}]{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec(("[^\u{0}]{0,6}", inner), 0..6).prop_map(Json::object),
        ]
    })
}

/// Feeds `text` in pieces cut at `cuts`.
fn parse_in_pieces(text: &[u8], cuts: &[usize]) -> Result<Json, ParseError> {
    let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    let mut parser = Parser::new(usize::MAX);
    for pair in cuts.windows(2) {
        if let Some(value) = parser.feed(&mut &text[pair[0]..pair[1]])? {
            return Ok(value);
        }
    }
    parser.finish().map(|()| Json::Null)
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(value in any_json()) {
        let document = Json::array([value]);
        prop_assert_eq!(&Json::parse(&document.to_string()).unwrap(), &document);
        prop_assert_eq!(&Json::parse(&document.to_pretty()).unwrap(), &document);
    }

    #[test]
    fn cutting_the_input_changes_nothing(value in any_json(), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        let text = Json::array([value]).to_pretty();
        prop_assert_eq!(parse_in_pieces(text.as_bytes(), &cuts), Json::parse(&text));
    }

    #[test]
    fn garbage_never_panics_however_it_is_cut(
        text in "[\\[\\]{}:,\"\\\\a-fnultrue0-9.eE+ \n\u{1}é-]{0,40}",
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let text = format!("[{text}");
        let pieces = parse_in_pieces(text.as_bytes(), &cuts);
        match Json::parse(&text) {
            Err(e) if e.message == "trailing garbage at end of input" || pieces.is_ok() => {}
            whole => prop_assert_eq!(pieces, whole),
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Json::parse_bytes(&bytes);
    }
}
