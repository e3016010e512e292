//! Rows 1 to 6: files, devices, and what their existence tells.

use crate::need;
use crate::probe::Expect::AnyErrno;
use crate::probe::Phase::Load;
use crate::probe::errno::{EACCES, ENOENT, ENOSYS};
use crate::probe::{Row, expect, killed, refused};

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 1,
        attempt: "open files, other processes' memory, devices",
        probes: &[
            refused("open_passwd", EACCES),
            refused("open_root", EACCES),
            refused("open_parent_mem", EACCES).host(&["victim"]),
            refused("open_parent_environ", EACCES).host(&["victim"]),
            refused("open_own_maps", EACCES),
            refused("open_sys", EACCES),
            refused("open_dev", EACCES),
            refused("open_device", EACCES),
            refused("open_video", EACCES).needs(need::VIDEO),
            refused("open_media", EACCES).needs(need::MEDIA),
            refused("open_dri", EACCES).needs(need::GPU),
            refused("open_mem", EACCES).needs(need::MEM),
            killed("open_through_openat2", "openat2"),
            refused("open_the_old_way", EACCES),
            // While loading the call passes, and the file system and Landlock answer.
            expect("open_passwd", AnyErrno(&[EACCES, ENOENT])).at(Load),
            expect("open_root", AnyErrno(&[EACCES])).at(Load),
            expect("open_parent_mem", AnyErrno(&[EACCES, ENOENT]))
                .at(Load)
                .host(&["victim"]),
            expect("open_own_maps", AnyErrno(&[EACCES, ENOENT])).at(Load),
            expect("open_sys", AnyErrno(&[EACCES, ENOENT])).at(Load),
            expect("open_device", AnyErrno(&[EACCES, ENOENT])).at(Load),
            refused("open_the_old_way", EACCES).at(Load),
        ],
    },
    Row {
        number: 2,
        attempt: "rewrite own code through /proc/self/mem",
        probes: &[
            refused("rewrite_own_code", EACCES),
            // Opening for writing is not among what loading needs.
            killed("rewrite_own_code", "openat").at(Load),
        ],
    },
    Row {
        number: 3,
        attempt: "create, make, remove, truncate, rename",
        probes: &[
            refused("create_file", EACCES),
            refused("create_unnamed", EACCES),
            killed("create_file", "openat").at(Load),
            killed("create_unnamed", "openat").at(Load),
            killed("make_directory", "mkdirat"),
            killed("make_symlink", "symlinkat"),
            killed("make_link", "linkat"),
            killed("unlink_file", "unlinkat"),
            killed("truncate_file", "truncate"),
            killed("rename_file", "renameat2"),
            killed("make_fifo", "mknodat"),
            killed("make_directory", "mkdirat").at(Load),
            killed("unlink_file", "unlinkat").at(Load),
        ],
    },
    Row {
        number: 4,
        attempt: "change and watch files",
        probes: &[
            killed("change_mode", "fchmodat"),
            killed("change_owner", "fchownat"),
            killed("set_attribute", "setxattr"),
            killed("read_attribute", "listxattr"),
            killed("set_times", "utimensat"),
            killed("change_directory", "chdir"),
            killed("look_at_file_system", "statfs"),
            killed("watch_files", "inotify_init1"),
            killed("change_directory", "chdir").at(Load),
        ],
    },
    Row {
        number: 5,
        attempt: "existence as an oracle",
        probes: &[
            refused("stat_oracle", EACCES),
            refused("statx_oracle", ENOSYS),
            refused("access_oracle", EACCES),
            refused("readlink_oracle", EACCES),
            killed("stat_the_old_way", "stat"),
            killed("lstat_the_old_way", "lstat"),
            refused("faccessat_oracle", EACCES),
            refused("faccessat2_oracle", EACCES),
            refused("readlinkat_oracle", EACCES),
            refused("where_am_i", EACCES),
            // While loading the calls pass: there is nothing to see.
            refused("stat_oracle", ENOENT).at(Load),
            refused("statx_oracle", ENOENT).at(Load),
            refused("access_oracle", ENOENT).at(Load),
            refused("readlink_oracle", ENOENT).at(Load),
        ],
    },
    Row {
        number: 6,
        attempt: "file handles, fanotify",
        probes: &[
            killed("file_handle", "name_to_handle_at"),
            killed("fanotify", "fanotify_init"),
        ],
    },
];
