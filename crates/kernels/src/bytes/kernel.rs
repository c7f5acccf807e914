//! The kernel of rows of bytes.

use chainrule_core::{Gradient, Step};

use crate::bytes::layout::BlockLayout;
use crate::bytes::pass::{Accumulator, Parameters, Pass, RecomputeZeroLogits, Update, UpdateScalars};
use crate::bytes::rows::ByteRows;
use crate::fused::Kernel;
use crate::isa::Isa;
use crate::lanes::Lanes;
use crate::losses::{LossFunction, PassMode};
use crate::packed_rows::{PackedRows, Store};
use crate::parts::{n_parts, run_in_parts};
use crate::real::Real;
use crate::row_set::RowSet;

/// A kernel that processes the columns of W in tiles of C columns. The sums of a tile stay in
/// registers.
struct ByteKernel<T, const C: usize> {
    loss_function: LossFunction,
    layout: BlockLayout,
    parameters: Parameters<T, C>,
    /// The offset c of the features. The parameters' `zero_logits` was computed for it.
    offset: f64,
    /// One per thread.
    accumulators: Vec<Accumulator<T, C>>,
    /// Number of accumulators that the last pass used.
    n_used: usize,
}

/// Creates the kernel with the best tile size C. The best size has the least cost: the number of
/// stored columns plus the number of tiles.
///
/// The sums of the largest tile fit in the 32 registers of AVX-512. With other instruction sets,
/// some sums are spilled to memory. This is still faster than smaller tiles, because every row is
/// read once per tile.
pub(crate) fn byte_kernel<T: Real>(loss_function: &LossFunction, n_features: usize, threads: usize) -> Box<dyn Kernel> {
    let columns = loss_function.columns();
    let cost = |&c: &usize| columns.div_ceil(c) * (c + 1);
    match [1, 2, 3, 5, 10].into_iter().min_by_key(cost) {
        Some(2) => Box::new(ByteKernel::<T, 2>::new(loss_function, n_features, threads)),
        Some(3) => Box::new(ByteKernel::<T, 3>::new(loss_function, n_features, threads)),
        Some(5) => Box::new(ByteKernel::<T, 5>::new(loss_function, n_features, threads)),
        Some(10) => Box::new(ByteKernel::<T, 10>::new(loss_function, n_features, threads)),
        _ => Box::new(ByteKernel::<T, 1>::new(loss_function, n_features, threads)),
    }
}

impl<T: Real, const C: usize> ByteKernel<T, C> {
    fn new(loss_function: &LossFunction, n_features: usize, threads: usize) -> Self {
        // This is the layout for rows that are not images. `adapt_to` replaces it if they are.
        let (layout, columns) = (BlockLayout::new(1, n_features), loss_function.columns());
        Self {
            loss_function: loss_function.clone(),
            layout,
            parameters: Parameters::new(layout, columns),
            offset: 0.0,
            accumulators: vec![Accumulator::new(layout, columns); threads],
            n_used: 1,
        }
    }

    /// Converts the parameters to the layout and the offset of the rows.
    fn adapt_to(&mut self, isa: Isa, rows: &ByteRows) {
        if self.layout != rows.layout {
            let (weight, bias) = self.parameters();
            self.layout = rows.layout;
            self.accumulators =
                vec![Accumulator::new(rows.layout, self.loss_function.columns()); self.accumulators.len()];
            self.set(isa, &weight, &bias);
        }
        if self.offset != rows.offset {
            self.offset = rows.offset;
            self.recompute_zero_logits(isa);
        }
    }

    fn recompute_zero_logits(&mut self, isa: Isa) {
        isa.run(RecomputeZeroLogits {
            parameters: &mut self.parameters,
            offset: self.offset,
            columns: self.loss_function.columns(),
        });
    }

    /// Converts numbers from the layout of the weights to a row-major matrix `[d, k]`.
    fn unpack(&self, lanes: &[[Lanes<T>; C]]) -> Vec<f64> {
        let (columns, n_blocks) = (self.loss_function.columns(), self.layout.n_blocks());
        let mut numbers = Vec::with_capacity(self.layout.n_features() * columns);
        for feature in 0..self.layout.n_features() {
            let (block, lane) = self.layout.position(feature);
            numbers.extend((0..columns).map(|c| lanes[c / C * n_blocks + block][c % C].0[lane].to_f64()));
        }
        numbers
    }
}

