//! What the pages in `docs` show in Rust: their doc tests.

#[cfg(doctest)]
#[doc = include_str!("../../docs/library.md")]
struct Library;

#[cfg(doctest)]
#[doc = include_str!("../../docs/howto/gradcheck.md")]
struct GradientCheck;

#[cfg(doctest)]
#[doc = include_str!("../../docs/howto/own-loss.md")]
struct OwnLoss;
