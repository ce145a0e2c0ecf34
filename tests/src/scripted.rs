//! A DNS server that does exactly what a test says, octet by octet: what BIND would never do.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record};

use crate::process::eventually;

/// A server on loopback, until the test's process ends.
#[derive(Clone, Debug)]
pub struct Scripted {
    address: SocketAddr,
    names: Arc<Mutex<Vec<String>>>,
}

/// A question that has come.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As it came.
    pub message: Message,
    /// How.
    pub over: Over,
    /// How often its name had been asked for before, in whatever way.
    pub before: usize,
}

/// The two ways to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// In a datagram.
    Udp,
    /// On a connection, behind a length.
    Tcp,
}

/// What the server does about a question, one after the other.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends these octets; over TCP, with their length before them.
    Say(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Ends the connection.
    HangUp,
}

// === impl Scripted ===

impl Scripted {
    /// A server that acts as `script` says, over UDP and TCP on the same port.
    pub fn start(script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let (listener, socket) = eventually("a port that is free for both", || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            let socket = UdpSocket::bind(listener.local_addr().ok()?).ok()?;
            Some((listener, socket))
        });
        let running = Running::on(socket, script);
        running.accept(listener);
        running.server
    }

    /// A server as [`Scripted::start`] makes one, on whose port TCP is refused.
    pub fn without_tcp(script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::on(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"), script)
    }

    /// The same on a socket that is there.
    pub fn on(socket: UdpSocket, script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Running::on(socket, script).server
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often a name has been asked for.
    pub fn asked(&self, name: &str) -> usize {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().filter(|asked| asked.eq_ignore_ascii_case(name)).count()
    }
}

/// A server with what it does.
#[derive(Clone)]
struct Running {
    server: Scripted,
    script: Script,
}

type Script = Arc<dyn Fn(&Asked) -> Vec<Act> + Send + Sync>;

impl Running {
    fn on(socket: UdpSocket, script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let address = socket.local_addr().expect("its address");
        let server = Scripted { address, names: Arc::default() };
        let running = Self { server, script: Arc::new(script) };
        let answering = running.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let question = buffer.get(..length).expect("what was received").to_vec();
                let (answering, socket) = (answering.clone(), socket.try_clone().expect("the socket"));
                // Each by itself, so that one that is late holds up no other.
                thread::spawn(move || {
                    let say = |octets: &[u8]| socket.send_to(octets, from).map(drop);
                    // Whoever asked may have gone.
                    answering.act(&question, Over::Udp, say).ok();
                });
            }
        });
        running
    }

    /// Acts by `say`. An error is the end of the connection.
    #[allow(clippy::disallowed_methods, reason = "that a server is late is not a guess here")]
    fn act(
        &self,
        question: &[u8],
        over: Over,
        mut say: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let message = Message::from_vec(question).expect("a question is a DNS message");
        let name = message.queries.first().expect("a question").name().to_ascii();
        let before = self.server.asked(&name);
        self.server.names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        for act in (self.script)(&Asked { message, over, before }) {
            match act {
                Act::Say(octets) => say(&octets)?,
                Act::Pause(time) => thread::sleep(time),
                Act::HangUp => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        Ok(())
    }

    fn accept(&self, listener: TcpListener) {
        let running = self.clone();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let running = running.clone();
                thread::spawn(move || running.converse(stream));
            }
        });
    }

    /// Ends when either side does.
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut question)?;
            self.act(&question, Over::Tcp, |octets| {
                let length = u16::try_from(octets.len()).expect("its length").to_be_bytes();
                stream.write_all(&[&length, octets].concat())
            })?;
        }
    }
}

// === impl Asked ===

impl Asked {
    /// An answer without records.
    pub fn empty(&self) -> Message {
        let mut answer = self.message.clone();
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.response_code = ResponseCode::NoError;
        answer.metadata.recursion_available = true;
        answer
    }

    /// The answer that `owner` has one SRV record, of 60 seconds.
    pub fn srv(&self, owner: &str, target: &str) -> Message {
        let name = |text| Name::from_ascii(text).expect("a name");
        let data = RData::SRV(SRV::new(10, 5, 443, name(target)));
        let mut answer = self.empty();
        answer.add_answer(Record::from_rdata(name(owner), 60, data));
        answer
    }
}

/// Sends this message.
pub fn say(message: &Message) -> Vec<Act> {
    vec![Act::Say(message.to_vec().expect("a message"))]
}
