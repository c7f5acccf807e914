//! The operation and the training steps on CubeCL devices: GPUs with wgpu and CUDA.

mod kernels;
mod operation;
mod plan;
mod steps;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::ir::{ElemType, FloatKind};
use burn_cubecl::cubecl::prelude::{BufferArg, CubeCount};
use burn_cubecl::cubecl::server::Handle;
use burn_cubecl::tensor::CubeTensor;

pub(crate) use steps::steps;

/// Returns the CubeCL device, or `None` if another backend has the device.
#[allow(clippy::match_wildcard_for_single_variants, reason = "which others there are is a matter of the build")]
pub(crate) fn device(device: &Device) -> Option<CubeDevice> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => Some(device.clone()),
        #[allow(unreachable_patterns, reason = "reachable in every build that has another backend too")]
        _ => None,
    }
}

/// Maximum number of cubes along one axis: a power of two within the limit of WebGPU.
const CUBES: usize = 1 << 15;

/// Returns a grid of at least `count` cubes: a line, or a rectangle if a line is too long.
fn cubes(count: usize) -> CubeCount {
    let across = count.min(CUBES);
    CubeCount::Static(across as u32, count.div_ceil(across) as u32, 1)
}

/// Returns the CubeCL type for f32 or f64.
fn element(dtype: DType) -> ElemType {
    ElemType::Float(if dtype == DType::F64 { FloatKind::F64 } else { FloatKind::F32 })
}

/// Returns device memory as a tensor of `length` elements. The tensor type gives kernels the
/// correct length without `unsafe`.
fn buffer(client: &Client, device: &CubeDevice, handle: Handle, length: usize, dtype: DType) -> CubeTensor {
    CubeTensor::new_contiguous(client.clone(), device.clone(), [length].into(), handle, dtype)
}

/// Returns the memory of a tensor as an argument of a kernel.
fn argument(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}
