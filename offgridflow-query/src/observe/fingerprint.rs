//! One name for all executions of a statement: values, lists, case, comments and white space do not count.
//!
//! A lexer reads the text once and hands tokens to a writer that folds lists; the writer feeds either a hash or a
//! string, so the fingerprint of a text costs no allocation and always equals the hash of its normal form.
//!
//! Values are strings (also `E''`, `$tag$…$tag$`), numbers, placeholders (`?`, `?1`, `$1`, `:name`, `@name`, `$name`), TRUE,
//! FALSE, NULL except behind IS and NOT, and what a PRAGMA is set to. Comments nest, as in PostgreSQL. Quoted names keep their case; what stands in
//! double quotes is a name, though SQLite takes one that it does not know for a text: write texts in single quotes. A quote that has no end is a value.

use crate::observe::lexer::{Lexer, Token, is_any, is_keyword};
use crate::observe::lists::Lists;
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
    beginning(sql, usize::MAX)
}

/// The beginning of the normal form, `most` bytes and a little more at least where it is longer: reads and keeps no more of the text than that takes.
pub(super) fn beginning(sql: &str, most: usize) -> String {
    let mut text = Text { bytes: Vec::with_capacity(sql.len().min(most)), most };
    scan(sql.as_bytes(), &mut text);
    // Bytes beyond ASCII are copied in whole runs, so this is UTF-8 already, and a copy holds no more than it needs.
    String::from_utf8_lossy(&text.bytes).into_owned()
}

trait Sink {
    fn put(&mut self, byte: u8);

    /// Whether nobody needs what comes.
    fn is_full(&self) -> bool {
        false
    }
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

struct Text {
    bytes: Vec<u8>,
    most: usize,
}

impl Sink for Text {
    fn put(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn is_full(&self) -> bool {
        self.bytes.len() > self.most
    }
}

fn scan(sql: &[u8], sink: &mut impl Sink) {
    let (mut lexer, mut lists) = (Lexer::new(sql), Lists::default());
    let mut writer = Writer { sink, held: [Token::Comma; HELD], len: 0, last: None, tuples: false };
    while let Some(token) = lexer.next() {
        if lists.repeats(token, &mut lexer) {
            continue;
        }
        writer.token(token);
        if writer.sink.is_full() {
            return;
        }
    }
    writer.flush();
}

const HELD: usize = 8;

/// Behind VALUES and IN folds `?, ?` to `?` and `(?), (?)` to `(?)`, then writes tokens with canonical spaces.
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
            self.tuples = matches!(token, Token::Word(word) if is_any(word, &["values", "in"]));
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
        (Word(word), Open) => is_keyword(word) || is_any(word, &["not", "exists", "with", "join", "into"]),
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
            ("select $a, $b_c", "select ?, ?"),
            (
                "select a from t where b<@c and b@@c and d = @e",
                "select a from t where b <@ c and b @@ c and d = ?",
            ),
        ];
        for (sql, normal) in cases {
            assert_eq!(normalize(sql), normal, "{sql}");
        }
    }

    #[test]
    fn lists_of_any_length_are_one_statement() {
        let cases = [
            ("select a = any(array[1, 2, 3])", "select a = any (array [ ? ])"),
            ("select a in ($1::uuid, $2::UUID, $3::uuid)", "select a in (?::uuid)"),
            ("select a in (1, 2, b, 3, 4)", "select a in (?, b, ?)"),
            ("select a in (b + 1, b + 2, 3, 4, b + 1)", "select a in (b + ?, ?, b + ?)"),
            (
                "select a in (lower(?), lower(?)) and b in (select 1, 1)",
                "select a in (lower(?)) and b in (select ?, ?)",
            ),
            (
                "insert into t values (1, now()), (2, NOW()), (3, now()) on conflict do nothing",
                "insert into t values (?, now()) on conflict do nothing",
            ),
            ("insert into t values (default, $1), (default, $2)", "insert into t values (default, ?)"),
            (
                "insert into t values ($1, array[$2, $3]), ($4, array[$5, $6]) returning a, a",
                "insert into t values (?, array [ ? ]) returning a, a",
            ),
            ("values (1), (2) union select y, x, x", "values (?) union select y, x, x"),
            ("(values (a, 1), (a, 2)), b, b", "(values (a, ?)), b, b"),
            ("insert into t values (a), (b), (b), (a)", "insert into t values (a), (b), (a)"),
            (
                "select array[[1, 2], [3, 4]], array [b, 'c'], d[1], e[f]",
                "select array [[ ? ]], array [ b, ? ], d [ ? ], e [ f ]",
            ),
        ];
        for (sql, normal) in cases {
            assert_eq!(normalize(sql), normal, "{sql}");
        }
    }

    #[test]
    fn what_may_be_a_secret_does_not_show() {
        for sql in [
            "select \" from t where password = 'hunter2'",
            "select ` from t where password = 'hunter2'",
            "select a from t where b = [c and password = 'hunter2'",
            "select array [a, 'hunter2']",
            "select a [1], 'hunter2' ]",
            "PRAGMA key = \"x'hunter2'\"",
            "PRAGMA journal_mode = wal; pragma main.rekey = hunter2",
            "pragma key(\"hunter2\")",
        ] {
            assert!(!normalize(sql).contains("hunter2"), "{}", normalize(sql));
        }
        assert_eq!(normalize("select [a name], [b-c] from pragma"), "select [a name], [b-c] from pragma");
        assert_eq!(normalize("PRAGMA main.table_info(t)"), "pragma main.table_info(?)");
    }

    /// A quarter of a megabyte of what is worst for each part of the lexer is read in a time that grows with its length alone.
    #[test]
    fn no_text_takes_the_square_of_its_length() {
        let repeated = |piece: &str| piece.repeat((1 << 18) / piece.len());
        for piece in [
            "/*/**/",
            "a /*/**/, ",
            "-/*/*",
            "[a ",
            "$a",
            "\"",
            "in (a, ",
            "in (1, array[",
            "values ((",
            "(1, a), ",
            "- ",
            "$$ $",
            "' ",
        ] {
            for sql in [
                repeated(piece),
                format!("select a in ({}", repeated(piece)),
                format!("values {}", repeated(piece)),
            ] {
                let began = std::time::Instant::now();
                let _ = Fingerprint::of(&sql);
                assert!(
                    began.elapsed() < std::time::Duration::from_secs(5),
                    "{piece}: {:?}",
                    began.elapsed()
                );
            }
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
