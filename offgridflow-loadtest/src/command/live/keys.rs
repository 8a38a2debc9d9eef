//! What keys ask for.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::{Control, RunState};

/// How much faster, or slower, a key makes a run.
const STEP: f64 = 1.1;
/// Who it was, in the report.
const BY: &str = "the terminal";

/// What somebody at the terminal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    End,
    PauseOrResume,
    Faster,
    Slower,
}

pub(super) fn asked(event: &Event) -> Option<Asked> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return None };
    match code {
        KeyCode::Char('q') => Some(Asked::End),
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL).then_some(Asked::End),
        KeyCode::Char('p') => Some(Asked::PauseOrResume),
        KeyCode::Char('+') => Some(Asked::Faster),
        KeyCode::Char('-') => Some(Asked::Slower),
        _ => None,
    }
}

/// Does what steers the run; what was refused is said.
pub(super) fn obey(asked: Asked, control: &Control) -> Option<String> {
    let done = match asked {
        Asked::End => return None,
        Asked::PauseOrResume if control.standing().state == RunState::Paused => control.resume(BY, ""),
        Asked::PauseOrResume => control.pause(BY, ""),
        Asked::Faster => control.scale_rate(STEP, BY, ""),
        Asked::Slower => control.scale_rate(STEP.recip(), BY, ""),
    };
    done.err().map(|refused| refused.to_string())
}
