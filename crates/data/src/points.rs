//! Rows of two numbers drawn by code: points of the plane in two or three classes, in the shapes of
//! scikit-learn's `make_moons`, `make_circles` and `make_blobs` (`sklearn.datasets`). A seed gives
//! the same bytes on every platform.
//!
//! Like [`digits`](crate::digits), the code uses only `+ - * /` and square roots, which IEEE 754
//! rounds identically everywhere. Angles are equal steps of one rotation, and normal deviates come
//! from comparisons of uniform ones.

use std::f64::consts::PI;
use std::fmt::Write;
use std::path::Path;

use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// A shape of points. Its name is a value of `data.source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointSet {
    /// `moons`: two half circles of radius 1 that reach into one another, `upper` and `lower`. A
    /// straight line separates them only roughly.
    Moons,
    /// `circles`: a circle of radius 1, `outer`, around one of radius 0.5, `inner`. No straight
    /// line separates them.
    Circles,
    /// `blobs`: normal clouds around three centres, `left`, `right` and `top`. Straight lines are
    /// the best boundaries.
    Blobs,
}

/// A point of the plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The columns `x1` and `x2`, with 4 decimals.
    pub x: [f64; 2],
    /// The class.
    pub class: &'static str,
}

/// The label column of the points as a table.
pub const LABEL: &str = "class";
/// The number of rows of the points as a table.
const ROWS: usize = 600;
/// The seed of the points as a table.
const SEED: u64 = 0;

impl PointSet {
    /// All shapes.
    pub const ALL: [Self; 3] = [Self::Moons, Self::Circles, Self::Blobs];

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Moons => "moons",
            Self::Circles => "circles",
            Self::Blobs => "blobs",
        }
    }

    /// Returns the shape with this name. A file of that name is `./moons`.
    pub fn named(path: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|set| path.as_os_str() == set.name())
    }

    /// Returns the classes.
    pub fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Moons => &["upper", "lower"],
            Self::Circles => &["outer", "inner"],
            Self::Blobs => &["left", "right", "top"],
        }
    }

    /// Returns the standard deviation of the points around their shape: for moons and circles that
    /// of scikit-learn's example "Classifier comparison", for blobs the default of `make_blobs`.
    pub fn noise(self) -> f64 {
        match self {
            Self::Moons => 0.3,
            Self::Circles => 0.2,
            Self::Blobs => 1.0,
        }
    }

    /// Draws `rows` points in random order, with as many of each class as of the others, or one
    /// more. `noise` is the standard deviation of both numbers around the shape.
    pub fn draw(self, rows: usize, noise: f64, seed: u64) -> Vec<Point> {
        let classes = self.classes();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut points = Vec::with_capacity(rows);
        for (c, class) in classes.iter().enumerate() {
            let count = (rows + classes.len() - 1 - c) / classes.len();
            points.extend(self.shape(c, count).into_iter().map(|x| {
                let x = x.map(|x| rounded(x + noise * normal(&mut rng)));
                Point { x, class }
            }));
        }
        // As Fisher and Yates shuffle. A u32 is the same on every platform.
        for last in (1..points.len()).rev() {
            points.swap(last, rng.random_range(0..=last as u32) as usize);
        }
        points
    }

    /// Returns `count` points of a class without noise.
    fn shape(self, class: usize, count: usize) -> Vec<[f64; 2]> {
        // Both ends of a half circle are drawn, but a circle ends where it begins.
        let half_circle = || arc(count, PI / count.saturating_sub(1).max(1) as f64);
        let circle = || arc(count, 2.0 * PI / count.max(1) as f64);
        match (self, class) {
            (Self::Moons, 0) => half_circle(),
            (Self::Moons, _) => half_circle().into_iter().map(|[x, y]| [1.0 - x, 0.5 - y]).collect(),
            (Self::Circles, 0) => circle(),
            (Self::Circles, _) => circle().into_iter().map(|x| x.map(|x| 0.5 * x)).collect(),
            (Self::Blobs, class) => vec![[[-2.0, -1.0], [2.0, -1.0], [0.0, 2.0]][class]; count],
        }
    }

    /// Returns the points of `--data` and `data.source` as a table in CSV: 600 rows with the
    /// columns `x1`, `x2` and `class`.
    pub(crate) fn csv(self) -> String {
        let mut text = format!("x1,x2,{LABEL}\n");
        for Point { x: [x1, x2], class } in self.draw(ROWS, self.noise(), SEED) {
            writeln!(text, "{x1:.4},{x2:.4},{class}").expect("writing to a String cannot fail");
        }
        text
    }
}

/// Rounds to 4 decimals, and -0 to 0.
fn rounded(x: f64) -> f64 {
    (10_000.0 * x).round() / 10_000.0 + 0.0
}