impl<T: Real, const C: usize> Kernel for ByteKernel<T, C> {
    fn set(&mut self, isa: Isa, weight: &[f64], bias: &[f64]) {
        let (columns, n_blocks) = (self.loss_function.columns(), self.layout.n_blocks());
        // Reset the padding too, because a diverged training can leave any value in it.
        self.parameters = Parameters::new(self.layout, columns);
        for (feature, weight) in weight.chunks_exact(columns).enumerate() {
            let (block, lane) = self.layout.position(feature);
            for (c, &value) in weight.iter().enumerate() {
                self.parameters.weight[c / C * n_blocks + block][c % C].0[lane] = T::from_f64(value);
            }
        }
        for (bias, &value) in self.parameters.bias.iter_mut().zip(bias) {
            *bias = T::from_f64(value);
        }
        self.recompute_zero_logits(isa);
    }

    fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        let bias = &self.parameters.bias[..self.loss_function.columns()];
        (self.unpack(&self.parameters.weight), bias.iter().map(|bias| bias.to_f64()).collect())
    }

    fn fits(&self, rows: &PackedRows) -> bool {
        matches!(rows.store, Store::Bytes(_))
    }

    fn pass(&mut self, isa: Isa, rows: &PackedRows, row_set: RowSet, mode: PassMode) -> (f64, usize) {
        let (rows, targets) = (bytes(rows), &rows.targets);
        self.adapt_to(isa, rows);
        let (loss_function, parameters) = (&self.loss_function, &self.parameters);
        let work = |(range, accumulator): (_, &mut Accumulator<T, C>)| {
            isa.run(Pass {
                loss_function,
                rows,
                targets,
                row_set: row_set.slice(range),
                parameters,
                mode,
                accumulator,
            });
            accumulator.stats.take()
        };
        self.n_used = n_parts(row_set.len(), self.accumulators.len(), mode);
        run_in_parts(row_set.len(), 1, &mut self.accumulators[..self.n_used], work)
    }

    fn take_margins(&mut self) -> Vec<f32> {
        self.accumulators[..self.n_used].iter_mut().flat_map(|accumulator| accumulator.stats.take_margins()).collect()
    }

    fn update(&mut self, isa: Isa, rows: &PackedRows, n: f64, step: Step) {
        let rows = bytes(rows);
        let scalars = UpdateScalars {
            scale_over_n: rows.scale / n,
            offset_over_n: rows.offset / n,
            one_over_n: 1.0 / n,
            offset: rows.offset,
            learning_rate: step.learning_rate,
            l2: step.l2,
            bias_l2: if step.penalize_bias { step.l2 } else { 0.0 },
            columns: self.loss_function.columns(),
        };
        isa.run(Update {
            parameters: &mut self.parameters,
            accumulators: &mut self.accumulators[..self.n_used],
            scalars,
        });
    }

    fn gradient(&mut self, rows: &PackedRows, n: f64) -> Gradient {
        let (rows, columns) = (bytes(rows), self.loss_function.columns());
        Accumulator::reduce(&mut self.accumulators[..self.n_used]);
        let sums = &self.accumulators[0];
        let residual_sums: Vec<f64> = sums.residual_sums[..columns].iter().map(|lanes| lanes.sum().to_f64()).collect();
        // X^T D = a P^T D + c 1 colsum(D)^T, where 1 is a column of ones
        let weight = |(i, &sum): (usize, &f64)| (rows.scale * sum + rows.offset * residual_sums[i % columns]) / n;
        Gradient {
            loss: 0.0,
            weight: self.unpack(&sums.gradient).iter().enumerate().map(weight).collect(),
            bias: residual_sums.iter().map(|sum| sum / n).collect(),
        }
    }

    fn rows_per_sum(&self) -> usize {
        ROWS_PER_SUM
    }
}

/// Maximum number of rows that are summed in the float type of the model.
const ROWS_PER_SUM: usize = 1 << 13;

fn bytes(rows: &PackedRows) -> &ByteRows {
    match &rows.store {
        Store::Bytes(rows) => rows,
        Store::Table(_) => unreachable!("a kernel gets rows that fit"),
    }
}
