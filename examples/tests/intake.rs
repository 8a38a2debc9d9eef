//! A bad row costs only itself, and says where it is.
use offgridflow::intake::{self, Format, WideTable};
use proptest::prelude::*;

fn ids(intake: &intake::Intake) -> Vec<&str> {
    intake.drafts.iter().map(|draft| draft.id.as_deref().unwrap_or("")).collect()
}

#[test]
fn json_keeps_the_rows_before_a_fault_and_names_its_place() {
    let body = br#"[
  {"id": "a", "category": "diesel", "quantity": 12.50, "period": "2024-03"},
  {"id": "b", "category": "diesel", "quantity": "1e3", "period": 2024, "adjustment": true},
  {"id": "c", "category": "diesel", "quantity": }
]"#;
    let intake = intake::read(Format::Json, body);
    assert_eq!(ids(&intake), ["a", "b"]);
    assert_eq!(
        (intake.drafts[0].quantity.as_str(), intake.drafts[0].line),
        ("12.50", 2),
        "no float in between"
    );
    assert_eq!((intake.drafts[1].quantity.as_str(), intake.drafts[1].period.as_str()), ("1e3", "2024"));
    assert_eq!((intake.rejections[0].line, intake.rejections[0].column), (4, Some(49)));
}

#[test]
fn a_json_row_of_the_wrong_shape_costs_only_itself() {
    let body = b"[{\"id\":\"a\",\"category\":\"x\",\"quantity\":1,\"period\":\"2024\"},\n {\"id\":\"b\",\"catgory\":\"x\"},\n {\"id\":\"c\",\"category\":\"x\",\"quantity\":1,\"period\":\"2024\"}]";
    let intake = intake::read(Format::Json, body);
    assert_eq!(ids(&intake), ["a", "c"]);
    let rejection = &intake.rejections[0];
    assert!(rejection.reason.contains("unknown field `catgory`"), "{}", rejection.reason);
    assert_eq!((rejection.line, rejection.column), (2, Some(20)));
}

