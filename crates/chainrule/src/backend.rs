//! Backends: this processor without Burn, or one of Burn's backends. Lists the backends of this
//! build and opens devices, here or on another machine.
//!
//! Only this file reads the Cargo features of the backends.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
#[cfg(feature = "burn")]
use std::sync::Mutex;

#[cfg(feature = "burn")]
use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "wgpu", feature = "remote"))]
use burn::tensor::Tensor;
use chainrule_core::{ContentError, escape_controls};

use crate::Error;
#[cfg(any(feature = "cuda", feature = "wgpu", feature = "remote"))]
use crate::panics::catch_panic;

/// A backend. Each, except `cpu`, has a Cargo feature of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// NVIDIA GPUs through CUDA.
    Cuda,
    /// GPUs through Vulkan, Metal, DirectX 12 or WebGPU.
    Wgpu,
    /// Burn's own CPU backend.
    Flex,
    /// The ndarray crate on the CPU.
    Ndarray,
    /// The device that `chainrule serve` offers at this address, `HOST:PORT`.
    Remote(String),
    /// This processor without Burn: fused kernels for bytes, plain loops for other rows.
    Cpu,
}

impl Backend {
    /// Burn's local backends, in order of preference. The program's default feature, ndarray, comes
    /// last: a build with another feature is meant to use it.
    pub const LOCAL: [Backend; 4] = [Backend::Cuda, Backend::Wgpu, Backend::Flex, Backend::Ndarray];

