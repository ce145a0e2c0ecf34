//! The race and its servers, against sockets on loopback that answer as each test says.

use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{MessageType, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::BinEncodable as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

fn query() -> Query {
    Query::query(Name::from_ascii("_x._tcp.a.com.").unwrap(), RecordType::SRV)
}

/// A server that answers each datagram with what `script` makes of its number and the question in it,
/// after a while. Returns also how many have come.
async fn scripted<F>(script: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(usize, Message) -> Option<(Duration, Message)> + Send + 'static,
{
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let Some((after, answer)) = script(number, Message::from_vec(&buffer[..length]).unwrap())
            else {
                continue;
            };
            let socket = socket.clone();
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                socket.send_to(&answer.to_bytes().unwrap(), from).await.unwrap();
            });
        }
    });
    (address, asked)
}

fn response(mut question: Message, code: u16) -> Message {
    question.metadata.message_type = MessageType::Response;
    question.metadata.response_code = code_of(code);
    if code > 15 {
        question.edns.get_or_insert_default();
    }
    question
}

fn code_of(number: u16) -> ResponseCode {
    ResponseCode::from(u8::try_from(number >> 4).unwrap(), u8::try_from(number & 15).unwrap())
}

fn at_once(answer: Message) -> (Duration, Message) {
    (Duration::ZERO, answer)
}

async fn live() -> (SocketAddr, Arc<AtomicUsize>) {
    scripted(|_, question| Some(at_once(response(question, 0)))).await
}

async fn dead() -> (SocketAddr, Arc<AtomicUsize>) {
    scripted(|_, _| None).await
}

/// Asks, and says how long it took.
async fn ask(servers: &Arc<Servers>, time: Duration) -> (Result<(), String>, Duration) {
    let begun = Instant::now();
    let answered = servers.clone().within(Purpose::Discovery, time).ask(&query(), false).await;
    (answered.map(drop).map_err(|unanswered| unanswered.to_string()), begun.elapsed())
}

fn servers(addresses: &[SocketAddr]) -> Arc<Servers> {
    Arc::new(Servers::new(addresses).unwrap())
}

const TIME: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn the_answer_to_the_first_copy_counts_however_often_it_was_asked_again() {
    for late in [700, 1200] {
        let (address, asked) =
            scripted(move |_, question| Some((Duration::from_millis(late), response(question, 0))))
                .await;
        let (answered, _) = ask(&servers(&[address]), TIME).await;
        assert_eq!(answered, Ok(()));
        assert!(asked.load(Ordering::SeqCst) > 1, "it was asked again");
    }
}

