//! Without the feature `live` a run is followed in lines.

use crate::{ProgressLines, Reporter, StopHandle};

pub(super) fn follower(_stop: StopHandle) -> Box<dyn Reporter> {
    Box::new(ProgressLines::stderr())
}

pub(super) fn is_shown() -> bool {
    false
}

pub(super) fn restore() {}
