//! `chainrule gradcheck` in a build without Burn: every call is an error.

use anyhow::{Result, bail};
use chainrule::machine::Machine;
use chainrule_records::{GradientCheck, GradientChecks};

use crate::options::GradcheckOptions;

const NO_BURN: &str =
    "gradients are checked against Burn's autodiff, but this build has no Burn; add --features ndarray";

pub(crate) fn gradcheck(_: &GradcheckOptions) -> Result<u8> {
    bail!(NO_BURN)
}

/// # Errors
/// Always.
pub(crate) fn can_check(_: &Machine) -> Result<()> {
    bail!(NO_BURN)
}

/// # Errors
/// Always.
pub(crate) fn check(_: &Machine, _: u64, _: &dyn Fn(&GradientCheck)) -> Result<GradientChecks> {
    bail!(NO_BURN)
}
