//! The operation and the training steps on CubeCL devices: GPUs with wgpu and CUDA.
//!
//! In CubeCL, a *cube* is a thread block, a *unit* is a thread, and a *plane* is a warp.

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

/// Returns the CubeCL device, or `None` if the device belongs to another backend.
#[allow(clippy::match_wildcard_for_single_variants, reason = "the other variants depend on the features of the build")]
pub(crate) fn device(device: &Device) -> Option<CubeDevice> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => Some(device.clone()),
        #[allow(unreachable_patterns, reason = "reachable if the build has another backend")]
        _ => None,
    }
}

/// Maximum number of cubes along one axis: a power of two within the limit of WebGPU.
const MAX_CUBES_PER_AXIS: usize = 1 << 15;

/// Returns a grid of at least `count` cubes. It is a line, or a rectangle if a line is too long.
fn cube_count(count: usize) -> CubeCount {
    let across = count.min(MAX_CUBES_PER_AXIS);
    CubeCount::Static(across as u32, count.div_ceil(across) as u32, 1)
}

/// Returns the CubeCL type of f32 or f64.
fn elem_type(dtype: DType) -> ElemType {
    ElemType::Float(if dtype == DType::F64 { FloatKind::F64 } else { FloatKind::F32 })
}

/// Wraps device memory as a tensor of `length` elements. A tensor passes its length to kernels
/// without `unsafe` code.
fn buffer(client: &Client, device: &CubeDevice, handle: Handle, length: usize, dtype: DType) -> CubeTensor {
    CubeTensor::new_contiguous(client.clone(), device.clone(), [length].into(), handle, dtype)
}

/// Converts a tensor to an argument of a kernel.
fn buffer_arg(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}
