/// The settings of a check. `Options::default()` is right for most modules.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// An absolute tolerance, which is added to the bound. Its unit is that of the gradient.
    pub atol: f64,
    /// A relative tolerance: this fraction of the estimated slope is added to the bound.
    pub rtol: f64,
    /// The widest bound with which a coordinate can pass, as a fraction of the parameter's largest
    /// gradient coordinate. A wider bound could hide a wrong gradient, so the coordinate is
    /// unresolved. The default (`None`) is the largest of 0.001, `30 sqrt(epsilon)` with the
    /// machine epsilon of the loss's type, and 32 machine epsilons of the gradient's type.
    pub resolution: Option<f64>,
    /// The largest allowed fraction of unresolved comparisons. A check with more does not pass.
    pub max_unresolved: f64,
    /// Whether to check coordinates or random directions.
    pub coverage: Coverage,
    /// The names of the parameters to check, or beginnings of their paths. All are checked if there
    /// is none.
    pub parameters: Vec<String>,
    /// The number of points: the module's own, and random ones nearby. Gradients that are given, as
    /// to [`crate::check_slices`], belong to one point, so they are checked there only.
    pub points: usize,
    /// The length over which the loss changes its behaviour. Differences use steps up to an eighth
    /// of it. The default (`None`) is 1, or the coordinate's absolute value if that is larger.
    pub scale: Option<f64>,
    /// The number of evaluations at the point, all of which must give the same loss. With 100,
    /// randomness that shows in one of ten evaluations is found practically always, and in one of a
    /// hundred in 63 % of the checks.
    pub repetitions: usize,
    /// The seed of the random directions, cotangents and perturbations.
    pub seed: u64,
    /// The number of random cotangents for an output that is not a scalar.
    pub cotangents: usize,
    /// The type in which the loss is evaluated for the differences.
    #[cfg(feature = "burn")]
    pub difference_precision: DifferencePrecision,
}

/// The slopes to check: along coordinates or along random directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coverage {
    /// Every coordinate if there are at most `coordinates`, otherwise random directions.
    Auto {
        /// The largest number of coordinates that are checked one by one.
        coordinates: usize,
    },
    /// Every coordinate.
    Exhaustive,
    /// Random directions. If a gradient fails along one, bisection searches for the wrong
    /// coordinate.
    Directions {
        /// The number of directions per parameter.
        count: usize,
    },
}

/// The type in which the loss is evaluated for the differences.
#[cfg(feature = "burn")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferencePrecision {
    /// The type of the parameters.
    SameAsParameters,
    /// f64, at the same parameter values. The bounds of an f32 gradient become much narrower. The
    /// loss must compute in the type of the parameters that it receives, and cast its inputs if
    /// necessary. If it panics in f64, or the device does not support f64, the type of the
    /// parameters is used, and a finding says so.
    F64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            atol: 0.0,
            rtol: 0.0,
            resolution: None,
            max_unresolved: 0.1,
            coverage: Coverage::Auto { coordinates: 4096 },
            parameters: Vec::new(),
            points: 1,
            scale: None,
            repetitions: 100,
            seed: 0,
            cotangents: 3,
            #[cfg(feature = "burn")]
            difference_precision: DifferencePrecision::F64,
        }
    }
}