    /// Returns the name of the backend and its feature.
    pub fn name(&self) -> &'static str {
        match self {
            Backend::Cuda => "cuda",
            Backend::Wgpu => "wgpu",
            Backend::Flex => "flex",
            Backend::Ndarray => "ndarray",
            Backend::Remote(_) => "remote",
            Backend::Cpu => "cpu",
        }
    }

    /// Returns whether this build has the backend.
    pub fn is_built(&self) -> bool {
        match self {
            Backend::Cuda => cfg!(feature = "cuda"),
            Backend::Wgpu => cfg!(feature = "wgpu"),
            Backend::Flex => cfg!(feature = "flex"),
            Backend::Ndarray => cfg!(feature = "ndarray"),
            Backend::Remote(_) => cfg!(feature = "remote"),
            Backend::Cpu => true,
        }
    }

    /// Returns Burn's local backends in this build. The environment variable `CHAINRULE_BACKENDS`,
    /// as in `flex,ndarray`, restricts them.
    ///
    /// # Errors
    /// Returns an error if `CHAINRULE_BACKENDS` names a backend that this build lacks.
    pub fn built() -> Result<Vec<Backend>, Error> {
        let built: Vec<Backend> = Backend::LOCAL.into_iter().filter(Backend::is_built).collect();
        let Some(allowed) = std::env::var_os(BACKENDS_VARIABLE) else { return Ok(built) };
        let allowed = allowed.to_string_lossy();
        let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
        let names: Vec<&str> = built.iter().chain([&Backend::Cpu]).map(Backend::name).collect();
        if let Some(unknown) = allowed.iter().find(|name| !names.contains(name)) {
            return backend_error(format!(
                "{BACKENDS_VARIABLE}: {unknown:?} is none of this build's backends: {}",
                names.join(", ")
            ));
        }
        Ok(built.into_iter().filter(|backend| allowed.contains(&backend.name())).collect())
    }

    /// Returns whether the device has its own memory and queue, separate from the host's.
    pub fn has_separate_memory(&self) -> bool {
        match self {
            Backend::Cuda | Backend::Wgpu | Backend::Remote(_) => true,
            Backend::Flex | Backend::Ndarray | Backend::Cpu => false,
        }
    }

    /// Opens the default device of this backend, without autodiff, and checks that it can compute.
    ///
    /// # Errors
    /// Returns an error if this build lacks the backend (it names the feature to add), if this
    /// machine lacks the device (it names what to install), or if a remote address does not answer.
    #[cfg(feature = "burn")]
    pub fn device(&self) -> Result<Device, Error> {
        // Open a device only once: a second attempt fails because the runtime is already
        // initialised.
        static OPENED: Mutex<Vec<(Backend, Result<Device, String>)>> = Mutex::new(Vec::new());
        let mut opened = OPENED.lock().map_err(|_| Error::Backend("opening a device panicked before".to_owned()))?;
        let device = match opened.iter().find(|(backend, _)| backend == self) {
            Some((_, device)) => device.clone(),
            None => {
                let device = self.open().map_err(|error| error.to_string());
                opened.push((self.clone(), device.clone()));
                device
            }
        };
        device.map_err(Error::Backend)
    }

    #[cfg(feature = "burn")]
    fn open(&self) -> Result<Device, Error> {
        match self {
            #[cfg(feature = "cuda")]
            Backend::Cuda => {
                open_and_test(|| Ok(Device::cuda(0))).map_err(no_gpu("install NVIDIA's driver and CUDA 12 or later"))
            }
            #[cfg(feature = "wgpu")]
            Backend::Wgpu => open_and_test(|| Device::wgpu_options().init().map_err(|error| error.to_string()))
                .map_err(no_gpu("install a Vulkan driver (Debian: mesa-vulkan-drivers and libvulkan1)")),
            #[cfg(feature = "flex")]
            Backend::Flex => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            Backend::Ndarray => {
                #[expect(deprecated, reason = "the default by the owner's choice: docs/decisions/0002-backends.md")]
                let device = Device::ndarray();
                Ok(device)
            }
            #[cfg(feature = "remote")]
            Backend::Remote(address) => {
                let host = burn::tensor::remote::RemoteHost::websocket(&format!("ws://{address}"));
                let host = match token()? {
                    Some(token) => host.with_credential(token),
                    None => host,
                };
                let open =
                    move || open_and_test(|| Device::remote_options(&host).init().map_err(|error| error.to_string()));
                with_timeout(CONNECT, open).map_err(|backend_error| {
                    Error::Backend(format!(
                        "{self}: {backend_error}; start `chainrule serve` there, and give both the same CHAINRULE_TOKEN, or none"
                    ))
                })
            }
            Backend::Cpu => backend_error("cpu is this processor without Burn, and has no device of Burn's".to_owned()),
            #[allow(unreachable_patterns, reason = "reachable in every build that lacks a backend")]
            missing => backend_error(missing.missing()),
        }
    }

    /// Returns the backend's abilities on this machine.
    ///
    /// # Errors
    /// Returns an error if this build lacks the backend, or if this machine lacks its device.
    pub fn info(&self) -> Result<BackendInfo, Error> {
        if *self == Backend::Cpu {
            return Ok(BackendInfo { device: None, has_f64: true, has_kernels: true, has_autodiff: false });
        }
        #[cfg(feature = "burn")]
        {
            let device = self.device()?;
            Ok(BackendInfo {
                device: device_name(&device),
                has_f64: chainrule_gradcheck::f64_works(&device),
                has_kernels: !self.has_separate_memory() || chainrule_ops::supports_device_steps(&device),
                has_autodiff: true,
            })
        }
        #[cfg(not(feature = "burn"))]
        backend_error(self.missing())
    }

    /// Returns the message for a build that lacks the backend.
    pub(crate) fn missing(&self) -> String {
        format!("this build has no {0} backend; add --features {0}", self.name())
    }

    /// Offers the device to other machines until the process is terminated. At the start, `log` is
    /// called with the address and with whether a token is required.
    ///
    /// # Errors
    /// Returns an error if the device or the address is not available.
    #[cfg(feature = "remote-server")]
    pub fn serve(
        &self,
        listener: std::net::TcpListener,
        log: impl FnOnce(std::net::SocketAddr, bool),
    ) -> Result<(), Error> {
        use burn::tensor::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};

        let token = token()?;
        let failed = |error: &dyn Display| Error::Backend(error.to_string());
        let mut server = RemoteServer::new([self.device()?]);
        let has_token = token.is_some();
        if let Some(token) = token {
            server = server.with_authorizer(TokenAuthorizer::new(token).map_err(|error| failed(&error))?);
        }
        log(listener.local_addr().map_err(|error| failed(&error))?, has_token);
        server.serve(WebSocketTransport::from_listener(listener)).map_err(|error| failed(&error))
    }

    /// Returns the error that this build cannot serve.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "remote-server"))]
    pub fn serve(
        &self,
        _listener: std::net::TcpListener,
        _log: impl FnOnce(std::net::SocketAddr, bool),
    ) -> Result<(), Error> {
        backend_error("this build cannot serve; add --features remote-server".to_owned())
    }
}

/// The abilities of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendInfo {
    /// The device's name, if it is not this processor.
    pub device: Option<String>,
    /// Whether it supports f64.
    pub has_f64: bool,
    /// Whether fused kernels run there.
    pub has_kernels: bool,
    /// Whether Burn's autodiff and its optimizers run there.
    pub has_autodiff: bool,
}

