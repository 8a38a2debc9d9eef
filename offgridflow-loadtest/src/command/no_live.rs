//! Without the feature `live` a run is followed in lines.

use std::net::SocketAddr;

use crate::{Control, ProgressLines, Reporter, StopHandle};

pub(super) fn follower(_stop: StopHandle, _control: Option<(Control, SocketAddr)>) -> Box<dyn Reporter> {
    Box::new(ProgressLines::stderr())
}

pub(super) fn is_shown() -> bool {
    false
}

pub(super) fn restore() {}
