//! One name for all executions of a statement: values, lists, case, comments and white space do not count.
//!
//! A lexer reads the text once and hands tokens to a writer that folds lists; the writer feeds either a hash or a
//! string, so the fingerprint of a text costs no allocation and always equals the hash of its normal form.
//!
//! Values are strings (also `E''`, `$tag$…$tag$`), numbers, placeholders (`?`, `?1`, `$1`, `:name`, `@name`) and TRUE,
//! FALSE, NULL except behind IS and NOT. Comments nest, as in PostgreSQL. Quoted names keep their case; what stands in double quotes is a
//! name, though SQLite takes one that it does not know for a text: write texts in single quotes.

use std::fmt;

/// The 64-bit identity of a statement: FNV-1a over its normal form. Stable between releases and machines.
///
/// ```
/// use offgridflow_query::Fingerprint;
/// let one = Fingerprint::of("SELECT * FROM t WHERE id = 7 AND kind IN ('a', 'b')");
/// let two = Fingerprint::of("select * from t\n where id=$1 and kind in ($2) -- hot path");
/// assert_eq!(one, two);
/// assert_ne!(one, Fingerprint::of("SELECT * FROM u WHERE id = 7"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of a text. One pass, no allocation, about a nanosecond a byte.
    #[must_use]
    pub fn of(sql: &str) -> Self {
        let mut hash = Fnv::default();
        scan(sql.as_bytes(), &mut hash);
        Self(hash.0)
    }

    /// The number behind it.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Fingerprint {
    /// As sixteen hexadecimal digits: JSON numbers do not hold 64 bits.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The statement without its values: what is safe to show and log.
///
/// ```
/// use offgridflow_query::normalize;
/// assert_eq!(normalize("INSERT INTO t (a,b) VALUES (1,'x'), (2,NULL)"), "insert into t(a, b) values (?)");
/// ```
#[must_use]
pub fn normalize(sql: &str) -> String {
    let mut text = Text(Vec::with_capacity(sql.len()));
    scan(sql.as_bytes(), &mut text);
    // Bytes beyond ASCII are copied in whole runs, so this is UTF-8 already.
    String::from_utf8_lossy(&text.0).into_owned()
}

trait Sink {
    fn put(&mut self, byte: u8);
}

pub(super) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
impl Fnv {
    /// A text and its end.
    pub(super) fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.put(byte));
        self.put(0);
    }

    pub(super) fn value(&self) -> u64 {
        self.0
    }
}

impl Sink for Fnv {
    fn put(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

struct Text(Vec<u8>);

impl Sink for Text {
    fn put(&mut self, byte: u8) {
        self.0.push(byte);
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Token<'a> {
    Value,
    Open,
    Close,
    Comma,
    Word(&'a [u8]),   // folded to lower case when written
    Quoted(&'a [u8]), // with its quotes
    Sign(u8),
}

fn scan(sql: &[u8], sink: &mut impl Sink) {
    let mut lexer = Lexer { sql, at: 0, before: Before::Nothing };
    let mut writer = Writer { sink, held: [Token::Comma; HELD], len: 0, last: None, tuples: false };
    while let Some(token) = lexer.next() {
        writer.token(token);
    }
    writer.flush();
}

/// What stands before the next token, as far as it matters for signs and for NULL.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Operand, // a name, a value, a closing parenthesis: `-` is subtraction
    IsOrNot,
}

struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
    before: Before,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a> Lexer<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.sql.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let first = *self.sql.get(self.at)?;
        let token = match first {
            b'\'' => self.string(false),
            b'"' | b'`' => self.quoted(first),
            b'[' if self.is_bracketed_name() => self.quoted(b']'),
            b'$' => self.dollar(),
            b'?' | b':' | b'@' if self.is_placeholder(first) => self.placeholder(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() && self.before != Before::Operand => self.number(),
            b'+' | b'-' if self.is_sign_of_number() => {
                self.at += 1;
                self.skip_blank();
                self.number()
            }
            _ if is_word(first) => self.word(),
            _ => self.sign(first),
        };
        self.before = match token {
            Token::Value | Token::Close | Token::Quoted(_) => Before::Operand,
            Token::Word(word) if is_any(word, &["is", "not"]) => Before::IsOrNot,
            Token::Word(word) if is_any(word, &KEYWORDS) => Before::Nothing,
            Token::Word(_) => Before::Operand,
            Token::Open | Token::Comma | Token::Sign(_) => Before::Nothing,
        };
        Some(token)
    }

    fn skip_blank(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'-', b'-') => self.skip_until(|byte| matches!(byte, b'\n' | b'\r')), // as PostgreSQL
                (b'/', b'*') => self.skip_comment(),
                (byte, _) if byte.is_ascii_whitespace() || byte == 0x0b => self.at += 1,
                (0, _) if self.at < self.sql.len() => self.at += 1, // a NUL
                _ => return,
            }
        }
    }

    fn skip_until(&mut self, stop: impl Fn(u8) -> bool) {
        while self.at < self.sql.len() && !stop(self.sql[self.at]) {
            self.at += 1;
        }
    }

