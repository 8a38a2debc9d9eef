//! What an exchange costs on this machine, found out without the target.

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::oneshot,
    task::LocalSet,
};

use super::HttpTarget;
use crate::calibrate::rehearse;

/// How long, and on how many connections.
const SPAN: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = 8;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// CPU time of one exchange on the thread that sends, the engine's part included, by asking a server within this process
/// that does nothing. `None` if this machine has no loopback.
pub(super) fn cost() -> Option<Duration> {
    let (_end, ended) = oneshot::channel();
    let address = serve(ended).ok()?;
    let twin = Arc::new(HttpTarget::new(&format!("http://{address}")).ok()?);
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(rehearse(twin, CONNECTIONS, SPAN)).map(|rehearsed| rehearsed.each)
}

/// Answers whoever connects, on a thread of its own, until `ended`.
fn serve(ended: oneshot::Receiver<()>) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let serving = async move {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(answer(stream));
        }
    };
    let body = move || {
        let until_ended = async {
            tokio::select! {
                () = serving => {}
                _ = ended => {}
            }
        };
        LocalSet::new().block_on(&runtime, until_ended);
    };
    thread::Builder::new().name("load-null-server".into()).spawn(body)?;
    Ok(address)
}

/// One answer to each request, all of which fit one read.
async fn answer(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 4_096];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => drop(stream.try_write(ANSWER)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
