//! Promises about the real daemon, its workers and its clients, from end to end.
#![forbid(unsafe_code)]

mod answers;
mod clients;
mod daemons;
mod forged;
mod frames;
mod jail;
mod leaving;
mod limits;
mod modules;
mod segments;
mod tuning;
mod verbs;
