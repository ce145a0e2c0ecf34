//! The path between those who ask and BIND: passes on, or lets the forger change what comes back.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

use fedgate_tests::process::eventually;
use hickory_proto::op::Message;
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};

use crate::forger::{Forgery, Scene, Told};

/// What stands between those who ask and BIND.
#[derive(Clone)]
pub(crate) struct Path {
    pub(crate) address: SocketAddr,
    server: SocketAddr,
    forgery: Arc<Mutex<Option<&'static Forgery>>>,
    told: Arc<Told>,
}

impl Path {
    /// Listens, by UDP and TCP; ends with the test's process.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let (listener, socket) = eventually("a port", || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let socket = UdpSocket::bind(listener.local_addr().unwrap()).ok()?;
            Some((listener, socket))
        });
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(BTreeMap::new()));
        let path = Self { address, server, forgery: Arc::default(), told };
        for _ in 0..8 {
            let (socket, path) = (socket.try_clone().unwrap(), path.clone());
            std::thread::spawn(move || {
                let mut buffer = vec![0; 65_535];
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let question = &buffer[..length];
                    if let Some(answer) = over_udp(server, question) {
                        // Whoever asked may have gone.
                        let _ = socket.send_to(&path.pass(question, answer), from);
                    }
                }
            });
        }
        let accepting = path.clone();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let path = accepting.clone();
                std::thread::spawn(move || {
                    while let Some(question) = read(&mut stream) {
                        let mut upstream = TcpStream::connect(server).unwrap();
                        let answer = write(&mut upstream, &question).and_then(|()| read(&mut upstream));
                        let Some(answer) = answer else { break };
                        write(&mut stream, &path.pass(&question, answer));
                    }
                });
            }
        });
        path
    }

    /// From now on, forges in this way, or not at all.
    pub(crate) fn set(&self, forgery: Option<&'static Forgery>) {
        *self.forgery.lock().unwrap() = forgery;
    }

    /// Passes an answer on, or what the forger makes of it.
    fn pass(&self, question: &[u8], answer: Vec<u8>) -> Vec<u8> {
        let Some(forgery) = *self.forgery.lock().unwrap() else { return answer };
        let (Ok(question), Ok(mut message)) =
            (Message::from_bytes(question), Message::from_bytes(&answer))
        else {
            return answer;
        };
        let scene = Scene::of(self.server, &question.queries[0], &self.told);
        let Some(scene) = scene.filter(|_| !message.metadata.truncation) else { return answer };
        (forgery.forge)(&scene, &mut message);
        message.to_bytes().unwrap()
    }
}

fn over_udp(server: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    socket.send_to(bytes, server).ok()?;
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

/// Reads a message over TCP.
pub(crate) fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// Writes a message over TCP.
pub(crate) fn write(stream: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], bytes].concat()).ok()
}
