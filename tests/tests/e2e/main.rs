//! Promises about the real daemon, its workers and its clients, from end to end.
#![forbid(unsafe_code)]

mod answers;
mod buffers;
mod clients;
mod daemons;
mod forged;
mod frames;
mod guests;
mod guides;
mod hostile_worker;
mod jail;
mod leaving;
mod limits;
mod modules;
mod processors;
mod restarted;
mod screen;
mod segments;
mod settings;
mod tuning;
mod verbs;
mod waiting;
