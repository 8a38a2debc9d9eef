//! Why a row was not stored, in words for its tenant: what to do, and nothing of where the database is or what it is called.

use offgridflow_query::Why;

/// What a tenant is told. The cause is for the log.
pub(crate) fn words(why: &Why) -> &'static str {
    match why {
        Why::CommitUnknown(_) => {
            "the database did not say whether it stored this; with an id it can be sent again"
        }
        Why::Unavailable(_) => "the database does not answer; send it again",
        Why::Batch(_) => "the server cannot store this now; tell its administrator",
        Why::GroupRefused => "another row of the same request was refused",
        Why::Contended(_) => "somebody else's writes were in the way each time; send it again",
        Why::GroupConflict(_) => "the rows of this request cannot be stored together",
        Why::TooManyRejects => "too many rows were refused; the rest was not tried",
        Why::Closed => "the server ended before this was tried; send it again",
        _ => "not stored; send it again",
    }
}

#[cfg(test)]
mod tests {
    use offgridflow_query::{Cause, Class};

    use super::*;

    #[test]
    fn a_tenant_is_not_told_where_the_database_is() {
        let secret = "connection to 10.1.2.3:5432 refused";
        let cause = || Cause::new(Class::Connection, secret);
        for why in [
            Why::CommitUnknown(cause()),
            Why::Unavailable(cause()),
            Why::Batch(cause()),
            Why::Contended(cause()),
            Why::GroupConflict(cause()),
        ] {
            assert!(why.to_string().contains("10.1.2.3"), "what is left out was there: {why}");
            assert!(!words(&why).contains("10.1.2.3") && !words(&why).is_empty());
        }
    }
}