    /// Comments nest in PostgreSQL; one that would never end so ends as in SQLite, at its first end.
    fn skip_comment(&mut self) {
        let (start, mut depth) = (self.at, 0usize);
        while self.at < self.sql.len() {
            let step = match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    2
                }
                (b'*', b'/') => {
                    depth -= 1;
                    2
                }
                _ => 1,
            };
            self.at = (self.at + step).min(self.sql.len());
            if depth == 0 {
                return;
            }
        }
        let end = self.sql[start..].windows(2).position(|pair| pair == b"*/");
        self.at = end.map_or(self.sql.len(), |end| start + end + 2);
    }

    /// A string from its opening quote; a doubled quote stays inside.
    fn string(&mut self, backslash: bool) -> Token<'a> {
        self.at += 1;
        while self.at < self.sql.len() {
            match self.peek(0) {
                b'\\' if backslash => self.at += 2,
                b'\'' if self.peek(1) == b'\'' => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    return Token::Value;
                }
                _ => self.at += 1,
            }
        }
        self.at = self.sql.len();
        Token::Value
    }

    fn quoted(&mut self, quote: u8) -> Token<'a> {
        let start = self.at;
        self.at += 1;
        while self.at < self.sql.len() {
            if self.peek(0) != quote {
                self.at += 1;
            } else if self.peek(1) == quote {
                self.at += 2;
            } else {
                self.at += 1;
                break;
            }
        }
        Token::Quoted(&self.sql[start..self.at])
    }

    /// `[a name]` of SQLite, not `row[1]` or `ARRAY[a, b]` of PostgreSQL.
    fn is_bracketed_name(&self) -> bool {
        let before = self.at.checked_sub(1).map_or(b' ', |at| self.sql[at]);
        let subscript = is_word(before) || matches!(before, b']' | b')' | b'"');
        !subscript && is_word(self.peek(1)) && !self.peek(1).is_ascii_digit()
    }

    /// `$1`, or `$tag$ … $tag$`, or a lone dollar.
    fn dollar(&mut self) -> Token<'a> {
        let rest = &self.sql[self.at + 1..];
        let tag = rest.iter().position(|&byte| !is_word(byte)).unwrap_or(rest.len());
        if rest.first().is_some_and(u8::is_ascii_digit) {
            self.at += 1 + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            return Token::Value;
        }
        if rest.get(tag) != Some(&b'$') {
            return self.sign(b'$');
        }
        let fence = &self.sql[self.at..self.at + tag + 2];
        let body = self.at + fence.len();
        let end = self.sql[body..].windows(fence.len()).position(|window| window == fence);
        self.at = end.map_or(self.sql.len(), |end| body + end + fence.len());
        Token::Value
    }

    fn is_placeholder(&self, first: u8) -> bool {
        match first {
            b'?' => true,
            // `::type`, `:=`, `@>` and the like are operators.
            _ => {
                let after_colon = self.at > 0 && self.sql[self.at - 1] == b':';
                is_word(self.peek(1)) && !after_colon
            }
        }
    }

    fn placeholder(&mut self) -> Token<'a> {
        self.at += 1;
        self.skip_until(|byte| !is_word(byte));
        Token::Value
    }

    fn is_sign_of_number(&self) -> bool {
        if self.before == Before::Operand {
            return false;
        }
        let mut ahead = Lexer { sql: self.sql, at: self.at + 1, before: self.before };
        ahead.skip_blank();
        ahead.peek(0).is_ascii_digit()
    }

    fn number(&mut self) -> Token<'a> {
        while self.at < self.sql.len() {
            let byte = self.peek(0);
            let signed_exponent = matches!(byte, b'+' | b'-')
                && matches!(self.sql[self.at.saturating_sub(1)], b'e' | b'E')
                && self.peek(1).is_ascii_digit();
            if !(is_word(byte) || byte == b'.' || signed_exponent) {
                break;
            }
            self.at += 1;
        }
        Token::Value
    }

    fn word(&mut self) -> Token<'a> {
        let start = self.at;
        self.skip_until(|byte| !is_word(byte) && byte != b'$');
        let word = &self.sql[start..self.at];
        let is_prefix =
            self.peek(0) == b'\'' && matches!(word, [b'e' | b'E' | b'b' | b'B' | b'x' | b'X' | b'n' | b'N']);
        if is_prefix {
            return self.string(matches!(word, [b'e' | b'E']));
        }
        if self.before != Before::IsOrNot && is_any(word, &["null", "true", "false"]) {
            return Token::Value;
        }
        Token::Word(word)
    }

    fn sign(&mut self, byte: u8) -> Token<'a> {
        self.at += 1;
        match byte {
            b'(' => Token::Open,
            b')' => Token::Close,
            b',' => Token::Comma,
            other => Token::Sign(other),
        }
    }
}

