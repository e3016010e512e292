//! Promises about the C library: installed as `make install` does, compiled against as its users do,
//! run against the real daemon.
#![forbid(unsafe_code)]

mod calls;
mod examples;
mod installed;
mod symbols;
