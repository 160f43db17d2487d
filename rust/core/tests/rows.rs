//! Taking rows of a matrix, of one that was checked and of one that nobody has looked at.

#![allow(clippy::unwrap_used, missing_docs)]

use ferrec_core::{Csr, Error};

/// Rows of 0 to 99 entries, some long ones among them.
fn matrix(n_rows: usize) -> (Vec<i64>, Vec<i32>, Vec<f32>) {
    let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
    for row in 0..n_rows {
        let len = if row % 1000 == 7 { 90_000 } else { row * 7919 % 100 };
        indices.extend((0..len as i32).map(|c| c * 2));
        values.extend((0..len).map(|at| (row + at) as f32));
        indptr.push(indices.len() as i64);
    }
    (indptr, indices, values)
}

fn taken(csr: &Csr) -> Vec<(Vec<i32>, Vec<f32>)> {
    (0..csr.n_rows()).map(|row| csr.row(row)).map(|(c, v)| (c.to_vec(), v.to_vec())).collect()
}

#[test]
fn both_ways_take_what_is_there() {
    let (indptr, indices, values) = matrix(3000);
    let n_cols = 200_000;
    let csr =
        Csr::new("x", indptr.clone().into(), indices.clone().into(), values.clone().into(), n_cols).unwrap();
    let everything: Vec<i32> = (0..3000).collect();
    let some: Vec<i32> = (0..2000).map(|at| at * 7919 % 3000).collect();
    for rows in [&everything[..], &some, &[7, 7, 0], &[0], &[]] {
        let expected: Vec<_> =
            rows.iter().map(|&r| csr.row(r as usize)).map(|(c, v)| (c.to_vec(), v.to_vec())).collect();
        assert_eq!(taken(&csr.take_rows(rows).unwrap()), expected);
        let checked = Csr::checked_rows("x", (&indptr, &indices, &values), n_cols, rows).unwrap();
        assert_eq!(taken(&checked), expected);
        assert_eq!(checked.n_cols(), n_cols);
    }
}

#[test]
fn only_what_is_taken_is_checked() {
    let values = [1.0, f32::NAN, 3.0];
    let parts: (&[i64], &[i32], &[f32]) = (&[0, 1, 2, 3], &[0, 99, 1], &values);
    assert!(Csr::checked_rows("x", parts, 5, &[2, 0]).is_ok());
    let wrong = Csr::checked_rows("x", parts, 5, &[1]).err().unwrap();
    assert!(wrong.to_string().contains("got 99"), "{wrong}");
}

#[test]
fn wrong_offsets_are_errors() {
    let (indices, values) = ([0, 1, 2], [1.0, 2.0, 3.0]);
    let take = |indptr: &[i64], rows: &[i32]| {
        Csr::checked_rows("x", (indptr, &indices, &values), 5, rows).map(|csr| csr.nnz())
    };
    assert_eq!(take(&[0, 1, 3], &[1, 1, 0]), Ok(5));
    for (indptr, row) in [
        (&[0, 9][..], 0),
        (&[-1, 2], 0),
        (&[2, 1], 0),
        (&[i64::MIN, i64::MAX], 0),
        (&[0, 1], 1),
        (&[0, 1], -1),
        (&[], 0),
        (&[5], 0),
    ] {
        assert!(matches!(take(indptr, &[row]), Err(Error::Invalid(_))), "{indptr:?} {row}");
    }
    // Rows that overlap could ask for more memory than there is.
    let overlap = take(&[0, 3, 0, 3], &[0, 2]).unwrap_err();
    assert_eq!(overlap.to_string(), "x: rows must not overlap: there are 3 entries in all, got 6");
}
