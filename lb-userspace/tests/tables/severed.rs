//! UDP sockets whose endpoint left: closed wherever a process of the cgroup lives.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Lines},
    net::{SocketAddr, UdpSocket},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use lb_userspace::kernel::sockets;
use nix::sched::{CloneFlags, unshare};

use crate::room::Cgroup;

const GONE: &str = "192.0.2.9:53";
const STAYS: &str = "192.0.2.8:53";

/// Closes from a thread of its own, in this thread's namespace, as the agent does.
fn close(cgroup: &Cgroup) -> usize {
    let peers: BTreeSet<SocketAddr> = [GONE.parse().unwrap()].into();
    thread::scope(|scope| {
        scope.spawn(|| sockets::close_udp(&peers, cgroup.path()).unwrap()).join().unwrap()
    })
}

#[test]
fn only_sockets_connected_to_the_endpoint_are_closed() {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success());
        let route = ["route", "add", "local", "192.0.2.0/24", "dev", "lo"];
        assert!(Command::new("ip").args(route).status().unwrap().success());
        let connected = |local: &str, peer: &str| {
            let socket = UdpSocket::bind(local).unwrap();
            socket.connect(peer).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            socket
        };
        let mapped = |peer: &str| format!("[::ffff:{}", peer.replace(':', "]:"));
        let gone = [connected("0.0.0.0:0", GONE), connected("[::]:0", &mapped(GONE))];
        let stays = [connected("0.0.0.0:0", STAYS), connected("[::]:0", &mapped(STAYS))];
        let cgroup = Cgroup::new("sockets");
        assert_eq!(close(&cgroup), 2);
        for socket in gone {
            let error = socket.recv(&mut [0; 1]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ECONNABORTED));
        }
        for socket in stays {
            let error = socket.recv(&mut [0; 1]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        }
        assert_eq!(close(&cgroup), 0);
    };
    thread::spawn(run).join().unwrap();
}

/// A process in a network namespace of its own, that waits for a datagram from the endpoint.
struct Pod(Child);

impl Pod {
    fn start() -> (Self, Lines<BufReader<ChildStdout>>) {
        let script = format!(
            "ip link set lo up; ip route add local 192.0.2.0/24 dev lo; \
             exec 3<>/dev/udp/{}; echo waiting; read -u 3 line || echo ended",
            GONE.replace(':', "/")
        );
        let mut child = Command::new("unshare")
            .args(["--net", "bash", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self(child), lines)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

#[test]
fn namespaces_of_processes_in_the_cgroup_are_served_too() {
    let cgroup = Cgroup::new("namespaces");
    {
        let (pod, mut lines) = Pod::start();
        assert_eq!(lines.next().unwrap().unwrap(), "waiting");
        assert_eq!(close(&cgroup), 0, "not in the cgroup yet");
        fs::write(cgroup.path().join("cgroup.procs"), pod.0.id().to_string()).unwrap();
        assert_eq!(close(&cgroup), 1);
        assert_eq!(lines.next().unwrap().unwrap(), "ended");
    }
}
