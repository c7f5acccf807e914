//! What runs on CubeCL's devices: GPUs by wgpu and CUDA.

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

/// The device below Burn's, where CubeCL drives it.
#[allow(clippy::match_wildcard_for_single_variants, reason = "which others there are is a matter of the build")]
pub(crate) fn device(device: &Device) -> Option<CubeDevice> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => Some(device.clone()),
        #[allow(unreachable_patterns, reason = "reachable in every build that has another backend too")]
        _ => None,
    }
}

/// Cubes along one axis: what WebGPU allows, and a power of two.
const CUBES: usize = 1 << 15;

/// So many cubes at least, in a rectangle where they are too many for a line.
fn cubes(count: usize) -> CubeCount {
    let across = count.min(CUBES);
    CubeCount::Static(across as u32, count.div_ceil(across) as u32, 1)
}

/// How CubeCL calls f32 and f64.
fn element(dtype: DType) -> ElemType {
    ElemType::Float(if dtype == DType::F64 { FloatKind::F64 } else { FloatKind::F32 })
}

/// Memory of a device, as so many elements of a type. As a tensor, so that its length is told right
/// without `unsafe`.
fn buffer(client: &Client, device: &CubeDevice, handle: Handle, length: usize, dtype: DType) -> CubeTensor {
    CubeTensor::new_contiguous(client.clone(), device.clone(), [length].into(), handle, dtype)
}

/// The same memory, for a kernel.
fn argument(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}
