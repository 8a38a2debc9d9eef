//! SQL as tokens, as far as a statement's identity goes: comments and white space are gone, and a value is a value.

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Token<'a> {
    Value,
    Open,
    Close,
    Comma,
    Word(&'a [u8]),   // folded to lower case when written
    Quoted(&'a [u8]), // with its quotes
    Sign(u8),
}

/// What stands before the next token, as far as it matters for signs and for NULL.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Operand, // a name, a value, a closing parenthesis: `-` is subtraction
    IsOrNot,
}

/// How far a PRAGMA has come: what it is set to may be a key to the database, however it is quoted.
#[derive(Clone, Copy, PartialEq)]
enum Pragma {
    MayBegin,
    No,
    Name,
    Value,
}

/// Reads a text once, without allocating. A copy reads on from the same place.
#[derive(Clone, Copy)]
pub(super) struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
    before: Before,
    pragma: Pragma,
    nests: bool, // no comment so far would never end if comments nested
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a [u8]) -> Self {
        Self { sql, at: 0, before: Before::Nothing, pragma: Pragma::MayBegin, nests: true }
    }

    /// Takes over what a lexer of the same text learned of its comments further on.
    pub(super) fn knows_comments_of(&mut self, other: &Self) {
        self.nests &= other.nests;
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.sql.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The next token, for whoever runs ahead: apart from the loop that reads the text, which is fastest with a copy of its own.
    #[inline(never)]
    pub(super) fn next_ahead(&mut self) -> Option<Token<'a>> {
        self.next()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
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
            Token::Word(word) if is_keyword(word) => Before::Nothing,
            Token::Word(_) => Before::Operand,
            Token::Open | Token::Comma | Token::Sign(_) => Before::Nothing,
        };
        self.pragma = match (self.pragma, token) {
            (_, Token::Sign(b';')) => Pragma::MayBegin,
            (Pragma::MayBegin, Token::Word(word)) if is_any(word, &["pragma"]) => Pragma::Name,
            (Pragma::MayBegin, _) => Pragma::No,
            (Pragma::Name, Token::Open | Token::Sign(b'=')) => Pragma::Value,
            (pragma, _) => pragma,
        };
        match token {
            Token::Word(_) | Token::Quoted(_) if self.pragma == Pragma::Value => Some(Token::Value),
            token => Some(token),
        }
    }

    /// The next token as it is written.
    #[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
    pub(super) fn next_text(&mut self) -> Option<&'a [u8]> {
        self.skip_blank();
        let start = self.at;
        self.next_ahead().map(|_| &self.sql[start..self.at])
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

    /// Comments nest in PostgreSQL. Where one would never end so, the text is SQLite's, whose comments end at their first end: from there on all
    /// do, since looking for the end of each would take the square of the text's length.
    fn skip_comment(&mut self) {
        let (start, mut depth) = (self.at, 0usize);
        while self.nests && self.at < self.sql.len() {
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
        self.nests = false;
        let body = (start + 2).min(self.sql.len());
        let end = self.sql[body..].windows(2).position(|pair| pair == b"*/");
        self.at = end.map_or(self.sql.len(), |end| body + end + 2);
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

    /// A name in quotes. One that has no end is none, and may be a text that nobody should see.
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
                return Token::Quoted(&self.sql[start..self.at]);
            }
        }
        self.at = self.sql.len();
        Token::Value
    }

    /// `[a name]` of SQLite, not `row[1]`, `ARRAY[a, b]` or `ARRAY [a, 'b']` of PostgreSQL: what stands in it is one name's.
    fn is_bracketed_name(&self) -> bool {
        let before = self.at.checked_sub(1).map_or(b' ', |at| self.sql[at]);
        let subscript = is_word(before) || matches!(before, b']' | b')' | b'"');
        if subscript || !is_word(self.peek(1)) || self.peek(1).is_ascii_digit() {
            return false;
        }
        let rest = &self.sql[self.at + 1..];
        let inner = |byte: &u8| is_word(*byte) || matches!(byte, b' ' | b'-' | b'.');
        let end = rest.iter().position(|byte| !inner(byte)).unwrap_or(rest.len());
        let counts = rest[..end]
            .windows(2)
            .any(|pair| matches!(pair[0], b' ' | b'-' | b'.') && (pair[1].is_ascii_digit() || pair == b"- "));
        rest.get(end) == Some(&b']') && !counts
    }

    /// `$1`, SQLite's `$name`, or `$tag$ … $tag$`, or a lone dollar.
    fn dollar(&mut self) -> Token<'a> {
        let rest = &self.sql[self.at + 1..];
        let tag = rest.iter().position(|&byte| !is_word(byte)).unwrap_or(rest.len());
        if rest.first().is_some_and(u8::is_ascii_digit) {
            self.at += 1 + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            return Token::Value;
        }
        if rest.get(tag) != Some(&b'$') {
            return if tag == 0 { self.sign(b'$') } else { self.placeholder() };
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
            // `::type`, `:=`, `@>`, `a<@b`, `a@@b` and the like are operators.
            _ => {
                let before = self.at.checked_sub(1).map_or(b' ', |at| self.sql[at]);
                let ends_operator = before == b':' || first == b'@' && matches!(before, b'<' | b'@');
                is_word(self.peek(1)) && !ends_operator
            }
        }
    }

    fn placeholder(&mut self) -> Token<'a> {
        self.at += 1;
        self.skip_until(|byte| !is_word(byte));
        Token::Value
    }

    fn is_sign_of_number(&mut self) -> bool {
        if self.before == Before::Operand {
            return false;
        }
        let mut ahead = Lexer { at: self.at + 1, ..*self };
        ahead.skip_blank();
        self.nests = ahead.nests;
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

/// Whether an operand begins behind it, so that `-1` there is a number. By length, since every word of every text is asked about.
pub(super) fn is_keyword(word: &[u8]) -> bool {
    let same_length: &[&str] = match word.len() {
        2 => &["or", "in", "on", "by", "as"],
        3 => &["and", "set", "all", "any"],
        4 => &["from", "like", "when", "then", "else", "case"],
        5 => &["where", "limit", "using"],
        6 => &["select", "values", "offset", "having", "return"],
        7 => &["between"],
        8 => &["distinct"],
        9 => &["returning"],
        _ => &[],
    };
    is_any(word, same_length)
}

pub(super) fn is_any(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
}
