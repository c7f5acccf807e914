//! This build has no Burn, and so no autodiff.

use chainrule_derive::Witness;

pub(crate) fn autodiff() -> Option<Box<dyn Witness>> {
    None
}
