//! A small version of the example `calibration`: the bounds hold on families of functions whose
//! slopes are known.

#[path = "../examples/calibration/families.rs"]
mod families;
#[path = "../examples/calibration/measure.rs"]
mod measure;

use families::{Kind, families};
use measure::measure;

#[test]
fn bounds_hold_and_right_gradients_do_not_fail() {
    const FUNCTIONS: usize = 400;
    for family in families() {
        for in_f32 in [false, true] {
            if in_f32 && !family.in_f32 {
                continue;
            }
            let counts = measure(&family, in_f32, FUNCTIONS, 2);
            let limit = if in_f32 { FUNCTIONS / 100 } else { FUNCTIONS / 200 };
            let seen = format!("{}, in f32: {in_f32}: {counts:?}", family.name);
            assert!(counts.false_bounds <= limit && counts.failed <= limit && counts.zero_passes <= limit, "{seen}");
            if family.kind == Kind::Smooth && !in_f32 {
                assert!(20 * counts.unresolved <= FUNCTIONS, "{seen}");
            }
        }
    }
}
