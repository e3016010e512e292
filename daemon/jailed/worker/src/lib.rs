//! What the worker reads of a module before it calls it.
//!
//! The worker itself is the program of this package; here is what can be looked at without a jail.

#[doc(hidden)]
pub mod fuzz;
pub mod table;
