//! The incremental parser: bytes arrive in pieces, values come out.
//!
//! # Design
//! A lexer that can stop after any byte feeds a grammar with an explicit stack, so depth costs no call stack and every byte is
//! looked at once however it was cut into pieces. A token that lies whole in one piece is taken from there; only a token cut in
//! two passes through a buffer. Errors carry the position and text that Open vSwitch's parser gives for the same input, which
//! explains some odd positions: errors inside a string or number are noticed at its end.
//!
//! The reference accepts a lone trailing surrogate and bytes that are not UTF-8; both are refused here, for a Rust string (and
//! RFC 7047 §1.1) has no room for them.

use super::{Json, Object, number, quick, text};
use smol_str::SmolStr;
use std::fmt;

/// How deep arrays and objects may be nested.
pub const MAX_DEPTH: usize = 1000;

/// No keyword is longer than this; a longer one is refused at once instead of being collected.
const KEYWORD_MAX: usize = 64;

/// A value takes about so many bytes in memory besides its text: "0," is two bytes long, and a name and its value are two.
const VALUE_BYTES: usize = 32;

/// So many times a document's greatest length it may take in memory, but never less than is given to any.
const MEMORY_FACTOR: usize = 4;
const MEMORY_LEAST: usize = 64 << 20;

/// How large a buffer for a token, and for finished parts, is kept from one document to the next.
const BYTES_KEPT: usize = 64 << 10;
const PARTS_KEPT: usize = 1 << 10;

/// What was wrong and where: line from 0, column (in bytes) from 0, byte from 0, all from the start of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Newlines before the error.
    pub line: usize,
    /// Bytes since the last newline.
    pub column: usize,
    /// Bytes since the start of the document.
    pub byte: usize,
    /// What was wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}, byte {}: {}",
            self.line, self.column, self.byte, self.message
        )
    }
}

impl std::error::Error for ParseError {}

/// An open array or object: where its parts begin on the parser's stacks of finished parts.
enum Frame {
    Array { start: usize },
    Object { start: usize, name: Option<SmolStr> },
}

/// What the grammar waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    Document,
    /// Right after `[`: a value or `]`.
    FirstElement,
    /// After `,` in an array or `:` in an object.
    Value,
    /// After an element: `,` or `]`.
    ArrayNext,
    /// Right after `{`: a name or `}`.
    FirstName,
    /// After `,` in an object.
    Name,
    Colon,
    /// After a member: `,` or `}`.
    ObjectNext,
}

/// The token that the input was cut in, its bytes so far in `Parser::partial`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lex {
    Between,
    Keyword,
    Number,
    String { escapes: bool, after_backslash: bool },
}

enum Token {
    Punct(u8),
    Value(Json),
    String(SmolStr),
}

/// A document: as such, or as the members of an object that were asked for.
pub(crate) enum Fed<const N: usize> {
    Document(Json),
    /// In the order in which they were asked for.
    Members([Option<Json>; N]),
}

/// An incremental parser for a sequence of documents.
///
/// All open containers share two stacks of finished parts, so that a container costs one allocation, made when it is complete
/// and its size known.
pub struct Parser {
    open: Vec<Frame>,
    items: Vec<Json>,
    members: Vec<(SmolStr, Json)>,
    expect: Expect,
    lex: Lex,
    partial: Vec<u8>,
    /// Bytes of this document before the piece being fed.
    before: usize,
    /// Values and names of this document so far.
    values: usize,
    line: usize,
    line_start: usize,
    max_bytes: usize,
}

impl Parser {
    /// A parser that refuses documents longer than `max_bytes`.
    pub fn new(max_bytes: usize) -> Parser {
        Parser {
            open: Vec::new(),
            items: Vec::new(),
            members: Vec::new(),
            expect: Expect::Document,
            lex: Lex::Between,
            partial: Vec::new(),
            before: 0,
            values: 0,
            line: 0,
            line_start: 0,
            max_bytes,
        }
    }

