//! Every reason of the public vocabulary, with the code that a call fails with for it.

use std::fmt::Write as _;

use countersign::app::Reason;

use super::golden::assert_reviewed;

#[test]
fn every_reason_has_the_code_that_was_reviewed() {
    let mut table = String::new();
    for reason in Reason::ALL {
        writeln!(table, "{:<36}{:?}", reason.name(), reason.kind()).unwrap();
    }
    assert_reviewed("error_map.txt", &table);
}
