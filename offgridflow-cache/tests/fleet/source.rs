//! The source that all processes read and write: versions, kept by the process that plays the fleet and told over a socket.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::plan::KEYS;
use crate::record::now;

const READ: u8 = b'r';
const WRITE: u8 = b'w';
const LOCK: u8 = b'l';

/// A version that was written, by whom and when: it was there after `at`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) by: usize,
    pub(crate) key: u64,
    pub(crate) version: u64,
    pub(crate) at: u64,
}

/// Who has it can stop it: connections end with their clients.
pub(crate) struct Source {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    versions: Mutex<(Vec<u64>, Vec<Written>)>,
    writers: Vec<Mutex<()>>, // who puts a key writes it alone
    over: Mutex<bool>,
}

impl Source {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let keys = usize::try_from(KEYS).unwrap();
        let shared = Arc::new(Shared {
            versions: Mutex::new((vec![1; keys], Vec::new())),
            writers: (0..KEYS).map(|_| Mutex::default()).collect(),
            over: Mutex::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if *serving.over.lock().unwrap() {
                    return;
                }
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(stream)); // ends with its client
            }
        });
        Self { addr, shared }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn written(&self) -> Vec<Written> {
        self.shared.versions.lock().unwrap().1.clone()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        *self.shared.over.lock().unwrap() = true;
        let _ = TcpStream::connect(self.addr); // so that the listener sees it
    }
}

impl Shared {
    /// Answers until the client is gone.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut by = [0; 1];
        stream.read_exact(&mut by)?;
        let (mut alone, mut request) = (None, [0; 2]);
        loop {
            stream.read_exact(&mut request)?;
            let [what, key] = request;
            let index = usize::from(key);
            let version = match what {
                READ => self.versions.lock().unwrap().0[index],
                LOCK => {
                    alone = Some(self.writers[index].lock().unwrap());
                    0
                }
                _ if alone.is_some() => self.write(by[0], index),
                _ => {
                    let _alone = self.writers[index].lock().unwrap();
                    self.write(by[0], index)
                }
            };
            stream.write_all(&version.to_be_bytes())?;
        }
    }

    fn write(&self, by: u8, index: usize) -> u64 {
        let mut versions = self.versions.lock().unwrap();
        let at = now(); // nobody can see the version yet
        versions.0[index] += 1;
        let version = versions.0[index];
        versions.1.push(Written { by: by.into(), key: index as u64, version, at });
        version
    }
}

/// A process's way to the source.
pub(crate) struct Client {
    addr: SocketAddr,
    node: u8,
    idle: Mutex<Vec<tokio::net::TcpStream>>,
}

/// The right to write a key alone, until it is dropped.
pub(crate) struct Alone(tokio::net::TcpStream, u8);

impl Client {
    pub(crate) fn new(addr: SocketAddr, node: usize) -> Self {
        Self { addr, node: u8::try_from(node).unwrap(), idle: Mutex::default() }
    }

    pub(crate) async fn read(&self, key: u64) -> io::Result<u64> {
        self.ask(READ, key).await
    }

    pub(crate) async fn write(&self, key: u64) -> io::Result<u64> {
        self.ask(WRITE, key).await
    }

    pub(crate) async fn alone(&self, key: u64) -> io::Result<Alone> {
        let mut alone = Alone(self.connect().await?, u8::try_from(key).unwrap());
        ask(&mut alone.0, LOCK, alone.1).await?;
        Ok(alone)
    }

    async fn connect(&self) -> io::Result<tokio::net::TcpStream> {
        let mut stream = tokio::net::TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&[self.node]).await?;
        Ok(stream)
    }

    /// Whoever goes away takes the connection along.
    async fn ask(&self, what: u8, key: u64) -> io::Result<u64> {
        let idle = self.idle.lock().unwrap().pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let answer = ask(&mut stream, what, u8::try_from(key).unwrap()).await?;
        self.idle.lock().unwrap().push(stream);
        Ok(answer)
    }
}

impl Alone {
    pub(crate) async fn write(&mut self) -> io::Result<u64> {
        ask(&mut self.0, WRITE, self.1).await
    }
}

async fn ask(stream: &mut tokio::net::TcpStream, what: u8, key: u8) -> io::Result<u64> {
    stream.write_all(&[what, key]).await?;
    stream.read_u64().await
}
