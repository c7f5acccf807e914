//! The kernel of rows of a table.

use chainrule_core::{Gradient, Step};

use crate::fused::Kernel;
use crate::isa::Isa;
use crate::losses::{LossFunction, PassMode};
use crate::packed_rows::{PackedRows, Store};
use crate::parts::{n_parts, run_in_parts};
use crate::real::Real;
use crate::row_set::RowSet;
use crate::table::pass::{Accumulator, FoldedWeights, Pass, ROWS_PER_CHUNK};
use crate::table::rows::{Stored, TableRows};

/// A kernel for numbers that are stored as S and computed as T. It processes the columns of W in
/// tiles of C columns, whose logits stay in registers.
struct TableKernel<T, S, const C: usize> {
    loss_function: LossFunction,
    /// W, `[d, k]`, in the precision of T.
    weight: Vec<f64>,
    bias: Vec<f64>,
    folded: FoldedWeights<T>,
    /// One per thread.
    accumulators: Vec<Accumulator<T, S, C>>,
    /// Number of accumulators that the last pass used.
    n_used: usize,
}

/// Creates the kernel with the best tile size C. The best size has the least cost: the number of
/// stored columns plus the number of tiles, because each tile reads every row. With eight columns,
/// the compiler makes vectors of columns instead of rows, which is ten times slower.
pub(crate) fn table_kernel<T: Real, S: Stored>(
    loss_function: &LossFunction,
    rows: &TableRows,
    threads: usize,
) -> Box<dyn Kernel> {
    let columns = loss_function.columns();
    let cost = |&c: &usize| columns.div_ceil(c) * (c + 1);
    match [7, 5, 3, 2, 1].into_iter().min_by_key(cost) {
        Some(7) => Box::new(TableKernel::<T, S, 7>::new(loss_function, rows, threads)),
        Some(5) => Box::new(TableKernel::<T, S, 5>::new(loss_function, rows, threads)),
        Some(3) => Box::new(TableKernel::<T, S, 3>::new(loss_function, rows, threads)),
        Some(2) => Box::new(TableKernel::<T, S, 2>::new(loss_function, rows, threads)),
        _ => Box::new(TableKernel::<T, S, 1>::new(loss_function, rows, threads)),
    }
}

impl<T: Real, S: Stored, const C: usize> TableKernel<T, S, C> {
    fn new(loss_function: &LossFunction, rows: &TableRows, threads: usize) -> Self {
        let (columns, layout, n_codes) = (loss_function.columns(), rows.layout(), rows.levels().len() + 1);
        let (n_numbers, n_tiles) = (layout.numbers.len(), columns.div_ceil(C));
        Self {
            loss_function: loss_function.clone(),
            weight: vec![0.0; layout.n_features * columns],
            bias: vec![0.0; columns],
            folded: FoldedWeights {
                numbers: vec![T::ZERO; n_tiles * C * n_numbers],
                levels: vec![T::ZERO; n_codes * columns],
                sparse: vec![T::ZERO; layout.sparse.len() * columns],
                base: vec![T::ZERO; n_tiles * C],
            },
            accumulators: vec![Accumulator::new(n_numbers, n_codes, layout.sparse.len(), columns); threads],
            n_used: 1,
        }
    }

    /// Folds the affine maps of the features into the weights.
    fn fold(&mut self, rows: &TableRows) {
        let (k, n_numbers) = (self.bias.len(), rows.layout().numbers.len());
        let FoldedWeights { numbers, levels, sparse, base } = &mut self.folded;
        let mut sums = self.bias.clone();
        for (position, &feature) in rows.layout().numbers.iter().enumerate() {
            let (a, c) = rows.affine_of_number(position);
            for (column, &weight) in self.weight[feature * k..][..k].iter().enumerate() {
                numbers[column * n_numbers + position] = T::from_f64(a * weight);
                sums[column] += c * weight;
            }
        }
        let levels = rows.levels().iter().zip(levels.chunks_exact_mut(k));
        let sparse = rows.layout().sparse.iter().zip(sparse.chunks_exact_mut(k));
        for (&feature, folded) in levels.chain(sparse) {
            let (a, c) = rows.affine_of_level(feature);
            for ((folded, &weight), sum) in folded.iter_mut().zip(&self.weight[feature * k..][..k]).zip(&mut sums) {
                *folded = T::from_f64(a * weight);
                *sum += c * weight;
            }
        }
        for (base, sum) in base.iter_mut().zip(sums) {
            *base = T::from_f64(sum);
        }
    }

