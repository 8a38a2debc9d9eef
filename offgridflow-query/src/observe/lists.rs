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
    lone: Option<bool>, // whether that is nothing but a value, once it was looked at
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
    /// Looks at a token that `lexer` has just read. Where it is the comma before elements that repeat the one before them, they are skipped, and the comma is not to be written.
    pub(super) fn repeats(&mut self, token: Token<'a>, lexer: &mut Lexer<'a>) -> bool {
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
                match other {
                    Token::Word(word) if is_any(word, &["values"]) => self.begin(Kind::Values, lexer),
                    Token::Word(word) if is_any(word, &["in"]) => self.announced = Some(Kind::In),
                    Token::Word(word) if is_any(word, &["array"]) => self.announced = Some(Kind::Array),
                    _ => {}
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
            self.open[self.len] = Some(List { depth: self.depth, kind, element: *lexer, lone: None });
            self.len += 1;
        }
    }

    fn end(&mut self, over: impl Fn(&List<'a>) -> bool) {
        while self.last().is_some_and(&over) {
            self.len -= 1;
        }
    }

    /// Behind a comma: puts `lexer` behind the elements that repeat the one written last. If the next one does not, it is the one to be written.
    fn skip_same(&mut self, lexer: &mut Lexer<'a>) -> bool {
        let Some(list) = self.open[..self.len].last_mut().and_then(Option::as_mut) else { return false };
        list.element.knows_comments_of(lexer);
        let lone = *list.lone.get_or_insert_with(|| {
            let mut element = list.element;
            element.next() == Some(Token::Value) && element.next() == Some(Token::Comma)
        });
        loop {
            let same = match list {
                _ if lone => behind_value(*lexer),
                List { element, kind, .. } => behind_same(*element, *lexer, *kind == Kind::Values),
            };
            let Some((end, comma)) = same else {
                (list.element, list.lone) = (*lexer, None);
                return false;
            };
            *lexer = end;
            match comma {
                Some(next) => *lexer = next,
                None => return true,
            }
        }
    }
}

/// The end of an element, and what is behind the comma that follows, if one does.
type Ended<'a> = (Lexer<'a>, Option<Lexer<'a>>);

fn behind_value(mut lexer: Lexer<'_>) -> Option<Ended<'_>> {
    (lexer.next() == Some(Token::Value)).then_some(())?;
    let end = lexer;
    match lexer.next() {
        Some(Token::Comma) => Some((end, Some(lexer))),
        Some(Token::Close | Token::Sign(b']')) | None => Some((end, None)),
        _ => None,
    }
}

/// If the element at `other` has the tokens of the one at `known`, which a comma ends. A tuple ends with its parenthesis, whatever follows.
fn behind_same<'a>(mut known: Lexer<'a>, mut other: Lexer<'a>, tuples: bool) -> Option<Ended<'a>> {
    let mut depth = 0usize;
    loop {
        let end = other;
        let (one, two) = (known.next()?, other.next());
        match two {
            Some(Token::Comma) if depth == 0 => return (one == Token::Comma).then_some((end, Some(other))),
            Some(Token::Close | Token::Sign(b']')) | None if depth == 0 => {
                return (one == Token::Comma).then_some((end, None));
            }
            Some(Token::Open | Token::Sign(b'[')) => depth += 1,
            Some(Token::Close | Token::Sign(b']')) => depth -= 1,
            Some(_) if tuples && depth == 0 => return None,
            _ => {}
        }
        if !same(one, two?) {
            return None;
        }
        if tuples && depth == 0 {
            let end = other;
            let goes_on = other.next() == Some(Token::Comma);
            return Some((end, goes_on.then_some(other)));
        }
    }
}

fn same(one: Token<'_>, other: Token<'_>) -> bool {
    match (one, other) {
        (Token::Word(one), Token::Word(other)) => one.eq_ignore_ascii_case(other),
        (one, other) => one == other,
    }
}
