//! What can go wrong, on three lines: what, why, what to do.

use std::path::PathBuf;

use coldshoe_control::Trouble;

/// Why there is no algorithm, or none any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "it was not started by libcamera\n  why: {0}\n  try: `coldshoe-libcamera` belongs to libcamera under the name NAME_ipa_proxy, in a directory of ipa.proxy_paths"
    )]
    Invocation(String),
    #[error(
        "no coldshoed at {}\n  why: {source}\n  try: start coldshoed; in a sandbox, give it that socket (Flatpak: --filesystem=xdg-run/coldshoe)", path.display()
    )]
    Unreachable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "no control socket to connect to\n  why: XDG_RUNTIME_DIR is not set, and there is no {}\n  try: start coldshoed; in a sandbox, give it that socket (Flatpak: --filesystem=xdg-run/coldshoe)",
        crate::daemon::SYSTEM
    )]
    NoSocket,
    #[error(
        "coldshoed does not start workers of libcamera's\n  why: it is of an older release\n  try: install coldshoed and coldshoe-libcamera of the same release"
    )]
    Older,
    #[error(
        "coldshoed cannot be understood\n  why: {0}\n  try: install coldshoed and coldshoe-libcamera of the same release, and see the daemon's log"
    )]
    Daemon(String),
    #[error(
        "coldshoed does not answer\n  why: it takes longer than an application waits\n  try: see the daemon's log"
    )]
    Patience,
    #[error("{}\n  why: {}\n  try: {}", .0.what, .0.why, .0.remedy)]
    Refused(Trouble),
    #[error(
        "the algorithm is gone, and cannot be replaced\n  why: {0}\n  try: start the application again, and see `coldshoectl libcamera status`"
    )]
    NotReplaced(String),
    #[error(
        "it cannot confine itself\n  why: {0}\n  try: see `coldshoectl check` for what this kernel can do"
    )]
    Seal(String),
    #[error(
        "the relay cannot go on\n  why: {0}\n  try: start the application again, and see the daemon's log"
    )]
    Relay(String),
}
