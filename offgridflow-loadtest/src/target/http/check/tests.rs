use super::{super::connection::Answer, *};

fn answer(body: &str) -> Answer {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", "application/json; charset=utf-8".parse().expect("a value"));
    headers.insert("age", "12".parse().expect("a value"));
    let bytes = body.len().try_into().expect("small");
    Answer { status: 201, bytes, keep: true, headers, body: body.as_bytes().to_vec() }
}

fn said(check: &str, body: &str) -> Option<String> {
    let check = Check::parse(check).unwrap_or_else(|error| panic!("{error}"));
    first_unmet(&[check], &Reading::of(&answer(body))).map(|error| error.message.into_owned())
}

const BODY: &str = r#"{"items":[{"id":7,"name":"north"},{}],"ok":true,"none":null,"a.b":1,"len":"x"}"#;

#[test]
fn what_is_true_of_an_answer_is_met() {
    for check in [
        "status == 201",
        "status<300",
        "size > 10",
        "size >= 78",
        "header.content-type contains json",
        "header.Age == 12",
        "header.age <= 12",
        "header.age exists",
        "body contains \"north\"",
    ] {
        assert_eq!(said(check, BODY), None, "{check}");
    }
    #[cfg(feature = "serde")]
    for check in [
        "json.items[0].id == 7",
        "json.items[0].name == north",
        "json.items[0].name == 'north'",
        "json.items[0].name != south",
        "json.items[0].name contains \"ort\"",
        "json.items.len == 2",
        "json.items[0].name.len == 5",
        "json.len == x",
        "json.ok == true",
        "json.none == null",
        "json.none exists",
        "json.items exists",
    ] {
        assert_eq!(said(check, BODY), None, "{check}");
    }
    #[cfg(feature = "serde")]
    assert_eq!(said("json[1] == 2", "[1,2]"), None);
}

/// Identifiers are longer than a float is exact.
#[cfg(feature = "serde")]
#[test]
fn whole_numbers_are_compared_digit_by_digit() {
    let body = r#"{"id":9007199254740993,"half":0.5,"one":1.0}"#;
    for check in [
        "json.id == 9007199254740993",
        "json.id != 9007199254740992",
        "json.id > 9007199254740000",
        "json.half == 0.50",
        "json.one == 1",
    ] {
        assert_eq!(said(check, body), None, "{check}");
    }
    assert_eq!(said("json.id == 9007199254740992", body).as_deref(), Some("it was 9007199254740993"));
}

#[cfg(feature = "serde")]
#[test]
fn a_compressed_answer_is_called_that() {
    let mut answer = answer("");
    answer.body = b"\x1f\x8b\x08".to_vec();
    answer.bytes = 3;
    let check = Check::parse("json.id exists").expect("a check");
    let unmet = first_unmet(&[check], &Reading::of(&answer)).expect("unmet");
    assert!(unmet.message.contains("compressed (gzip)"), "{}", unmet.message);
}

#[test]
fn what_is_not_met_says_what_was_found_and_no_text_of_it() {
    for (check, found) in [
        ("status == 200", "it was 201"),
        ("size < 10", "it was 78"),
        ("header.x exists", "there is no such header"),
        ("header.age > 12", "it was another text, of 2 characters"),
        ("body == north", "it was another text, of 78 characters"),
    ] {
        assert_eq!(said(check, BODY).as_deref(), Some(found), "{check}");
    }
    #[cfg(feature = "serde")]
    for (check, found) in [
        ("json.items[0].id == 8", "it was 7"),
        ("json.items[0].id == '7'", "it was 7"),
        ("json.items[1].id exists", "there is no such field"),
        ("json.items[1].id != 3", "there is no such field"),
        ("json.items == 1", "it was a list or an object"),
        ("json.items[0].name == north-east", "it was another text, of 5 characters"),
        ("json.ok == 'true'", "it was true"),
        ("json.none == 0", "it was null"),
        ("json.ok.len > 0", "it has no length"),
    ] {
        assert_eq!(said(check, BODY).as_deref(), Some(found), "{check}");
    }
    #[cfg(feature = "serde")]
    assert_eq!(said("json.a == 1", "<html>").as_deref(), Some("the answer is not JSON"));
    let mut cut = answer(BODY);
    cut.bytes += 1;
    let unmet = first_unmet(&[Check::parse("body contains north").expect("a check")], &Reading::of(&cut));
    assert!(unmet.expect("not met").message.contains("longer than 1 MiB"));
}

#[test]
fn what_is_no_check_is_refused_with_a_hint() {
    for (check, hint) in [
        ("", "is not looked at: use status, size, body"),
        ("code == 1", "`code` is not looked at"),
        ("status", "write a comparison"),
        ("status = 200", "write a comparison"),
        ("status < fast", "`fast` is not a number"),
        ("status < nan", "`nan` is not a number"),
        ("status ==", "what to compare with is missing"),
        ("header.bad name exists", "write a comparison"),
        ("header.bä exists", "not a header's name"),
        ("body == \"a", "a quote is not closed"),
        ("jsonx == 1", "is not looked at"),
        #[cfg(feature = "serde")]
        ("json.items[a] == 1", "`a` is not an index"),
        #[cfg(feature = "serde")]
        ("json.items[0 == 1", "not closed"),
        #[cfg(feature = "serde")]
        ("json..a == 1", "a field's name is missing"),
        #[cfg(feature = "serde")]
        ("json[0]a == 1", "a point is missing before `a`"),
    ] {
        let error = Check::parse(check).expect_err(check);
        assert!(error.field == "check" && error.hint.contains(hint), "{check}: {error}");
    }
}