    /// Consumes bytes from the front of `input` until a document is complete or the input is used up. The parser is then ready
    /// for the next document. After an error it must not be fed again.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Json>, ParseError> {
        match self.feed_members(input, [])? {
            Some(Fed::Document(document)) => Ok(Some(document)),
            // An object is not taken apart for nothing.
            Some(Fed::Members([])) | None => Ok(None),
        }
    }

    /// As [`Parser::feed`], but an object may come as its members instead: only one that has no others but `names`, which there
    /// must be. That is quicker than to make an object and take it apart again.
    pub(crate) fn feed_members<const N: usize>(
        &mut self,
        input: &mut &[u8],
        names: [&str; N],
    ) -> Result<Option<Fed<N>>, ParseError> {
        let piece = *input;
        if self.is_idle()
            && self.before == 0
            && let Some((fed, len)) =
                quick::document(piece, names, &mut self.items, &mut self.members)
        {
            *input = piece.get(len..).unwrap_or_default();
            self.start_over();
            return Ok(Some(fed));
        }
        Ok(self.feed_piece(input)?.map(Fed::Document))
    }

    fn feed_piece(&mut self, input: &mut &[u8]) -> Result<Option<Json>, ParseError> {
        let piece = *input;
        let mut pos = 0;
        while let Some(token) = self.next_token(piece, &mut pos)? {
            // `pos` stands at a string's or punctuation's last byte, but behind a keyword or number.
            let step = usize::from(!matches!(token, Token::Value(_)));
            if let Some(document) = self.accept(token, pos)? {
                *input = piece.get(pos + 1..).unwrap_or_default();
                self.start_over();
                return Ok(Some(document));
            }
            pos += step;
        }
        *input = &[];
        self.before += piece.len();
        if self.before > self.max_bytes {
            return Err(self.error_at(
                0,
                format!("document exceeds maximum size of {} bytes", self.max_bytes),
            ));
        }
        let max_memory = self.max_bytes.saturating_mul(MEMORY_FACTOR).max(MEMORY_LEAST);
        if self.held() > max_memory {
            return Err(
                self.error_at(0, format!("document takes more than {max_memory} bytes of memory"))
            );
        }
        Ok(None)
    }

    /// About how many bytes of memory the document takes that is not complete yet.
    pub fn held(&self) -> usize {
        self.values.saturating_mul(VALUE_BYTES).saturating_add(self.before)
    }

    /// Whether the parser is between documents, no byte of the next seen (white space does not count).
    pub fn is_idle(&self) -> bool {
        self.expect == Expect::Document && self.lex == Lex::Between
    }

    /// To be called at the end of the input: the error that an incomplete document is.
    pub fn finish(&mut self) -> Result<(), ParseError> {
        match self.lex {
            Lex::String { .. } => {
                return Err(self.error_at(0, "unexpected end of input in quoted string"));
            }
            Lex::Keyword | Lex::Number => {
                // The end of input ends the token as white space would.
                self.feed(&mut &b" "[..])?;
            }
            Lex::Between => {}
        }
        let what = if self.expect == Expect::Document {
            "empty input stream"
        } else {
            "unexpected end of input"
        };
        Err(self.error_at(0, what))
    }

    fn start_over(&mut self) {
        self.expect = Expect::Document;
        (self.before, self.values, self.line, self.line_start) = (0, 0, 0, 0);
        // A large document's buffers are given back.
        if self.partial.capacity() > BYTES_KEPT {
            self.partial = Vec::new();
        }
        if self.items.capacity().max(self.members.capacity()) > PARTS_KEPT {
            (self.items, self.members) = (Vec::new(), Vec::new());
        }
    }

    fn error_at(&self, pos: usize, message: impl Into<String>) -> ParseError {
        let byte = self.before + pos;
        ParseError {
            line: self.line,
            column: byte - self.line_start,
            byte,
            message: message.into(),
        }
    }

    // ---- lexer ----

    /// The next token, or `None` when the piece ends first. On return `pos` is at the byte that ended the token: for a string
    /// or punctuation its last byte, for a keyword or number the byte behind it.
    fn next_token(&mut self, piece: &[u8], pos: &mut usize) -> Result<Option<Token>, ParseError> {
        if self.lex == Lex::Between {
            let Some(first) = self.skip_space(piece, pos) else { return Ok(None) };
            match first {
                b'{' | b'}' | b'[' | b']' | b':' | b',' => return Ok(Some(Token::Punct(first))),
                b'"' => {
                    *pos += 1;
                    self.lex = Lex::String { escapes: false, after_backslash: false };
                }
                b'a'..=b'z' => self.lex = Lex::Keyword,
                b'-' | b'0'..=b'9' => self.lex = Lex::Number,
                b if b.is_ascii_graphic() => {
                    return Err(
                        self.error_at(*pos, format!("invalid character '{}'", char::from(b)))
                    );
                }
                b => return Err(self.error_at(*pos, format!("invalid character U+{b:04x}"))),
            }
        }
        match self.lex {
            Lex::Keyword => self.word(piece, pos, |b| b.is_ascii_lowercase(), Self::keyword),
            Lex::Number => {
                let part_of_number =
                    |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                self.word(piece, pos, part_of_number, |s| number::parse(s).map_err(str::to_owned))
            }
            Lex::String { .. } => self.string(piece, pos),
            Lex::Between => Ok(None),
        }
    }

    fn skip_space(&mut self, piece: &[u8], pos: &mut usize) -> Option<u8> {
        while let Some(&b) = piece.get(*pos) {
            match b {
                b'\n' => {
                    self.line += 1;
                    self.line_start = self.before + *pos + 1;
                }
                b' ' | b'\t' | b'\r' => {}
                _ => return Some(b),
            }
            *pos += 1;
        }
        None
    }

    /// A keyword or number: all bytes that can be part of one, up to the first that cannot.
    fn word(
        &mut self,
        piece: &[u8],
        pos: &mut usize,
        part_of_word: impl Fn(&u8) -> bool,
        parse: impl Fn(&str) -> Result<Json, String>,
    ) -> Result<Option<Token>, ParseError> {
        let rest = piece.get(*pos..).unwrap_or_default();
        let len = rest.iter().take_while(|b| part_of_word(b)).count();
        let (word, after) = rest.split_at(len);
        *pos += len;
        if after.is_empty() || !self.partial.is_empty() {
            self.partial.extend_from_slice(word);
        }
        if self.lex == Lex::Keyword && word.len().max(self.partial.len()) > KEYWORD_MAX {
            return Err(self.error_at(*pos, "invalid keyword"));
        }
        if after.is_empty() {
            return Ok(None);
        }
        let whole = if self.partial.is_empty() { word } else { &self.partial };
        // Only ASCII bytes are parts of words.
        let parsed = parse(std::str::from_utf8(whole).unwrap_or_default());
        self.partial.clear();
        self.lex = Lex::Between;
        parsed.map(|value| Some(Token::Value(value))).map_err(|e| self.error_at(*pos, e))
    }

    fn keyword(word: &str) -> Result<Json, String> {
        match word {
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            "null" => Ok(Json::Null),
            _ => Err(format!("invalid keyword '{word}'")),
        }
    }

    fn string(&mut self, piece: &[u8], pos: &mut usize) -> Result<Option<Token>, ParseError> {
        let Lex::String { mut escapes, mut after_backslash } = self.lex else { return Ok(None) };
        let start = *pos;
        let end = loop {
            let rest = piece.get(*pos..).unwrap_or_default();
            if after_backslash && let Some(b) = rest.first() {
                self.refuse_control(*b, *pos)?;
                *pos += 1;
                after_backslash = false;
                continue;
            }
            let plain = rest.iter().take_while(|b| !ENDS_PLAIN[usize::from(**b)]).count();
            *pos += plain;
            match rest.get(plain) {
                None => {
                    self.partial.extend_from_slice(piece.get(start..).unwrap_or_default());
                    self.lex = Lex::String { escapes, after_backslash };
                    return Ok(None);
                }
                Some(b'"') => break *pos,
                Some(b'\\') => {
                    (escapes, after_backslash) = (true, true);
                    *pos += 1;
                }
                Some(b) => self.refuse_control(*b, *pos)?,
            }
        };
        let body = piece.get(start..end).unwrap_or_default();
        let whole = if self.partial.is_empty() {
            body
        } else {
            self.partial.extend_from_slice(body);
            &self.partial
        };
        let result = std::str::from_utf8(whole)
            .map_err(|_| "quoted string is not valid UTF-8".to_owned())
            .and_then(|body| finish_string(body, escapes));
        self.partial.clear();
        self.lex = Lex::Between;
        let string = result.map_err(|e| self.error_at(end, e))?;
        Ok(Some(Token::String(string)))
    }

    fn refuse_control(&self, b: u8, pos: usize) -> Result<(), ParseError> {
        if b >= 0x20 {
            return Ok(());
        }
        Err(self.error_at(pos, format!("U+{b:04X} must be escaped in quoted string")))
    }

    // ---- grammar ----

    /// Takes a token that was found at `pos`; returns the document when this token completed it.
    fn accept(&mut self, token: Token, pos: usize) -> Result<Option<Json>, ParseError> {
        match (self.expect, token) {
            (Expect::Document, Token::Punct(b @ (b'[' | b'{'))) => self.open(b, pos),
            (Expect::Document, _) => Err(self.error_at(pos, "syntax error at beginning of input")),

            (Expect::FirstElement, Token::Punct(b']')) => Ok(self.close()),
            (Expect::FirstElement | Expect::Value, Token::Punct(b @ (b'[' | b'{'))) => {
                self.open(b, pos)
            }
            (Expect::FirstElement | Expect::Value, Token::Value(value)) => Ok(self.put(value)),
            (Expect::FirstElement | Expect::Value, Token::String(s)) => {
                Ok(self.put(Json::String(s)))
            }
            (Expect::FirstElement | Expect::Value, _) => {
                Err(self.error_at(pos, "syntax error expecting value"))
            }

            (Expect::ArrayNext, Token::Punct(b',')) => self.then(Expect::Value),
            (Expect::ArrayNext, Token::Punct(b']')) => Ok(self.close()),
            (Expect::ArrayNext, _) => Err(self.error_at(pos, "syntax error expecting ']' or ','")),

            (Expect::FirstName, Token::Punct(b'}')) => Ok(self.close()),
            (Expect::FirstName | Expect::Name, Token::String(s)) => {
                if let Some(Frame::Object { name, .. }) = self.open.last_mut() {
                    *name = Some(s);
                }
                self.values += 1;
                self.then(Expect::Colon)
            }
            (Expect::FirstName | Expect::Name, _) => {
                Err(self.error_at(pos, "syntax error parsing object expecting string"))
            }

            (Expect::Colon, Token::Punct(b':')) => self.then(Expect::Value),
            (Expect::Colon, _) => {
                Err(self.error_at(pos, "syntax error parsing object expecting ':'"))
            }

            (Expect::ObjectNext, Token::Punct(b',')) => self.then(Expect::Name),
            (Expect::ObjectNext, Token::Punct(b'}')) => Ok(self.close()),
            (Expect::ObjectNext, _) => Err(self.error_at(pos, "syntax error expecting '}' or ','")),
        }
    }

    fn then(&mut self, expect: Expect) -> Result<Option<Json>, ParseError> {
        self.expect = expect;
        Ok(None)
    }

    fn open(&mut self, bracket: u8, pos: usize) -> Result<Option<Json>, ParseError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(
                self.error_at(pos, format!("input exceeds maximum nesting depth {MAX_DEPTH}"))
            );
        }
        if bracket == b'[' {
            self.open.push(Frame::Array { start: self.items.len() });
            self.then(Expect::FirstElement)
        } else {
            self.open.push(Frame::Object { start: self.members.len(), name: None });
            self.then(Expect::FirstName)
        }
    }

    fn close(&mut self) -> Option<Json> {
        let value = match self.open.pop()? {
            Frame::Array { start } => Json::Array(self.items.drain(start..).collect()),
            Frame::Object { start, .. } => {
                Json::Object(Object::from_tail(&mut self.members, start))
            }
        };
        self.put(value)
    }

    /// Puts a finished value into the innermost open container; a value outside of all is the document.
    fn put(&mut self, value: Json) -> Option<Json> {
        self.values += 1;
        match self.open.last_mut() {
            None => return Some(value),
            Some(Frame::Array { .. }) => {
                self.items.push(value);
                self.expect = Expect::ArrayNext;
            }
            Some(Frame::Object { name, .. }) => {
                if let Some(name) = name.take() {
                    self.members.push((name, value));
                }
                self.expect = Expect::ObjectNext;
            }
        }
        None
    }
}