impl Display for Backend {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Remote(address) => write!(f, "remote:{address}"),
            local => f.write_str(local.name()),
        }
    }
}

impl FromStr for Backend {
    type Err = ContentError;

    fn from_str(text: &str) -> Result<Self, ContentError> {
        if let Some(address) = text.strip_prefix("remote:") {
            let is_whole =
                address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            return if is_whole {
                Ok(Backend::Remote(address.to_owned()))
            } else {
                Err(ContentError::new(format!("remote:{} is not remote:HOST:PORT", escape_controls(address))))
            };
        }
        let found = Backend::LOCAL.into_iter().chain([Backend::Cpu]).find(|backend| backend.name() == text);
        found.ok_or_else(|| ContentError::new("it is one of cuda, wgpu, flex, ndarray, cpu, remote:HOST:PORT"))
    }
}

/// Reads the token that a server requires of its clients. An environment variable holds it, because
/// every process can read a command line.
#[cfg(any(feature = "remote", feature = "remote-server"))]
fn token() -> Result<Option<String>, Error> {
    match std::env::var("CHAINRULE_TOKEN") {
        Ok(token) if token.is_empty() => {
            backend_error("CHAINRULE_TOKEN is empty; unset it, or say the token".to_owned())
        }
        Ok(token) => Ok(Some(token)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => backend_error(format!("CHAINRULE_TOKEN: {error}")),
    }
}

/// The environment variable that restricts the backends of a build.
const BACKENDS_VARIABLE: &str = "CHAINRULE_BACKENDS";

/// Returns the named backend, or else the first of [`Backend::built`]; without a Burn backend, this
/// processor.
///
/// # Errors
/// Returns an error if the build has only remote backends and none is named, or if
/// `CHAINRULE_BACKENDS` names a backend that this build lacks.
pub fn choose(named: Option<&Backend>) -> Result<Backend, Error> {
    match (named, Backend::built()?.into_iter().next()) {
        (Some(named), _) => Ok(named.clone()),
        (None, Some(first)) => Ok(first),
        (None, None) if cfg!(feature = "remote") && !Backend::LOCAL.iter().any(Backend::is_built) => {
            backend_error("this build has only remote devices; name one, as in remote:HOST:PORT, or cpu".to_owned())
        }
        (None, None) => Ok(Backend::Cpu),
    }
}

fn backend_error<T>(backend_error: String) -> Result<T, Error> {
    Err(Error::Backend(backend_error))
}

/// Returns the device's name, if it has one.
#[cfg(feature = "burn")]
fn device_name(device: &Device) -> Option<String> {
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    return device.identity().map(|identity| identity.name);
    #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
    {
        let _ = device;
        None
    }
}

/// Opens a device and runs one computation on it. Returns the error message on failure. A GPU
/// runtime reports a missing driver by a panic, in its own thread or in this one.
#[cfg(any(feature = "cuda", feature = "wgpu", feature = "remote"))]
fn open_and_test(open: impl FnOnce() -> Result<Device, String>) -> Result<Device, String> {
    let opened = catch_panic(|| {
        let device = open()?;
        let two = Tensor::<1>::ones([2], &device).sum().try_into_vec_as::<f32>();
        match two.as_deref() {
            Ok([2.0]) => Ok(device),
            other => Err(format!("1 + 1 came out as {other:?}")),
        }
    });
    let backend_error = match opened {
        Ok(Ok(device)) => return Ok(device),
        Ok(Err(backend_error)) => backend_error,
        Err(panic) if panic.0.is_empty() => "no reason was given".to_owned(),
        Err(panic) => panic.0,
    };
    Err(backend_error.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The time limit for a connection. Burn retries for 16 seconds if nothing listens, and waits
/// forever if the listener does not answer.
#[cfg(feature = "remote")]
const CONNECT: std::time::Duration = std::time::Duration::from_secs(30);

/// Runs `f` in a new thread and waits for its result up to the limit.
#[cfg(feature = "remote")]
fn with_timeout<T: Send + 'static>(
    limit: std::time::Duration,
    f: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    // After a timeout the receiver is gone, and the result is dropped.
    std::thread::spawn(move || drop(sender.send(f())));
    receiver.recv_timeout(limit).unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}

/// Returns the error of a missing GPU.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn no_gpu(install: &str) -> impl Fn(String) -> Error {
    move |backend_error| {
        Error::Backend(format!(
            "no device was found ({backend_error}); {install}, or take another backend: --features ndarray or flex"
        ))
    }
}