/// Words behind which an operand begins, so that `-1` there is a number.
const KEYWORDS: [&str; 26] = [
    "select",
    "where",
    "and",
    "or",
    "in",
    "values",
    "between",
    "like",
    "limit",
    "offset",
    "set",
    "when",
    "then",
    "else",
    "case",
    "by",
    "having",
    "on",
    "return",
    "returning",
    "distinct",
    "all",
    "any",
    "from",
    "as",
    "using",
];

fn is_any(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
}

const HELD: usize = 8;

/// Behind VALUES, IN and ARRAY folds `?, ?` to `?` and `(?), (?)` to `(?)`, then writes tokens with canonical spaces.
struct Writer<'a, 's, S> {
    sink: &'s mut S,
    held: [Token<'a>; HELD], // values, parentheses and commas that may still fold; the first `len`
    len: usize,
    last: Option<Token<'a>>, // written last
    tuples: bool,            // the last word was VALUES, IN or ARRAY
}

impl<'a, S: Sink> Writer<'a, '_, S> {
    fn token(&mut self, token: Token<'a>) {
        if !matches!(token, Token::Value | Token::Open | Token::Close | Token::Comma) {
            self.flush();
            self.tuples = matches!(token, Token::Word(word) if is_any(word, &["values", "in", "array"]));
            self.write(token);
            return;
        }
        if self.len == HELD {
            self.write(self.held[0]);
            self.held.copy_within(1.., 0);
            self.len -= 1;
        }
        self.held[self.len] = token;
        self.len += 1;
        self.fold();
    }

    fn fold(&mut self) {
        use Token::{Close, Comma, Open, Value};
        let held = &self.held[..self.len];
        if !self.tuples {
            return;
        }
        if held.ends_with(&[Value, Comma, Value]) {
            self.len -= 2;
        } else if held.ends_with(&[Open, Value, Close, Comma, Open, Value, Close]) {
            self.len -= 4;
        }
    }

    fn flush(&mut self) {
        for at in 0..self.len {
            self.write(self.held[at]);
        }
        self.len = 0;
    }

    fn write(&mut self, token: Token<'a>) {
        if self.last.is_some_and(|last| spaced(last, token)) {
            self.sink.put(b' ');
        }
        match token {
            Token::Value => self.sink.put(b'?'),
            Token::Open => self.sink.put(b'('),
            Token::Close => self.sink.put(b')'),
            Token::Comma => self.sink.put(b','),
            Token::Sign(byte) => self.sink.put(byte),
            Token::Word(word) => word.iter().for_each(|byte| self.sink.put(byte.to_ascii_lowercase())),
            Token::Quoted(name) => name.iter().for_each(|&byte| self.sink.put(byte)),
        }
        self.last = Some(token);
    }
}

/// Whether a space stands between two tokens. Depends on nothing else, so equal tokens give equal text.
fn spaced(left: Token<'_>, right: Token<'_>) -> bool {
    use Token::{Close, Comma, Open, Quoted, Sign, Word};
    match (left, right) {
        (Open | Sign(b'.' | b':'), _) | (_, Close | Comma | Sign(b'.' | b':' | b';')) => false,
        (Sign(_), Sign(_)) => false,
        (Word(word), Open) => {
            is_any(word, &KEYWORDS) || is_any(word, &["not", "exists", "with", "join", "into"])
        }
        (Quoted(_), Open) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lists_case_comments_and_space_do_not_count() {
        let cases = [
            ("SELECT 1", "select ?"),
            ("select -1.5e-3 , 'it''s', E'a\\'b', $$x$$, $q$ $$ $q$", "select ?, ?, ?, ?, ?"),
            ("select a-1, -1", "select a - ?, ?"),
            ("/* a /* b */ */ Select -- c\n x", "select x"),
            ("select count ( * ) from t", "select count(*) from t"),
            ("select * from t where a in (1,2,3) and b = $12", "select * from t where a in (?) and b = ?"),
            ("insert into t values (1, 'a'), (2, null), (?, :name)", "insert into t values (?)"),
            ("select f(1), (2)", "select f(?), (?)"),
            ("select x is not null, y is null, null, true", "select x is not null, y is null, ?, ?"),
            ("select \"A\"\"b\".c::text", "select \"A\"\"b\".c::text"),
            ("update t set a = @v where b between 1 and -2", "update t set a = ? where b between ? and ?"),
            ("select 'open", "select ?"),
            ("select grüße from ÄÖ", "select grüße from ÄÖ"),
        ];
        for (sql, normal) in cases {
            assert_eq!(normalize(sql), normal, "{sql}");
        }
    }

    #[test]
    fn ids_are_those_of_the_first_release() {
        let goldens = [
            ("SELECT 1", 0x02fb_7a5a_1a5a_9a58_u64),
            ("SELECT * FROM activities WHERE tenant = $1 AND month IN ($2, $3)", 0xd45a_2303_b76c_5b01),
            ("INSERT INTO t (a, b) VALUES (1, 2), (3, 4)", 0xa228_4949_e1f5_24a2),
        ];
        for (sql, id) in goldens {
            assert_eq!(Fingerprint::of(sql).to_string(), format!("{id:016x}"), "{sql}");
        }
    }
}