#[test]
fn ndjson_is_read_line_by_line() {
    let body = b"{\"id\":\"a\",\"category\":\"x\",\"quantity\":1,\"period\":\"2024\"}\n\nnot json\n\xff\xfe\n{\"id\":\"b\",\"category\":\"x\",\"quantity\":1,\"period\":\"2024\"}\r\n";
    let intake = intake::read(Format::Ndjson, body);
    assert_eq!(ids(&intake), ["a", "b"]);
    assert_eq!(intake.rejections.iter().map(|r| r.line).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn csv_rows_of_the_wrong_width_cost_only_themselves() {
    let body = b"id,category,quantity,period\na,x,1,2024\nb,x,1\n\"c\nd\",x,1,2024\ne,x,1,2024,9\nf,\xff,1,2024\ng,x,1,2024\n";
    let intake = intake::read(Format::Csv, body);
    assert_eq!(ids(&intake), ["a", "c\nd", "g"]);
    assert_eq!(intake.rejections.iter().map(|r| r.line).collect::<Vec<_>>(), [3, 6, 7]);
    assert!(intake.rejections[0].reason.contains("has 3 fields"), "{:?}", intake.rejections[0]);
}

#[test]
fn csv_lines_are_counted_as_an_editor_does() {
    let rows = ["category,quantity,period", "", "x,1", "x,1,2024", "", "x"];
    for end in ["\n", "\r\n"] {
        let intake = intake::read(Format::Csv, rows.join(end).as_bytes());
        assert_eq!(intake.rejections.iter().map(|r| r.line).collect::<Vec<_>>(), [3, 6], "{end:?}");
        assert_eq!(intake.drafts[0].line, 4);
    }
    let open = intake::read(Format::Csv, b"category,quantity,period\nx,\"1,2024\nx,2,2024\nx,3,2024\n");
    assert!(
        open.rejections[0].line == 2 && open.rejections[0].reason.contains("reaches to line 4"),
        "{:?}",
        open.rejections
    );
}

#[test]
fn a_csv_header_that_cannot_be_right_refuses_the_whole_file() {
    for (header, reason) in [
        ("id,category,quantity", "no column `period`"),
        ("category,quantity,period,colour", "unknown column `colour`"),
        ("category,category,quantity,period", "stands twice"),
        ("", "unknown column `a`"),
    ] {
        let intake = intake::read(Format::Csv, format!("{header}\na,b,c,d\n").as_bytes());
        assert!(
            intake.drafts.is_empty() && intake.rejections[0].reason.contains(reason),
            "{:?}",
            intake.rejections
        );
    }
}

#[test]
fn a_wide_table_gives_an_activity_for_each_cell_that_is_not_empty() {
    let table = WideTable::read(include_bytes!("data/wide.csv")).unwrap();
    assert_eq!(table.activities.len(), 27 + 4, "zeros are kept, empty cells are none");
    let negative: Vec<_> = table.activities.iter().filter(|(_, draft)| draft.adjustment).collect();
    assert_eq!((negative.len(), negative[0].1.quantity.as_str()), (1, "-4"));
    assert_eq!(negative[0].0, "SOUTHLAND, ISLES OF");
    let [mismatch] = table.mismatches.as_slice() else { panic!("{:?}", table.mismatches) };
    assert_eq!((mismatch.line, mismatch.stated, mismatch.summed), (6, 13, 12));
    assert!(table.rejections.is_empty());
}

/// Uses the public CDIAC table named by `OFFGRIDFLOW_DATA`, and says so when it is not there.
#[test]
fn the_published_table_is_read_whole() {
    let Some(folder) = std::env::var_os("OFFGRIDFLOW_DATA") else {
        println!("OFFGRIDFLOW_DATA is not set: the published table was not read");
        return;
    };
    let file = std::fs::read(std::path::Path::new(&folder).join("co2-by-nation.csv")).unwrap();
    let table = WideTable::read(&file).unwrap();
    let in_totals = table.activities.iter().filter(|(_, draft)| draft.category != "bunker-fuels");
    assert_eq!(in_totals.clone().count(), 62_767);
    let nations: std::collections::HashSet<_> = table.activities.iter().map(|(tenant, _)| tenant).collect();
    assert_eq!(nations.len(), 259);
    let sum: i64 = in_totals.map(|(_, draft)| draft.quantity.parse::<i64>().unwrap()).sum();
    assert_eq!(sum, 444_872_857);
    assert_eq!(table.activities.iter().filter(|(_, draft)| draft.adjustment).count(), 78);
    assert_eq!(table.mismatches.len(), 3_569);
    assert!(table.mismatches.iter().all(|row| (row.stated - row.summed).abs() <= 2));
    assert!(table.rejections.is_empty());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in [Format::Json, Format::Ndjson, Format::Csv] {
            let _ = intake::read(format, &body);
        }
        let _ = WideTable::read(&body);
    }

    /// Rows of a well-formed array are all read or all but the mutilated rest, whatever byte is broken.
    #[test]
    fn a_broken_byte_costs_no_row_that_stands_before_it(rows in 1_usize..20, broken in 0_usize..4_000, byte: u8) {
        let row = |n: usize| format!("{{\"id\":\"{n}\",\"category\":\"diesel\",\"quantity\":{n}.5,\"period\":\"2024\"}}");
        let rows: Vec<String> = (0..rows).map(row).collect();
        let mut body = format!("[{}]", rows.join(",\n")).into_bytes();
        let broken = broken % body.len();
        let whole_before = body[..broken].iter().filter(|byte| **byte == b'\n').count();
        body[broken] = byte;
        let intake = intake::read(Format::Json, &body);
        let last_whole = whole_before.saturating_sub(1);
        prop_assert!(intake.drafts.len() >= last_whole || broken == 0);
    }
}
