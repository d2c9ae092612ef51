//! The step between a fork and a program: asks the system to end this process when its parent
//! ends, then becomes the program. The program keeps the process id.
//!
//! A process cannot be told so from outside, and no program of others does it by itself.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes `program` as a child that dies with `parent`; returns only if it cannot.
///
/// On systems other than Linux the child is ended by its parent's clean-up alone.
#[must_use]
pub fn become_child(parent: u32, program: &OsString, arguments: &[OsString]) -> io::Error {
    match die_with(parent) {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    }
}

#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before the signal was asked for.
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::other(
            "the process that started this one has ended",
        ))
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with(_parent: u32) -> io::Result<()> {
    Ok(())
}
