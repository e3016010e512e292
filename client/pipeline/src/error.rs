//! What can go wrong on this side of the wall.

use std::io;
use std::path::PathBuf;

use crate::WhySkipped;
use coldshoe_contract::ContractError;
use coldshoe_control::{RecvError, SendError, Trouble};
use coldshoe_frame::{GeometryError, SegmentError};

/// Why a session cannot be opened, ordered about or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No daemon there.
    #[error(
        "no coldshoed at {}\n  why: {source}\n  try: start coldshoed, or name its control socket", path.display()
    )]
    Unreachable {
        /// The control socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Nobody said where the daemon is.
    #[error(
        "no control socket to connect to\n  why: neither XDG_RUNTIME_DIR is set nor is there a /run/coldshoe/control.sock\n  try: start coldshoed, or name its control socket"
    )]
    NoSocket,
    /// The daemon refused, or its worker failed.
    #[error(transparent)]
    Refused(#[from] Trouble),
    /// The sizes that were asked for cannot be.
    #[error("the session's sizes are out of bounds\n  why: {0}\n  try: sizes within the limits")]
    Geometry(#[from] GeometryError),
    /// The parameters' format has no contract.
    #[error(
        "nobody knows what parameters may say\n  why: {0}\n  try: a format with a contract, or give the session the text of one"
    )]
    Contract(#[from] ContractError),
    /// The sensor cannot be as described.
    #[error(
        "the sensor cannot be as described\n  why: {0}\n  try: what its driver says of the mode"
    )]
    Sensor(String),
    /// A segment cannot be made or mapped.
    #[error("no shared memory for the session\n  why: {0}\n  try: free memory or descriptors")]
    Segment(#[from] SegmentError),
    /// A request cannot be sent, or holds what the daemon would refuse.
    #[error("the request was not sent\n  why: {cause}\n  try: {way_out}", cause = .0, way_out = way_out(.0))]
    Send(#[from] SendError),
    /// Nothing can be watched.
    #[error(
        "the session cannot be watched\n  why: {0}\n  try: close descriptors, or wait for each frame instead"
    )]
    Watch(#[source] io::Error),
    /// The daemon's answer cannot be read.
    #[error("the daemon's answer was not read\n  why: {0}\n  try: open the session again")]
    Recv(#[from] RecvError),
    /// The daemon takes too long.
    #[error(
        "the daemon did not answer {0}\n  why: it took longer than {1} s\n  try: see its log, or restart it"
    )]
    Late(&'static str, u64),
    /// The daemon answered something else.
    #[error(
        "the daemon answered {0} with {1}\n  why: the two do not speak the same protocol\n  try: install client library and daemon of the same release"
    )]
    Unexpected(&'static str, &'static str),
}

fn way_out(error: &SendError) -> &'static str {
    match error {
        SendError::Encode(_) => "give it a value within its limits",
        _ => "open the session again",
    }
}

/// Why a frame was not submitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// There is no slot for it: the pipeline goes on with the last parameters. Only from
    /// [`Session::statistics`](crate::Session::statistics); elsewhere it is an
    /// [`Outcome::Skipped`](crate::Outcome::Skipped).
    #[error(
        "the frame was not submitted\n  why: {0}\n  try: go on with the last parameters; open the session with more slots"
    )]
    Skipped(WhySkipped),
    /// The statistics do not fit.
    #[error(
        "the statistics were not written\n  why: {len} bytes do not fit a slot of {capacity}\n  try: open the session with a larger stats_capacity"
    )]
    TooLarge {
        /// Bytes.
        len: usize,
        /// Room.
        capacity: usize,
    },
    /// The offset is not a multiple of 16.
    #[error(
        "the statistics were not written\n  why: the offset {0} is not a multiple of 16\n  try: write from aligned offsets"
    )]
    Unaligned(usize),
    /// The session has not been started.
    #[error(
        "the frame was not submitted\n  why: the session is not started\n  try: configure it, then start it"
    )]
    NotStarted,
    /// The session was opened without such a buffer.
    #[error(
        "the frame was not submitted\n  why: the session has no buffer {0}\n  try: open the session with its buffers"
    )]
    NoSuchBuffer(u32),
}
