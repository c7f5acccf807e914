//! Doc tests of the Rust code in the pages of `docs`.

#[cfg(doctest)]
#[doc = include_str!("../../docs/library.md")]
struct Library;

#[cfg(doctest)]
#[doc = include_str!("../../docs/howto/gradcheck.md")]
struct GradientCheck;

#[cfg(doctest)]
#[doc = include_str!("../../docs/howto/own-loss.md")]
struct OwnLoss;

#[cfg(doctest)]
#[doc = include_str!("../../docs/howto/service.md")]
struct Service;
