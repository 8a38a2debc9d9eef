use std::sync::Arc;

use offgridflow_profile::Access;

use super::Doors;

/// Who may take profiles: administrators; without keys this machine.
pub(crate) fn access(doors: Arc<Doors>) -> Access {
    Access::by(move |parts| doors.admin(parts).map_err(|refused| refused.status()))
}
