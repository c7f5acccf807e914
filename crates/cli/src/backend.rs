//! Burn's backends: which this build has, and a device on one. No other file asks for a Cargo feature.

use anyhow::{Result, bail};
use burn::tensor::Device;
use clap::ValueEnum;

/// A backend that a build may have, by the Cargo feature of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
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
            Backend::Wgpu => "wgpu",
            Backend::Flex => "flex",
            Backend::Ndarray => "ndarray",
        }
    }

    /// Whether this build has it.
    pub fn is_built(self) -> bool {
        match self {
            Backend::Wgpu => cfg!(feature = "wgpu"),
            Backend::Flex => cfg!(feature = "flex"),
            Backend::Ndarray => cfg!(feature = "ndarray"),
        }
    }

    /// The backends of this build. The default feature, ndarray, comes last: who adds another means to use it.
    pub fn built() -> impl Iterator<Item = Backend> {
        Backend::value_variants().iter().copied().filter(|backend| backend.is_built())
    }

    /// The default device of this backend, without autodiff.
    ///
    /// # Errors
    /// Where this build lacks it, naming the feature to add.
    pub fn device(self) -> Result<Device> {
        match self {
            #[cfg(feature = "wgpu")]
            Backend::Wgpu => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
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
        None => bail!("this build has no backend; add --features ndarray, flex or wgpu"),
    }
}