    /// Returns `X^T D`, `[d, k]`, from the sums of the last pass.
    fn weight_sums(&mut self, rows: &TableRows) -> Vec<f64> {
        let k = self.bias.len();
        let sums = Accumulator::reduce(&mut self.accumulators[..self.n_used]);
        let mut weight = vec![0.0; self.weight.len()];
        let mut write = |feature: usize, (a, c): (f64, f64), own: &[f64]| {
            for ((weight, own), residual) in weight[feature * k..][..k].iter_mut().zip(own).zip(&sums.residuals) {
                *weight = a * own + c * residual;
            }
        };
        for (position, (&feature, own)) in rows.layout().numbers.iter().zip(sums.numbers.chunks_exact(k)).enumerate() {
            write(feature, rows.affine_of_number(position), own);
        }
        let levels = rows.levels().iter().zip(sums.levels.chunks_exact(k));
        for (&feature, own) in levels.chain(rows.layout().sparse.iter().zip(sums.sparse.chunks_exact(k))) {
            write(feature, rows.affine_of_level(feature), own);
        }
        weight
    }
}

impl<T: Real, S: Stored, const C: usize> Kernel for TableKernel<T, S, C> {
    fn fits(&self, rows: &PackedRows) -> bool {
        let Store::Table(rows) = &rows.store else { return false };
        let are_f64 = size_of::<S>() == size_of::<f64>();
        let (n_numbers, n_codes) = (rows.layout().numbers.len(), rows.levels().len() + 1);
        let k = self.bias.len();
        rows.are_f64() == are_f64
            && self.folded.numbers.len() == self.folded.base.len() * n_numbers
            && self.folded.levels.len() == n_codes * k
            && self.folded.sparse.len() == rows.layout().sparse.len() * k
    }

    fn set(&mut self, _: Isa, weight: &[f64], bias: &[f64]) {
        for (own, new) in [(&mut self.weight, weight), (&mut self.bias, bias)] {
            own.iter_mut().zip(new).for_each(|(own, &new)| *own = T::from_f64(new).to_f64());
        }
    }

    fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        (self.weight.clone(), self.bias.clone())
    }

    fn pass(&mut self, isa: Isa, rows: &PackedRows, row_set: RowSet, mode: PassMode) -> (f64, usize) {
        let (rows, targets) = (table(rows), &rows.targets);
        self.fold(rows);
        let (loss_function, weights) = (&self.loss_function, &self.folded);
        let work = |(range, accumulator): (_, &mut Accumulator<T, S, C>)| {
            isa.run(Pass { loss_function, rows, targets, row_set: row_set.slice(range), weights, mode, accumulator });
            accumulator.stats.take()
        };
        self.n_used = n_parts(row_set.len(), self.accumulators.len(), mode);
        run_in_parts(row_set.len(), ROWS_PER_CHUNK, &mut self.accumulators[..self.n_used], work)
    }

    fn take_margins(&mut self) -> Vec<f32> {
        self.accumulators[..self.n_used].iter_mut().flat_map(|accumulator| accumulator.stats.take_margins()).collect()
    }

    fn update(&mut self, _: Isa, rows: &PackedRows, n: f64, step: Step) {
        let gradient = self.gradient(rows, n);
        let bias_l2 = if step.penalize_bias { step.l2 } else { 0.0 };
        let parts = [(&mut self.weight, &gradient.weight, step.l2), (&mut self.bias, &gradient.bias, bias_l2)];
        for (parameters, gradient, l2) in parts {
            for (w, g) in parameters.iter_mut().zip(gradient) {
                *w = T::from_f64(*w - step.learning_rate * (g + l2 * *w)).to_f64();
            }
        }
    }

    fn gradient(&mut self, rows: &PackedRows, n: f64) -> Gradient {
        let mut weight = self.weight_sums(table(rows));
        weight.iter_mut().for_each(|sum| *sum /= n);
        let bias = self.accumulators[0].residuals.iter().map(|sum| sum / n).collect();
        Gradient { loss: 0.0, weight, bias }
    }

    fn rows_per_sum(&self) -> usize {
        // The pass itself adds its partial sums in f64.
        usize::MAX
    }
}

fn table(rows: &PackedRows) -> &TableRows {
    match &rows.store {
        Store::Table(rows) => rows,
        Store::Bytes(_) => unreachable!("a kernel gets rows that fit"),
    }
}
