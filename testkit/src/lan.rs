use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::server::output;
use crate::{Error, binary};

/// The network's own side of every cable, and the first three numbers of every address.
const NETWORK: [u8; 3] = [10, 77, 0];
const HUB: &str = "hub";
const BRIDGE: &str = "lan";
/// A host's own side of its cable.
const CABLE: &str = "eth0";
/// How long a process may take to leave the namespace that it was born in.
const UNSHARED_WITHIN: Duration = Duration::from_secs(5);
/// How long a new cable may take to carry what is sent.
const REACHED_WITHIN: Duration = Duration::from_secs(5);

/// A host that shares this machine's files and processes, and has a network of its own: a network namespace. It is gone with its last handle and
/// the last process in it.
#[derive(Debug, Clone)]
pub struct Host {
    name: String,
    addr: Ipv4Addr,
    space: Arc<File>,
}

impl Host {
    fn start(name: &str, number: u8) -> Result<Self, Error> {
        let [a, b, c] = NETWORK;
        let host =
            Self { name: name.to_owned(), addr: Ipv4Addr::new(a, b, c, number), space: Arc::new(fresh()?) };
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> Ipv4Addr {
        self.addr
    }

    /// Does something on a thread that is on this host; so are the processes, threads and sockets that it makes.
    ///
    /// # Panics
    /// When `work` does, or the system refuses.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let there = || {
            move_into_link_name_space(self.space.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("a thread moves to a host that was made here");
            work()
        };
        thread::scope(|scope| scope.spawn(there).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn ip(&self, arguments: &str) -> Result<String, Error> {
        self.tool("ip", "iproute2", arguments)
    }

    fn tool(&self, program: &'static str, package: &'static str, arguments: &str) -> Result<String, Error> {
        let path = binary::find(program, package)?;
        self.run(|| output(program, Command::new(path).args(arguments.split(' '))))
    }
}

/// A network namespace that nobody is in.
fn fresh() -> Result<File, Error> {
    let here = space_of("self").map_err(Error::io("look at the network namespace"))?;
    let mut keeper = Command::new(binary::find("unshare", "util-linux")?)
        .args(["--net", "sleep", "60"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io("make a network namespace"))?;
    let pid = keeper.id().to_string();
    let began = Instant::now();
    let space = loop {
        if space_of(&pid).is_ok_and(|there| there != here) {
            break File::open(format!("/proc/{pid}/ns/net")).map_err(Error::io("open a network namespace"));
        }
        let ended = keeper.try_wait().map_err(Error::io("make a network namespace"))?.is_some();
        if ended || began.elapsed() > UNSHARED_WITHIN {
            let mut said = String::new();
            if let Some(mut stderr) = keeper.stderr.take().filter(|_| ended) {
                let _ = std::io::Read::read_to_string(&mut stderr, &mut said);
            }
            break Err(Error::NoNamespaces { message: said.trim().to_owned() });
        }
        thread::sleep(Duration::from_millis(1));
    };
    let _ = keeper.kill();
    let _ = keeper.wait();
    space
}

/// Waits until a new cable carries what is sent: a port where nobody listens refuses at once.
fn reach(from: &Host, to: &Host) -> Result<(), Error> {
    let nobody = SocketAddr::from((to.addr, 9));
    let began = Instant::now();
    from.run(|| {
        loop {
            match TcpStream::connect_timeout(&nobody, Duration::from_millis(50)) {
                Err(error) if error.kind() != ErrorKind::ConnectionRefused => {
                    if began.elapsed() > REACHED_WITHIN {
                        return Err(Error::io("reach a host by its new cable")(error));
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                _ => return Ok(()),
            }
        }
    })
}

fn space_of(pid: &str) -> std::io::Result<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/net"))
}

/// How a network is made worse than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Weather {
    /// Whether `tc netem` holds packets back; where the kernel lacks it, a [`FaultProxy`](crate::FaultProxy) has to.
    pub delays: bool,
    /// Whether packets are lost: by `tc netem`, else by `iptables`.
    pub loses: bool,
}

/// Hosts on one network in this machine, each at a cable of its own to one switch. Needs the right to make network namespaces.
#[derive(Debug)]
pub struct Lan {
    hub: Host,
    hosts: Vec<Host>,
}

impl Lan {
    /// Hosts of these names, and one for whoever stands outside, the [hub](Self::hub).
    ///
    /// # Errors
    /// [`Error::NoNamespaces`] where this user may not make them; a tool that is missing or fails.
    ///
    /// # Panics
    /// With more than 250 names.
    pub fn start(names: &[&str]) -> Result<Self, Error> {
        let hub = Host::start(HUB, 1)?;
        hub.ip(&format!("link add {BRIDGE} type bridge"))?;
        hub.ip(&format!("addr add {}/24 dev {BRIDGE}", hub.addr))?;
        hub.ip(&format!("link set {BRIDGE} up"))?;
        let mut lan = Self { hub, hosts: Vec::new() };
        for (name, number) in names.iter().zip(2..=251) {
            lan.join(Host::start(name, number)?)?;
        }
        assert_eq!(lan.hosts.len(), names.len(), "too many hosts");
        Ok(lan)
    }

    fn join(&mut self, host: Host) -> Result<(), Error> {
        let (hub, port) = (&self.hub, port_of(&host));
        let space = format!("/proc/{}/fd/{}", std::process::id(), host.space.as_raw_fd());
        hub.ip(&format!("link add {port} type veth peer name {CABLE} netns {space}"))?;
        hub.ip(&format!("link set {port} master {BRIDGE}"))?;
        hub.ip(&format!("link set {port} up"))?;
        host.ip(&format!("addr add {}/24 dev {CABLE}", host.addr))?;
        host.ip(&format!("link set {CABLE} up"))?;
        reach(&host, hub)?;
        self.hosts.push(host);
        Ok(())
    }

    /// The host of clients and tests.
    #[must_use]
    pub fn hub(&self) -> &Host {
        &self.hub
    }

    /// The host of that name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn host(&self, name: &str) -> &Host {
        let all = self.hosts.iter().chain([&self.hub]);
        all.into_iter().find(|host| host.name == name).unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// Pulls a host's cable: what is sent to it or by it is gone, and nobody is told.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn unplug(&self, name: &str) -> Result<(), Error> {
        self.hub.ip(&format!("link set {} down", port_of(self.host(name)))).map(drop)
    }

    /// Ends an [`unplug`](Self::unplug).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn plug(&self, name: &str) -> Result<(), Error> {
        self.hub.ip(&format!("link set {} up", port_of(self.host(name)))).map(drop)
    }

    /// What one host sends to another is gone; the other way it arrives: requests are acted on, and their answers lost.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn lose(&self, from: &str, to: &str) -> Result<(), Error> {
        self.host(from).ip(&format!("route add blackhole {}/32", self.host(to).addr)).map(drop)
    }