#[tokio::test]
async fn dead_servers_before_a_live_one_cost_their_head_starts_once() {
    let mut addresses = Vec::new();
    for _ in 0..5 {
        addresses.push(dead().await.0);
    }
    addresses.push(live().await.0);
    let servers = servers(&addresses);
    let (answered, took) = ask(&servers, TIME).await;
    assert_eq!(answered, Ok(()));
    assert!(took < TIME, "{took:?}");
    let before = servers.order.lock().unwrap().front;
    assert_eq!(before, 5, "what answered is in front");
    let (answered, took) = ask(&servers, TIME).await;
    assert_eq!(answered, Ok(()));
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn now_and_then_another_one_is_asked_beside_the_one_in_front() {
    let (first, second, third) = (dead().await, live().await, dead().await);
    let servers = servers(&[first.0, second.0, third.0]);
    assert_eq!(ask(&servers, TIME).await.0, Ok(()));
    let counts = || [&first, &second, &third].map(|it| it.1.load(Ordering::SeqCst));
    let before = counts();
    for _ in 0..3 {
        assert_eq!(ask(&servers, TIME).await.0, Ok(()));
    }
    assert_eq!(counts(), [before[0], before[1] + 3, before[2]], "not each time");
    for _ in 0..2 {
        servers.order.lock().unwrap().due = Instant::now();
        assert_eq!(ask(&servers, TIME).await.0, Ok(()));
    }
    tokio::time::timeout(TIME, async {
        while counts() != [before[0] + 1, before[1] + 5, before[2] + 1] {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("each of the others once");
}

#[tokio::test]
async fn a_refusal_is_passed_over_and_waits_for_silence_only_so_long() {
    for code in [2, 5, 11, 15] {
        let refusing = scripted(move |_, question| Some(at_once(response(question, code)))).await.0;
        assert_eq!(ask(&servers(&[refusing, live().await.0]), TIME).await.0, Ok(()));
        let (answered, took) = ask(&servers(&[refusing, dead().await.0]), TIME).await;
        let cause = answered.unwrap_err();
        assert_eq!(cause, format!("{refusing}: {}, over UDP", mnemonic(code_of(code))));
        assert!(took < TIME, "{took:?}");
    }
}

#[tokio::test]
async fn edns_is_given_up_where_it_is_refused_and_that_is_remembered() {
    // FORMERR, with and without the question; NOTIMP; BADVERS; and no word.
    for (code, repeats) in [(1, true), (1, false), (4, true), (16, true), (0, true)] {
        let (address, asked) = scripted(move |_, mut question| match question.edns {
            None => Some(at_once(response(question, 0))),
            Some(_) if code == 0 => None,
            Some(_) => {
                question.queries.retain(|_| repeats);
                question.edns = None;
                Some(at_once(response(question, code)))
            }
        })
        .await;
        let servers = servers(&[address]);
        assert_eq!(ask(&servers, TIME).await.0, Ok(()), "{code}");
        let before = asked.load(Ordering::SeqCst);
        assert_eq!(ask(&servers, TIME).await.0, Ok(()), "{code}");
        assert_eq!(asked.load(Ordering::SeqCst), before + 1, "it is remembered");
        let proofs = servers.within(Purpose::Discovery, TIME).ask(&query(), true).await;
        assert!(proofs.is_err(), "what DNSSEC needs takes EDNS");
    }
}

#[tokio::test]
async fn what_is_foreign_is_passed_over_and_told_of() {
    let foreign = |mut question: Message| {
        question.queries[0].set_query_type(RecordType::A);
        response(question, 0)
    };
    let (address, _) = scripted(move |number, question| {
        Some(at_once(if number == 0 { foreign(question) } else { response(question, 0) }))
    })
    .await;
    assert_eq!(ask(&servers(&[address]), TIME).await.0, Ok(()), "the right one counts");
    let (address, _) = scripted(move |_, question| Some(at_once(foreign(question)))).await;
    let cause = ask(&servers(&[address]), TIME).await.0.unwrap_err();
    assert!(cause.contains("no answer over UDP in time, but an answer to another question"), "{cause}");
}

/// What TCP does after an answer over UDP that is too long.
#[derive(Clone, Copy, PartialEq)]
enum Tcp {
    Refuses,
    Resets,
    Silent,
    /// First something foreign.
    Answers,
    OnlyForeign,
    Truncated,
    ServFail,
}

async fn too_long(tcp: Tcp) -> SocketAddr {
    let (listener, socket) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            break (listener, socket);
        }
    };
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let mut answer = response(Message::from_vec(&buffer[..length]).unwrap(), 0);
            answer.metadata.truncation = true;
            socket.send_to(&answer.to_bytes().unwrap(), from).await.unwrap();
        }
    });
    if tcp == Tcp::Refuses {
        return address;
    }
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut octets = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut octets).await.unwrap();
            let question = Message::from_vec(&octets).unwrap();
            let mut foreign = response(question.clone(), 0);
            foreign.queries.clear();
            let mut truncated = response(question.clone(), 0);
            truncated.metadata.truncation = true;
            let answers = match tcp {
                Tcp::Refuses | Tcp::Resets => continue,
                Tcp::Silent => vec![],
                Tcp::Answers => vec![foreign, response(question, 0)],
                Tcp::OnlyForeign => vec![foreign],
                Tcp::Truncated => vec![truncated],
                Tcp::ServFail => vec![response(question, 2)],
            };
            for answer in answers {
                let octets = answer.to_bytes().unwrap();
                stream.write_u16(u16::try_from(octets.len()).unwrap()).await.unwrap();
                stream.write_all(&octets).await.unwrap();
            }
            kept.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn what_is_too_long_comes_by_tcp_or_it_is_said_what_tcp_came_to() {
    for (tcp, expected) in [
        (Tcp::Answers, None),
        (Tcp::Refuses, Some("could not be reached: Connection refused")),
        (Tcp::Resets, Some("could not be reached: ")),
        (Tcp::Silent, Some("could not be reached: nothing came back")),
        (Tcp::OnlyForeign, Some("over TCP nothing came but an answer without a question")),
        (Tcp::Truncated, Some("over TCP it was truncated as well")),
        (Tcp::ServFail, Some("over TCP came SERVFAIL")),
    ] {
        let address = too_long(tcp).await;
        let (answered, _) = ask(&servers(&[address]), Duration::from_millis(300)).await;
        match (answered, expected) {
            (Ok(()), None) => {}
            (Err(cause), Some(expected)) => {
                assert!(
                    cause.starts_with(&format!("{address}: its answer is too long for UDP, and ")),
                    "{cause}"
                );
                assert!(cause.contains(expected), "{cause}");
                let unreachable = expected.starts_with("could not be reached");
                assert_eq!(
                    cause.contains(&format!("TCP port {} ", address.port())),
                    unreachable,
                    "{cause}"
                );
            }
            (answered, expected) => panic!("{answered:?}, but expected {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_costs_no_time() {
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (answered, took) = ask(&servers(&[nobody]), Duration::from_secs(60)).await;
    assert!(answered.unwrap_err().contains("cannot be reached over UDP: Connection refused"));
    assert!(took < Duration::from_secs(10), "{took:?}");
}
