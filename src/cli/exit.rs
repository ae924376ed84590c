//! How the process ends, as `sysexits.h` has it: a supervisor starts again after 75, not after 78.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It could not, and says why.
    Failed,
    /// It could not now; starting again may help (a broker is away).
    Temporary,
    /// The configuration, or what it is used on, must change first.
    Configuration,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Temporary => 75,
            Exit::Configuration => 78,
        }
    }
}

impl Exit {
    /// The exit for a code of this table; any other is a failure.
    #[must_use]
    pub(super) fn of_code(code: u8) -> Exit {
        [Exit::Done, Exit::Temporary, Exit::Configuration]
            .into_iter()
            .find(|exit| exit.code() == code)
            .unwrap_or(Exit::Failed)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
