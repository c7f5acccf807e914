//! Rows as views of images in memory, of images in their file, and of a table's numbers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chainrule_core::{FeatureKind, Features, Preprocessing};
use chainrule_data::digits::draw_both;
use chainrule_data::{Counts, RowBuffer, Rows};

/// Returns five rows of three columns, with the classes 0, 1, 2, 0, 1.
fn table() -> Rows {
    let values: Vec<f64> = (0..15).map(|i| f64::from(i) + 0.1).collect();
    Rows::of_values(3, &values, vec![0, 1, 2, 0, 1])
}

fn all(rows: &Rows) -> Vec<Vec<f64>> {
    let mut buffer = RowBuffer::default();
    (0..rows.len()).map(|row| rows.row(row, &mut buffer).unwrap().to_vec()).collect()
}

/// Returns the number in row i and column j of [`table`].
fn number(i: usize, j: usize) -> f64 {
    (3 * i + j) as f64 + 0.1
}

#[test]
fn selections_compose_in_any_order() {
    let rows = table();
    assert_eq!((rows.kind(), rows.len(), rows.n_features()), (FeatureKind::Numbers, 5, 3));
    let some = rows.select(&[4, 2, 0]);
    assert_eq!((some.labels(), some.stored_index(0)), (vec![1, 2, 0], 4));
    // Class 1 is left out, and class 2 comes first.
    let other = some.with_classes(&[Some(1), None, Some(0)]);
    assert_eq!((other.labels(), other.stored_index(0), other.stored_index(1)), (vec![0, 1], 2, 0));
    let columns = other.clone().with_columns(&[2, 0]);
    assert_eq!(all(&columns), [[number(2, 2), number(2, 0)], [number(0, 2), number(0, 0)]]);
    // Columns of selected columns, also of selected rows.
    let last = columns.with_columns(&[1]);
    assert_eq!((last.n_features(), all(&last.select(&[1]))), (1, vec![vec![number(0, 0)]]));
    assert_eq!(all(&last.with_classes(&[Some(0), Some(1)])), [[number(2, 0)], [number(0, 0)]]);
    assert_eq!(all(&other), [[number(2, 0), number(2, 1), number(2, 2)], [number(0, 0), number(0, 1), number(0, 2)]]);
    let named = other.with_labels(&[7, 3]);
    assert_eq!((named.labels(), named.select(&[1]).labels()), (vec![7, 3], vec![3]));
    assert_eq!(rows.labels(), [0, 1, 2, 0, 1], "what is stored stays");
    // Equal contents are not the same rows, and neither are the same rows with other columns.
    assert!(rows.are_same_as(&rows.clone()) && named.are_same_as(&named.clone()));
    for other in [&table(), &rows.select(&[0, 1, 2, 3, 4]), &rows.clone().with_columns(&[1]), &named] {
        assert!(!rows.are_same_as(other) && !other.are_same_as(&rows));
    }
}

#[test]
fn a_row_selected_twice_can_have_two_labels() {
    let twice = table().select(&[0, 0, 3]).with_labels(&[5, 9, 2]);
    assert_eq!(twice.labels(), [5, 9, 2]);
    assert_eq!(twice.select(&[2, 1]).labels(), [2, 9]);
    let mut positions = vec![None; 10];
    (positions[9], positions[2]) = (Some(0), Some(1));
    let with_known_classes = twice.with_classes(&positions);
    assert_eq!(
        (with_known_classes.labels(), all(&with_known_classes)),
        (vec![0, 1], vec![all(&table())[0].clone(), all(&table())[3].clone()])
    );
}

#[test]
fn a_chunk_has_the_selected_rows() {
    let [images, _] = draw_both(1, Counts { train: 40, validation: 1 });
    let pixels: Vec<u8> = (0..40).flat_map(|row| images.pixels(row)).copied().collect();
    let rows = Rows::from(images);
    let mut buffer = RowBuffer::default();
    for chosen in [vec![3, 4, 5], vec![5, 4, 9, 10, 2], vec![], (0..40).collect::<Vec<usize>>()] {
        let expected: Vec<u8> = chosen.iter().flat_map(|&row| &pixels[784 * row..][..784]).copied().collect();
        let chunk = rows.chunk(chosen.iter().copied(), &mut buffer).unwrap();
        assert!(chunk == Features::Bytes(&expected), "{chosen:?}");
        let part = rows.select(&chosen);
        assert!(part.chunk(0..part.len(), &mut buffer).unwrap() == Features::Bytes(&expected), "{chosen:?}");
    }
    let numbers = table();
    let expected = [all(&numbers)[4].clone(), all(&numbers)[1].clone()].concat();
    assert_eq!(numbers.chunk([4, 1].into_iter(), &mut buffer).unwrap(), Features::Numbers(&expected));
}