    /// Ends a [`lose`](Self::lose).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn find(&self, from: &str, to: &str) -> Result<(), Error> {
        self.host(from).ip(&format!("route del blackhole {}/32", self.host(to).addr)).map(drop)
    }

    /// Holds back what arrives at hosts from hosts, and loses some of it, as far as this machine can.
    ///
    /// # Errors
    /// When what worked on one host does not on another.
    pub fn worsen(&self, one_way: Duration, lost_percent: u8) -> Result<Weather, Error> {
        let netem =
            format!("qdisc add dev {CABLE} root netem delay {}us loss {lost_percent}%", one_way.as_micros());
        // Clients are no part of the network that is worsened.
        let drop = format!(
            "-A INPUT -i {CABLE} ! -s {} -m statistic --mode random --probability 0.{lost_percent:02} -j DROP",
            self.hub.addr
        );
        let mut weather = Weather { delays: true, loses: true };
        for (nth, host) in self.hosts.iter().enumerate() {
            if weather.delays {
                match host.tool("tc", "iproute2", &netem) {
                    Ok(_) => continue,
                    Err(_) if nth == 0 => weather.delays = false,
                    Err(error) => return Err(error),
                }
            }
            if weather.loses {
                match host.tool("iptables", "iptables", &drop) {
                    Ok(_) => {}
                    Err(_) if nth == 0 => weather.loses = false,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(weather)
    }
}

/// The network's side of a host's cable.
fn port_of(host: &Host) -> String {
    format!("port{}", host.addr.octets()[3])
}
