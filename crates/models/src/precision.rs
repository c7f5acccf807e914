use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{FloatDType, Tensor};

/// The same module with its float parameters in another precision; their ids, by which optimizers
/// know them, stay.
///
/// Burn can also change a device's default type, but once a process and before its first tensor;
/// this one is local.
pub fn to_precision<M: Module>(module: M, dtype: FloatDType) -> M {
    struct Cast(FloatDType);
    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let require_grad = param.is_require_grad();
            // A cast inside an autodiff graph is no leaf any more: detach it, so that it can hold a
            // gradient again.
            param.map(|tensor| tensor.detach().cast(self.0).detach().set_require_grad(require_grad))
        }
    }
    module.map(&mut Cast(dtype))
}