#[test]
fn shared_and_unique_rows_have_equal_features() {
    let preprocessing = Preprocessing::Standardized(table().moments().unwrap());
    let mut expected = Vec::new();
    for row in all(&table()) {
        expected.extend(row.iter().enumerate().map(|(j, &raw)| preprocessing.value(j, raw) as f32));
    }
    let alone = table();
    let looked_at = table();
    let shared = looked_at.clone();
    for rows in [alone, shared, looked_at.select(&[0, 1, 2, 3, 4])] {
        assert_eq!(rows.into_features(&preprocessing, |x| x as f32).unwrap(), expected);
    }
    assert_eq!(all(&looked_at), all(&table()));
    let [images, _] = draw_both(1, Counts { train: 70, validation: 1 });
    let rows = Rows::from(images);
    for preprocessing in [Preprocessing::Pixels, Preprocessing::Standardized(rows.moments().unwrap())] {
        let actual = rows.clone().into_features(&preprocessing, |x| x).unwrap();
        let expected: Vec<f64> = all(&rows)
            .iter()
            .flat_map(|row| row.iter().enumerate().map(|(j, &raw)| preprocessing.value(j, raw)).collect::<Vec<_>>())
            .collect();
        assert!(actual == expected);
    }
}

#[test]
fn a_selection_frees_the_other_images() {
    let [images, _] = draw_both(1, Counts { train: 40, validation: 1 });
    let rows = Rows::from(images);
    let selected = rows.select(&[7, 8, 30]);
    let kept = selected.clone().into_memory(u64::MAX).unwrap();
    assert_eq!((kept.labels(), kept.stored_index(2), selected.stored_index(2)), (selected.labels(), 2, 30));
    assert_eq!((kept.sha256().unwrap(), kept.bytes()), (selected.sha256().unwrap(), 3 * 784));
    assert_eq!(
        rows.clone().into_memory(0).unwrap().sha256().unwrap(),
        rows.sha256().unwrap(),
        "they are in memory already"
    );
}

#[test]
#[should_panic(expected = "row 3 of 3")]
fn a_row_past_the_end_is_refused() {
    Rows::of_values(1, &[1.0, 2.0, 3.0], vec![0; 3]).label(3);
}

/// Standardised numbers do not depend on the unit of the raw ones, nor on an offset that is exact.
#[test]
fn moments_follow_unit_and_offset() {
    let values: Vec<f64> = (0..400).map(|i| f64::from((i * 7919) % 1009) - 300.0).collect();
    let moments = |values: &[f64]| {
        let moments = Rows::of_values(1, values, vec![0; values.len()]).moments().unwrap();
        (moments.mean[0], moments.scale[0])
    };
    let (mean, scale) = moments(&values);
    let check = |unit: f64, offset: f64| {
        let numbers: Vec<f64> = values.iter().map(|value| value * unit + offset).collect();
        let (own_mean, own_scale) = moments(&numbers);
        let rounding = 1e-12 + f64::EPSILON * offset.abs() / (unit * scale);
        assert!((own_scale / unit / scale - 1.0).abs() < rounding, "unit {unit:e}, offset {offset:e}: {own_scale:e}");
        let difference = (own_mean - offset) / unit - mean;
        // The sum of n numbers has n roundings.
        let rounding = scale * 1e-12 + 400.0 * f64::EPSILON * offset.abs() / unit;
        assert!(difference.abs() < rounding, "unit {unit:e}, offset {offset:e}: {own_mean:e}");
    };
    // Squares underflow below 1e-154, and halfway before they lose digits.
    (-660..80).for_each(|power| check(2f64.powi(power), 0.0));
    // Whole numbers are exact up to 2^53. At the end, scikit-learn takes these for constant.
    (20..53).for_each(|power| check(1.0, 2f64.powi(power)));
    (0..12).for_each(|power| check(2f64.powi(-power), 2f64.powi(40)));
    // Numbers that are the same up to rounding, or that differ too little, are only centred.
    let third = |i: usize| [0.3, 0.1 + 0.2][i % 2];
    let tiny = |i: usize| [1e-205, 3e-205][i % 2];
    for flat in [third, tiny, |_| 0.1, |_| 1e-310, |_| -1e30] {
        let numbers: Vec<f64> = (0..50).map(flat).collect();
        let (mean, scale) = moments(&numbers);
        assert!(scale == 1.0 && (numbers[0] - mean).abs() <= 1e-15 * numbers[0].abs().max(1e-100), "{numbers:?}");
    }
}
