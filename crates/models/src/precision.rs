use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{FloatDType, Tensor};

/// Converts a module's float parameters to another precision. The parameters keep their ids, which
/// optimizers use to identify them.
///
/// Burn can also change the default float type of a device. But this is possible only once per
/// process, before the first tensor. This function affects only the module.
pub fn to_precision<M: Module>(module: M, dtype: FloatDType) -> M {
    struct Cast(FloatDType);
    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let require_grad = param.is_require_grad();
            // The result of a cast is not a leaf of the autodiff graph, so it has no gradient.
            // Detaching makes it a leaf.
            param.map(|tensor| tensor.detach().cast(self.0).detach().set_require_grad(require_grad))
        }
    }
    module.map(&mut Cast(dtype))
}
