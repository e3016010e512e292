//! Whether a group is one user's alone.
//!
//! Many systems give each user a group of his own and let him create files that it may write to
//! (umask 002). Such a right is given to nobody else, and refusing it would refuse whatever such a
//! user builds.

use std::fs::File;
use std::io::{self, Read};

/// Largest user database that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Whether the group `gid` has no member but the user `own`, by the local user database alone.
/// What other databases know cannot be seen from here: a group that is not local is not private.
/// The group of root is never: `wheel` and its like have members.
pub(crate) fn is_private(own: u32, gid: u32) -> bool {
    let (Ok(users), Ok(groups)) = (read("/etc/passwd"), read("/etc/group")) else {
        return false;
    };
    own != 0 && judge(&users, &groups, own, gid)
}

/// Whether what a test makes may be written by its group: it is that of whoever runs the tests.
#[cfg(test)]
pub(crate) fn tester_has_private_group() -> bool {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    is_private(user.as_raw(), group.as_raw())
}

fn judge(users: &str, groups: &str, own: u32, gid: u32) -> bool {
    // name:password:uid:gid:…
    let mut primary = users.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let mut number = || fields.next()?.parse::<u32>().ok();
        Some((number()?, number()?)).filter(|(_, group)| *group == gid)
    });
    let alone = primary.next().is_some_and(|(uid, _)| uid == own) && primary.next().is_none();
    // name:password:gid:members
    let mut entries = groups.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let group = fields.next()?.parse::<u32>().ok()?;
        (group == gid).then(|| fields.next().unwrap_or_default().trim())
    });
    alone && entries.next().is_some_and(str::is_empty) && entries.next().is_none()
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let size = File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)?;
    if size as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n\
        bob:x:1001:100::/:/bin/sh\neve:x:1002:100::/:/bin/sh\ngus:x:1003:1003::/:/bin/sh\n";
    const GROUPS: &str = "root:x:0:\nada:x:1000:\nusers:x:100:\ngus:x:1003:eve\n";

    #[test]
    fn a_group_with_one_user_and_no_members_is_private_to_him() {
        assert!(judge(USERS, GROUPS, 1000, 1000));
        assert!(!judge(USERS, GROUPS, 1001, 1000));
    }

    #[test]
    fn a_group_with_others_in_it_is_not() {
        assert!(!judge(USERS, GROUPS, 1001, 100));
        assert!(!judge(USERS, GROUPS, 1003, 1003));
    }

    #[test]
    fn a_group_that_the_local_database_does_not_know_is_not() {
        assert!(!judge(USERS, GROUPS, 1000, 4242));
        assert!(!judge(USERS, "", 1000, 1000));
        assert!(!judge("", GROUPS, 1000, 1000));
        assert!(!judge("ada:x\n:::\n", "ada\n", 1000, 1000));
    }

    #[test]
    fn roots_group_never_is() {
        assert!(!is_private(0, 0));
    }
}
