//! Burn's backends: which this build has, and a device on one. No other file asks for a Cargo feature.

use std::sync::OnceLock;

use anyhow::{Result, anyhow, bail};
use burn::tensor::{Device, Tensor};
use clap::ValueEnum;

use crate::panics::quietly;

/// A backend that a build may have, by the Cargo feature of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// NVIDIA GPUs through CUDA.
    Cuda,
    /// GPUs through Vulkan, Metal, DirectX 12 or WebGPU.
    Wgpu,
    /// Burn's own CPU backend.
    Flex,
    /// The ndarray crate on the CPU.
    Ndarray,
}

impl Backend {
    /// The feature's name.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Cuda => "cuda",
            Backend::Wgpu => "wgpu",
            Backend::Flex => "flex",
            Backend::Ndarray => "ndarray",
        }
    }

    /// Whether this build has it.
    pub fn is_built(self) -> bool {
        match self {
            Backend::Cuda => cfg!(feature = "cuda"),
            Backend::Wgpu => cfg!(feature = "wgpu"),
            Backend::Flex => cfg!(feature = "flex"),
            Backend::Ndarray => cfg!(feature = "ndarray"),
        }
    }

    /// The backends of this build. The default feature, ndarray, comes last: who adds another means to use it.
    pub fn built() -> impl Iterator<Item = Backend> {
        Backend::value_variants().iter().copied().filter(|backend| backend.is_built())
    }

    /// Whether it computes on a processor of its own, with a memory of its own.
    pub fn is_gpu(self) -> bool {
        match self {
            Backend::Cuda | Backend::Wgpu => true,
            Backend::Flex | Backend::Ndarray => false,
        }
    }

    /// The default device of this backend, without autodiff. It answers: a tensor was made on it.
    ///
    /// # Errors
    /// Where this build lacks the backend, naming the feature to add, or this machine the device, naming what to install.
    pub fn device(self) -> Result<Device> {
        // A driver is asked once: asked again, the runtime says that it is there already.
        static DEVICES: [OnceLock<Result<Device, String>>; 4] = [const { OnceLock::new() }; 4];
        let device = DEVICES[self as usize].get_or_init(|| self.open().map_err(|error| format!("{error:#}")));
        device.clone().map_err(|problem| anyhow!(problem))
    }

    fn open(self) -> Result<Device> {
        match self {
            #[cfg(feature = "cuda")]
            Backend::Cuda => open_gpu(|| Ok(Device::cuda(0)), "install NVIDIA's driver and CUDA 12 or later"),
            #[cfg(feature = "wgpu")]
            Backend::Wgpu => open_gpu(
                || Ok(Device::wgpu_options().init()?),
                "install a Vulkan driver (Debian: mesa-vulkan-drivers and libvulkan1)",
            ),
            #[cfg(feature = "flex")]
            Backend::Flex => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            Backend::Ndarray => {
                #[expect(deprecated, reason = "the default by the owner's choice: docs/decisions/0002-backends.md")]
                let device = Device::ndarray();
                Ok(device)
            }
            #[allow(unreachable_patterns, reason = "reachable in every build that lacks a backend")]
            missing => bail!("this build has no {0} backend; add --features {0}", missing.name()),
        }
    }
}

/// The backend that was named, else the first of this build.
///
/// # Errors
/// Where the build has no backend at all.
pub fn choose(named: Option<Backend>) -> Result<Backend> {
    match named.or_else(|| Backend::built().next()) {
        Some(backend) => Ok(backend),
        None => bail!("this build has no backend; add --features ndarray, flex, wgpu or cuda"),
    }
}

/// What the device calls itself, where it has a name of its own.
pub fn device_name(device: &Device) -> Option<String> {
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    return device.identity().map(|identity| identity.name);
    #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
    {
        let _ = device;
        None
    }
}

/// Opens a device and computes on it once. A GPU's runtime tells of a missing driver by panicking, in a thread of its own or in this one.
#[cfg_attr(not(any(feature = "cuda", feature = "wgpu")), expect(dead_code, reason = "a build without GPUs opens none"))]
fn open_gpu(open: impl Fn() -> Result<Device>, install: &str) -> Result<Device> {
    let opened = quietly(|| {
        let device = open()?;
        let two = Tensor::<1>::ones([2], &device).sum().try_into_vec_as::<f32>();
        match two.as_deref() {
            Ok([2.0]) => Ok(device),
            other => bail!("1 + 1 came out as {other:?}"),
        }
    });
    let problem = match opened {
        Ok(Ok(device)) => return Ok(device),
        Ok(Err(error)) => format!("{error:#}"),
        Err(panic) if panic.is_empty() => "no reason was given".to_owned(),
        Err(panic) => panic,
    };
    let problem = problem.split_whitespace().collect::<Vec<_>>().join(" ");
    bail!("no device was found ({problem}); {install}, or take another backend: --features ndarray or flex")
}
