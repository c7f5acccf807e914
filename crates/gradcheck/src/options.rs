/// How to check. `Options::default()` is right for most modules.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// A distance that is always forgiven, in units of loss per parameter.
    pub atol: f64,
    /// A distance relative to the differences' value that is always forgiven.
    pub rtol: f64,
    /// A coordinate is unresolved where its bound is wider than this fraction of the gradient: a
    /// wrong gradient might hide in it. Where absent, a thousandth, or what the type of the loss
    /// allows if that is more.
    pub resolution: Option<f64>,
    /// The fraction of unresolved coordinates beyond which nothing is proven, and the check is no
    /// pass.
    pub max_unresolved: f64,
    /// Every coordinate, or random directions.
    pub search: Search,
    /// The seed of random directions, cotangents and nudges.
    pub seed: u64,
    /// Random cotangents for an output that is no scalar.
    pub cotangents: usize,
    /// The type that the loss is evaluated in for the differences.
    #[cfg(feature = "burn")]
    pub witness: Witness,
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Search {
    /// Every coordinate up to so many in all, random directions beyond.
    Auto {
        /// The most coordinates to look at one by one.
        coordinates: usize,
    },
    /// Every coordinate.
    Exhaustive,
    /// So many random directions a parameter; where one fails, it is halved until the guilty
    /// coordinate is found.
    Directions {
        /// Directions a parameter.
        count: usize,
    },
}

/// The type that the loss is evaluated in for the differences.
#[cfg(feature = "burn")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The parameters' own type, whatever it can resolve.
    Own,
    /// f64, on the same values: a far better witness for an f32 gradient. The loss must follow the
    /// type of the parameters it is given, casting its inputs where need be, and the device must
    /// have f64.
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
            witness: Witness::Own,
        }
    }
}