/// Returns points of the unit circle, each `step` radians after the one before, from (1, 0).
fn arc(count: usize, step: f64) -> Vec<[f64; 2]> {
    // A 64th of the angle is small enough for the series; doubling it 6 times gives the step.
    let small = step / 64.0;
    let square = small * small;
    let sine = small * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0)));
    let mut turn = [(1.0 - sine * sine).sqrt(), sine];
    for _ in 0..6 {
        turn = rotated(turn, turn);
    }
    std::iter::successors(Some([1.0, 0.0]), |&point| Some(rotated(point, turn))).take(count).collect()
}

/// Rotates a point by the angle of a point of the unit circle.
fn rotated([x, y]: [f64; 2], [cosine, sine]: [f64; 2]) -> [f64; 2] {
    [x * cosine - y * sine, x * sine + y * cosine]
}

/// Draws from the standard normal distribution, by comparisons alone: algorithm N of Karney (2016),
/// "Sampling exactly from the normal distribution", ACM Transactions on Mathematical Software
/// 42(1), with doubles for its real numbers.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    loop {
        // A sample k + x has the density exp(-(k + x)^2 / 2), as the product of these factors:
        // exp(-k / 2), exp(-k (k - 1) / 2) and exp(-x (2k + x) / 2).
        let mut k = 0u32;
        while decays(rng, 0.5) {
            k += 1;
        }
        if !(0..k * k.saturating_sub(1)).all(|_| decays(rng, 0.5)) {
            continue;
        }
        let (whole, x) = (f64::from(k), rng.random::<f64>());
        if (0..=k).all(|_| decays(rng, x * (2.0 * whole + x) / (2.0 * whole + 2.0))) {
            return if rng.random::<bool>() { whole + x } else { -(whole + x) };
        }
    }
}

/// Returns true with the probability `exp(-a)`, for a from 0 to 1: the run of falling numbers below
/// a has an even length (von Neumann).
fn decays(rng: &mut ChaCha8Rng, a: f64) -> bool {
    let (mut last, mut is_even) = (a, true);
    loop {
        let next = rng.random::<f64>();
        if next >= last {
            return is_even;
        }
        (last, is_even) = (next, !is_even);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256;

    #[test]
    fn the_same_bytes_are_drawn_everywhere() {
        let check = |set: PointSet, expected: &str| {
            assert_eq!(sha256([set.csv().as_bytes()]), expected, "{set:?}");
        };
        check(PointSet::Moons, "1dfdc6c93c4678d0b600b7e1997d19062b3d58245fa0c6515c9b5addc6829f4e");
        check(PointSet::Circles, "eac820c0d5eb8adb25d39c104256fafe2ff710786ce7fbbc99dbaac1de05a596");
        check(PointSet::Blobs, "fbbb446194c9cc240d6117a9938be65cc566ecac35816e87168dfa4baf78a34e");
    }

    #[test]
    fn without_noise_the_points_are_scikit_learns() {
        // numpy.linspace(0, pi, 5) and (0, 2 pi, 4, endpoint=False), as in make_moons and
        // make_circles(factor=0.5).
        let root = rounded(std::f64::consts::FRAC_1_SQRT_2);
        let check = |set: PointSet, rows: usize, class: &str, expected: &[[f64; 2]]| {
            let mut points: Vec<[f64; 2]> =
                set.draw(rows, 0.0, 3).into_iter().filter(|point| point.class == class).map(|point| point.x).collect();
            let mut expected = expected.to_vec();
            for points in [&mut points, &mut expected] {
                points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
            }
            assert_eq!(points, expected, "{set:?} {class}");
        };
        let upper = [[1.0, 0.0], [root, root], [0.0, 1.0], [-root, root], [-1.0, 0.0]];
        check(PointSet::Moons, 10, "upper", &upper);
        let lower = [[0.0, 0.5], [0.2929, -0.2071], [1.0, -0.5], [1.7071, -0.2071], [2.0, 0.5]];
        check(PointSet::Moons, 10, "lower", &lower);
        check(PointSet::Circles, 8, "outer", &[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]);
        check(PointSet::Circles, 8, "inner", &[[0.5, 0.0], [0.0, 0.5], [-0.5, 0.0], [0.0, -0.5]]);
        check(PointSet::Blobs, 4, "left", &[[-2.0, -1.0]; 2]);
    }

    #[test]
    fn the_noise_is_normal() {
        let n = 40_000;
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let z: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
        let share = |limit: f64| z.iter().filter(|z| **z <= limit).count() as f64 / f64::from(n);
        // The distribution function of the standard normal distribution, as of R's pnorm. Four
        // standard errors are at most 0.01.
        for (limit, expected) in
            [(-3.0, 0.001_35), (-1.5, 0.066_81), (-0.5, 0.308_54), (0.0, 0.5), (1.0, 0.841_34), (2.0, 0.977_25)]
        {
            assert!((share(limit) - expected).abs() < 0.01, "{limit}: {}, not {expected}", share(limit));
        }
        let mean_square = z.iter().map(|z| z * z).sum::<f64>() / f64::from(n);
        assert!((mean_square - 1.0).abs() < 0.03, "{mean_square}");
    }
}