/// One whole document; anything but white space behind it is refused.
pub(super) fn parse_document(text: &[u8]) -> Result<Json, ParseError> {
    let mut parser = Parser::new(usize::MAX);
    let mut rest = text;
    let Some(document) = parser.feed(&mut rest)? else {
        parser.finish()?;
        return Err(parser.error_at(0, "unexpected end of input")); // finish() always errs here
    };
    // Positions go on from where the document ended.
    parser.locate(text, text.len() - rest.len());
    let mut pos = 0;
    loop {
        match parser.next_token(rest, &mut pos)? {
            Some(_) => return Err(parser.error_at(pos, "trailing garbage at end of input")),
            None if parser.lex == Lex::Between => return Ok(document),
            None if matches!(parser.lex, Lex::String { .. }) => {
                return Err(parser.error_at(pos, "unexpected end of input in quoted string"));
            }
            None => {
                parser.before += rest.len();
                (rest, pos) = (b" ", 0); // ends the keyword or number
            }
        }
    }
}

impl Parser {
    /// Sets the position to `byte` in `text`.
    fn locate(&mut self, text: &[u8], byte: usize) {
        let done = text.get(..byte).unwrap_or_default();
        self.before = byte;
        self.line = done.iter().filter(|b| **b == b'\n').count();
        self.line_start = done.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    }
}

/// Bytes that end a run of plain characters in a string: control characters, quote, backslash.
pub(super) static ENDS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 0x20 {
        table[b] = true;
        b += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

pub(super) fn finish_string(body: &str, escapes: bool) -> Result<SmolStr, String> {
    if escapes { text::unescape(body).map(Into::into) } else { Ok(body.into()) }
}
