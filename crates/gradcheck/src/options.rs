/// The settings of a check. `Options::default()` is right for most modules.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// An absolute tolerance that is added to the bound, in units of loss per parameter.
    pub atol: f64,
    /// A tolerance that is added to the bound, relative to the differences' estimate.
    pub rtol: f64,
    /// A coordinate is unresolved if its bound is wider than this fraction of the parameter's
    /// largest gradient coordinate, because a wrong gradient could hide in it. The default is
    /// 0.001, or 30 times the square root of the machine epsilon of the loss's type if that is
    /// larger.
    pub resolution: Option<f64>,
    /// The largest fraction of unresolved coordinates with which a check can pass.
    pub max_unresolved: f64,
    /// The coordinates or directions to check.
    pub search: Search,
    /// The seed of the random directions, cotangents and perturbations.
    pub seed: u64,
    /// The number of random cotangents for an output that is not a scalar.
    pub cotangents: usize,
    /// The type in which the loss is evaluated for the differences.
    #[cfg(feature = "burn")]
    pub difference_precision: DifferencePrecision,
}

/// Which slopes are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Search {
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
    /// The parameters' own type, whatever its precision.
    Own,
    /// f64, at the same values. This gives much narrower bounds for an f32 gradient. The loss must
    /// follow the type of the parameters it receives and cast its inputs if necessary, and the
    /// device must support f64.
    F64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            atol: 0.0,
            rtol: 0.0,
            resolution: None,
            max_unresolved: 0.1,
            search: Search::Auto { coordinates: 4096 },
            seed: 0,
            cotangents: 3,
            #[cfg(feature = "burn")]
            difference_precision: DifferencePrecision::SameAsParameters,
        }
    }
}
