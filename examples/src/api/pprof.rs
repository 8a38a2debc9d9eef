use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use offgridflow_profile::Access;

use super::Keys;

/// Who may take profiles: with keys whoever has one, without only this machine.
pub(crate) fn access(keys: Keys) -> Access {
    if keys.is_empty() {
        let peer = |ConnectInfo(peer): &ConnectInfo<SocketAddr>| peer.ip();
        return Access::loopback(move |parts| parts.extensions.get().map(peer));
    }
    Access::by(move |parts| match keys.tenant_by_header(&parts.headers) {
        Some(_) => Ok(()),
        None => Err(StatusCode::UNAUTHORIZED),
    })
}
