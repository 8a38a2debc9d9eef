//! Elements of a list that say the same as the one before: `(?, now()), (?, now())` behind VALUES, `$1::uuid, $2::uuid` behind IN and in ARRAY.

use crate::observe::lexer::{Lexer, Token, is_any};

/// Lists within lists that are told apart; elements of deeper ones are all written.
const DEEPEST: usize = 4;

/// One open list.
#[derive(Clone, Copy)]
struct List<'a> {
    depth: usize, // of the commas between its elements
    kind: Kind,
    element: Lexer<'a>, // at the beginning of the element that was written last
    lone: bool,         // it is known to be nothing but a value
}

/// The lists that are open where the text is read.
#[derive(Default)]
pub(super) struct Lists<'a> {
    depth: usize,
    open: [Option<List<'a>>; DEEPEST], // the first `len`
    len: usize,
    announced: Option<Kind>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Values, // each element is in parentheses, and anything else ends the list
    In,
    Array,
}

impl<'a> Lists<'a> {
    /// Looks at a token that `lexer` has just read. Where it is the comma before elements that repeat the one before them, they are
    /// skipped, and the comma is not to be written.
    #[inline]
    pub(super) fn repeats(&mut self, token: Token<'a>, lexer: &mut Lexer<'a>) -> bool {
        if self.len > 0 || self.announced.is_some() {
            return self.repeats_within(token, lexer);
        }
        if let Token::Word(word) = token {
            self.announce(word, lexer);
        }
        false
    }

    /// Depth is counted within lists only, and from one on, so that what is around the first has a lower one.
    fn announce(&mut self, word: &[u8], lexer: &Lexer<'a>) {
        if self.len == 0 {
            self.depth = 1;
        }
        match word.len() {
            2 if is_any(word, &["in"]) => self.announced = Some(Kind::In),
            5 if is_any(word, &["array"]) => self.announced = Some(Kind::Array),
            6 if is_any(word, &["values"]) => self.begin(Kind::Values, lexer),
            _ => {}
        }
    }

    #[inline(never)]
    fn repeats_within(&mut self, token: Token<'a>, lexer: &mut Lexer<'a>) -> bool {
        let announced = self.announced.take();
        match token {
            Token::Comma if self.is_between_elements() => return self.skip_same(lexer),
            Token::Open | Token::Sign(b'[') => {
                let within =
                    self.last().is_some_and(|list| list.kind == Kind::Array && list.depth == self.depth);
                self.depth += 1;
                match (announced, token) {
                    (Some(Kind::In), Token::Open) => self.begin(Kind::In, lexer),
                    (Some(Kind::Array), Token::Sign(_)) => self.begin(Kind::Array, lexer),
                    (_, Token::Sign(_)) if within => self.begin(Kind::Array, lexer), // one of more dimensions
                    _ => {}
                }
            }
            Token::Close | Token::Sign(b']') => {
                self.depth = self.depth.saturating_sub(1);
                let depth = self.depth;
                self.end(|list| list.depth > depth);
            }
            other => {
                let depth = self.depth;
                self.end(|list| list.kind == Kind::Values && list.depth == depth);
                if let Token::Word(word) = other {
                    self.announce(word, lexer);
                }
            }
        }
        false
    }

    fn is_between_elements(&self) -> bool {
        self.last().is_some_and(|list| list.depth == self.depth)
    }

    fn last(&self) -> Option<&List<'a>> {
        self.open[..self.len].last()?.as_ref()
    }

    fn begin(&mut self, kind: Kind, lexer: &Lexer<'a>) {
        if self.len < DEEPEST {
            self.open[self.len] = Some(List { depth: self.depth, kind, element: *lexer, lone: false });
            self.len += 1;
        }
    }

    fn end(&mut self, over: impl Fn(&List<'a>) -> bool) {
        while self.last().is_some_and(&over) {
            self.len -= 1;
        }
    }

    /// Behind a comma: puts `lexer` behind the elements that repeat the one written last. If the next one does not, it is the one to be
    /// written.
    fn skip_same(&mut self, lexer: &mut Lexer<'a>) -> bool {
        let Some(list) = self.open[..self.len].last_mut().and_then(Option::as_mut) else { return false };
        list.element.knows_comments_of(lexer);
        loop {
            let behind_comma = *lexer;
            match list.passes_same(lexer) {
                Passed::Element => return true,
                Passed::ElementAndComma => {}
                Passed::Other => {
                    *lexer = behind_comma;
                    (list.element, list.lone) = (behind_comma, false);
                    return false;
                }
            }
        }
    }
}

/// What a lexer has passed.
enum Passed {
    /// An element like the one written last; the lexer is at its end.
    Element,
    /// The same, and the comma behind it.
    ElementAndComma,
    /// Something else.
    Other,
}

impl<'a> List<'a> {
    /// Whether the element at `other` has the tokens of the one written last, which a comma ends. A tuple ends with its parenthesis,
    /// whatever follows.
    fn passes_same(&mut self, other: &mut Lexer<'a>) -> Passed {
        if self.lone {
            return match other.next_ahead() {
                Some(Token::Value) => passes_end(other),
                _ => Passed::Other,
            };
        }
        let (mut known, tuples) = (self.element, self.kind == Kind::Values);
        let (mut depth, mut is_first) = (0usize, true);
        loop {
            let end = *other;
            let (Some(one), two) = (known.next_ahead(), other.next_ahead()) else { return Passed::Other };
            match two {
                Some(Token::Comma | Token::Close | Token::Sign(b']')) | None if depth == 0 => {
                    if one != Token::Comma {
                        return Passed::Other;
                    }
                    *other = end;
                    return passes_end(other);
                }
                Some(Token::Open | Token::Sign(b'[')) => depth += 1,
                Some(Token::Close | Token::Sign(b']')) => depth -= 1,
                Some(_) if tuples && depth == 0 => return Passed::Other,
                _ => {}
            }
            if !two.is_some_and(|two| same(one, two)) {
                return Passed::Other;
            }
            if tuples && depth == 0 {
                return match passes_end(other) {
                    Passed::Other => Passed::Element,
                    passed => passed,
                };
            }
            if is_first && one == Token::Value && is_comma_next(known) {
                self.lone = true;
                return passes_end(other);
            }
            is_first = false;
        }
    }
}

fn is_comma_next(mut lexer: Lexer<'_>) -> bool {
    lexer.next_ahead() == Some(Token::Comma)
}

/// Whether an element ends here. The lexer stays where it does, or goes behind the comma.
fn passes_end(lexer: &mut Lexer<'_>) -> Passed {
    let end = *lexer;
    let passed = match lexer.next_ahead() {
        Some(Token::Comma) => return Passed::ElementAndComma,
        Some(Token::Close | Token::Sign(b']')) | None => Passed::Element,
        _ => Passed::Other,
    };
    *lexer = end;
    passed
}

fn same(one: Token<'_>, other: Token<'_>) -> bool {
    match (one, other) {
        (Token::Word(one), Token::Word(other)) => one.eq_ignore_ascii_case(other),
        (one, other) => one == other,
    }
}
