use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{FloatDType, Tensor};

/// Converts a module's float parameters to another precision. Their ids stay, since optimizers
/// identify parameters by them.
///
/// Burn can also change a device's default type, but only once in a process and before the first
/// tensor. This conversion is local.
pub fn to_precision<M: Module>(module: M, dtype: FloatDType) -> M {
    struct Cast(FloatDType);
    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let require_grad = param.is_require_grad();
            // The result of a cast is not a leaf of the autodiff graph. Detaching makes it one, so
            // that it can hold a gradient again.
            param.map(|tensor| tensor.detach().cast(self.0).detach().set_require_grad(require_grad))
        }
    }
    module.map(&mut Cast(dtype))
}
