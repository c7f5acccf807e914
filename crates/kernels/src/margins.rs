//! How far the parameters may move before the class of a row can change.

use crate::packed_rows::{PackedRows, Store};

/// What is known of the rows that a model classified before. With it,
/// [`FusedModel::n_correct_again`](crate::FusedModel::n_correct_again) computes only the logits of
/// rows whose class may have changed.
///
/// A row's logits Z are linear in the parameters. With the features x and a last 1, and the columns
/// `v_j` of W and b, the difference of two logits changes by at most
///
/// ```text
/// |x (v_j - v_l) - x (v'_j - v'_l)| <= ||x|| ||(v_j - v'_j) - (v_l - v'_l)||
/// ```
///
/// A row is classified correctly, or wrongly, while the logit of its class stays on the same side
/// of the highest other logit. Their distance is the row's margin. The path of a class is the sum
/// of the largest changes, over l, of each call. So a row is known while its margin exceeds its
/// norm times the path of its class since it was computed, plus the rounding errors of both
/// computations.
#[derive(Clone, Debug, Default)]
pub struct Margins {
    rows: Vec<Row>,
    /// W and b of the last call.
    parameters: Option<(Vec<f64>, Vec<f64>)>,
    /// The path of each class so far. `[k]`
    paths: Vec<f64>,
    n_correct: usize,
    /// The rows that the last call computed.
    stale: Vec<usize>,
    /// The largest norm of a row.
    max_norm: f64,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// The norm of its features and a last 1, rounded up.
    norm: f32,
    /// Its margin plus its norm times the path at that time, minus the rounding error of the
    /// margin, rounded down.
    limit: f32,
    is_correct: bool,
}

impl Margins {
    /// The number of rows whose logits the last call computed.
    pub fn n_computed(&self) -> usize {
        self.stale.len()
    }

    /// Moves to these parameters. Returns the rows whose class may have changed, or `None` if the
    /// norms of such rows are not computed.
    ///
    /// # Panics
    /// If there are other rows than before.
    pub(crate) fn advance(&mut self, rows: &PackedRows, weight: Vec<f64>, bias: Vec<f64>) -> Option<&[usize]> {
        let Store::Bytes(bytes) = &rows.store else { return None };
        if self.parameters.is_none() {
            self.rows = (0..rows.len())
                .map(|row| {
                    let norm = bytes.norm(row).hypot(1.0);
                    self.max_norm = self.max_norm.max(norm);
                    Row { norm: (norm as f32).next_up(), limit: f32::NEG_INFINITY, is_correct: false }
                })
                .collect();
            self.paths = vec![0.0; rows.n_labels()?.max(bias.len())];
        }
        assert_eq!(self.rows.len(), rows.len(), "rows of the margins");
        if let Some((old_weight, old_bias)) = &self.parameters {
            let changes = largest_changes([&weight, &bias], [old_weight, old_bias]);
            self.paths.iter_mut().zip(changes).for_each(|(path, change)| *path += change);
        }
        let error = self.rounding_error(bytes.offset_norm(), &weight, &bias);
        self.parameters = Some((weight, bias));
        // Each row is written, and the next overwrites a known one: a branch would be mispredicted
        // too often.
        self.stale.resize(self.rows.len(), 0);
        let mut n_stale = 0;
        for (i, (row, &label)) in self.rows.iter().zip(rows.labels()).enumerate() {
            // A comparison with NaN is false, and then the row is computed.
            let is_known = f64::from(row.limit) > f64::from(row.norm) * self.paths[label as usize] + error;
            self.stale[n_stale] = i;
            n_stale += usize::from(!is_known);
        }
        self.stale.truncate(n_stale);
        Some(&self.stale)
    }

    /// Sets the margins of the rows that [`advance`](Self::advance) returned. A margin is negative
    /// if the row is not classified correctly, and NaN or 0 if it is not known. Returns the number
    /// of all correctly classified rows.
    pub(crate) fn set(&mut self, rows: &PackedRows, margins: &[f32]) -> usize {
        let Store::Bytes(bytes) = &rows.store else { return self.n_correct };
        let (weight, bias) = self.parameters.as_ref().expect("set by `advance`");
        let error = self.rounding_error(bytes.offset_norm(), weight, bias);
        for (&i, &margin) in self.stale.iter().zip(margins) {
            let row = &mut self.rows[i];
            let limit = f64::from(margin.abs()) + f64::from(row.norm) * self.paths[rows.labels()[i] as usize] - error;
            row.limit = (limit as f32).next_down();
            self.n_correct -= usize::from(row.is_correct);
            row.is_correct = margin.is_sign_positive() && !margin.is_nan();
            self.n_correct += usize::from(row.is_correct);
        }
        self.n_correct
    }

    /// A bound on the rounding error of the difference of two computed logits, in f32: a sum of d
    /// products has at most two roundings for each. `a p` and c are added separately for a feature
    /// `a p + c`, so c counts by itself.
    fn rounding_error(&self, offset_norm: f64, weight: &[f64], bias: &[f64]) -> f64 {
        let k = bias.len();
        let mut squares: Vec<f64> = bias.iter().map(|b| b * b).collect();
        for weight in weight.chunks_exact(k) {
            squares.iter_mut().zip(weight).for_each(|(sum, w)| *sum += w * w);
        }
        let largest = squares.into_iter().fold(0.0, max_or_nan).sqrt();
        let n_terms = weight.len() / k + 16;
        2.0 * n_terms as f64 * f64::from(f32::EPSILON) * (self.max_norm + 2.0 * offset_norm) * largest
    }
}

/// Returns the largest change of the difference of two columns, for each class. With one column,
/// its logit is compared with 0.
fn largest_changes(new: [&[f64]; 2], old: [&[f64]; 2]) -> Vec<f64> {
    let k = new[1].len();
    let changes = || new.into_iter().flatten().zip(old.into_iter().flatten()).map(|(new, old)| new - old);
    if k == 1 {
        return vec![changes().map(|change| change * change).sum::<f64>().sqrt(); 2];
    }
    // Column by column.
    let len = (new[0].len() / k + 1).next_multiple_of(8);
    let mut columns = vec![0.0; k * len];
    for (i, change) in changes().enumerate() {
        columns[i % k * len + i / k] = change;
    }
    let columns: Vec<&[f64]> = columns.chunks_exact(len).collect();
    let mut largest = vec![0.0; k];
    for j in 0..k {
        for l in j + 1..k {
            let distance = distance(columns[j], columns[l]);
            for class in [j, l] {
                largest[class] = max_or_nan(largest[class], distance);
            }
        }
    }
    largest
}

/// Returns the larger number, or NaN if one is.
fn max_or_nan(a: f64, b: f64) -> f64 {
    if a.is_nan() || b <= a { a } else { b }
}

/// Returns the distance of two vectors, in eight partial sums.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for lane in 0..8 {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    sums.iter().sum::<f64>().sqrt()
}
