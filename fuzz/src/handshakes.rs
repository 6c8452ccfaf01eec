//! Both sides of the opening handshake and what they agree on, against readers that take lines apart in the obvious way.

use std::mem::discriminant;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_lite::future::block_on;
use unsync_websocket::{
    Client, Config, Deflate, HandshakeError, NoTimer, Server as OurServer, ServerRequest, WebSocket,
};

use crate::input::{Input, cuts_of, pieces};
use crate::server::{ACCEPT, Asked, Server, accept_for, client, fill, switching};
use crate::wire::{Read, Reply, Seen, Wire, Write, upgrade};

// --- heads, the obvious way -----------------------------------------------------------------------------------------

/// A head as lines of names and values; and how long it is.
struct Head<'a> {
    first: &'a [u8],
    headers: Vec<(String, &'a [u8])>,
    len: usize,
}

impl<'a> Head<'a> {
    /// `None` if there is no empty line, or before it anything that two readers could take differently (RFC 9112, sections 2.2, 5.1
    /// and 5.2).
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let mut lines = Vec::new();
        let mut rest = &bytes[..len - 2];
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            lines.push(&rest[..end]);
            rest = &rest[end + 2..];
        }
        let clean = |line: &&[u8]| line.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        if !lines.iter().all(clean) {
            return None;
        }
        let mut headers = Vec::new();
        for line in &lines[1..] {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
            if !is_token(name) {
                return None;
            }
            headers.push((String::from_utf8(name.to_ascii_lowercase()).ok()?, value));
        }
        (headers.len() <= 100).then_some(Self { first: lines[0], headers, len })
    }

    fn all(&self, name: &str) -> Vec<&'a [u8]> {
        self.headers.iter().filter(|(given, _)| given == name).map(|(_, value)| *value).collect()
    }

    /// The value of the only one.
    fn one(&self, name: &str) -> Option<&'a [u8]> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// The members of a list, of however many lines.
    fn members(&self, name: &str) -> Vec<&'a [u8]> {
        let all = self.all(name);
        all.iter()
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(trim)
            .filter(|member| !member.is_empty())
            .collect()
    }

    fn names(&self, name: &str, member: &str) -> bool {
        self.members(name).iter().any(|given| given.eq_ignore_ascii_case(member.as_bytes()))
    }
}

fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

// --- the server -----------------------------------------------------------------------------------------------------

/// What a server has to say to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Upgrades,
    Refused,
    /// An authority that is not a plain name: its grammar is not repeated here.
    Unknown,
}

/// RFC 6455, section 4.2.1.
fn judge_request(head: &Head<'_>) -> Judged {
    let words: Vec<_> = head.first.split(|byte| *byte == b' ').collect();
    let ([b"GET", target, b"HTTP/1.1"], Some(host)) = (&words[..], head.one("host")) else {
        return Judged::Refused;
    };
    let single = ["host", "content-length", "origin", "sec-websocket-key", "sec-websocket-version"];
    let length = head.one("content-length");
    let key = head.one("sec-websocket-key").map(|key| STANDARD.decode(key).map(|key| key.len()));
    let rules = [
        target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'),
        single.iter().all(|name| head.all(name).len() <= 1),
        head.one("origin").is_none_or(|origin| origin.iter().all(|byte| (b' '..=b'~').contains(byte))),
        head.names("upgrade", "websocket") && head.names("connection", "upgrade"),
        head.one("sec-websocket-version") == Some(b"13"),
        key == Some(Ok(16)),
        head.all("transfer-encoding").is_empty(),
        length.is_none_or(|length| !length.is_empty() && length.iter().all(|digit| *digit == b'0')),
        head.members("sec-websocket-protocol").iter().all(|protocol| is_token(protocol)),
        extensions(&head.all("sec-websocket-extensions")).is_some(),
    ];
    if rules.contains(&false) {
        return Judged::Refused;
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !target.starts_with(b"/") || host.is_empty() || !host.iter().all(is_name) {
        return Judged::Unknown;
    }
    Judged::Upgrades
}

/// Any bytes are an upgrade by the rules of RFC 6455, section 4.2.1, or they are not, however they are cut; the answer has one
/// header a line and says what happened; what lies behind the request is kept. And what our client asks for is granted.
///
/// Whether the bytes are more headers of an upgrade or everything; the cuts; then the bytes.
pub fn server_handshake(data: &[u8]) {
    let mut input = Input::new(data);
    let way = input.byte();
    let lengths = input.cuts();
    let rest = input.rest();
    let bytes = match way % 4 {
        0 => rest.to_vec(),
        1 => [b"GET / HTTP/1.1\r\n", rest].concat(),
        _ => {
            let mut bytes = upgrade("/", "");
            bytes.truncate(bytes.len() - 2);
            [&bytes[..], rest, b"\r\n\r\n"].concat()
        }
    };
    let whole = served(&[&bytes]);
    // In a few pieces, or dribbled.
    let cut = match way & 4 {
        0 => bytes.chunks(1 + lengths.len()).collect(),
        _ => pieces(&bytes, &cuts_of(lengths, bytes.len())),
    };
    assert_eq!(served(&cut), whole, "cut");
    let (told, written) = &whole;
    let head = Head::read(&bytes);
    let judged = head.as_ref().map_or(Judged::Refused, judge_request);
    assert!(
        told.is_ok() && judged != Judged::Refused || told.is_err() && judged != Judged::Upgrades,
        "{judged:?}, {told:?}"
    );
    match (told, head) {
        (Ok(behind), Some(head)) => {
            assert_eq!(*behind, bytes[head.len..], "what lies behind the request");
            let reply = Reply::parse(written);
            assert_eq!((reply.status, &reply.body[..]), (101, &b""[..]));
            let key =
                head.one("sec-websocket-key").and_then(|key| std::str::from_utf8(key).ok()).expect("judged");
            assert_eq!(reply.header("sec-websocket-accept"), Some(&accept_for(key)[..]));
            assert_eq!(reply.headers.len(), 3, "{reply:?}");
        }
        (Ok(_), None) => unreachable!("judged"),
        (Err((_, status)), _) if written.is_empty() => {
            assert!(status.is_none() || bytes.is_empty(), "{told:?}");
        }
        (Err((_, status)), _) => {
            let reply = Reply::parse(written);
            assert_eq!(Some(reply.status), *status);
            if !bytes.starts_with(b"HEAD ") {
                reply.assert_last();
            }
        }
    }
    if way & 8 != 0 {
        granted(&mut Input::new(rest));
    }
}

/// What came behind the request if it was accepted, or why it was not; and what was answered.
type Served = (Result<Vec<u8>, (String, Option<u16>)>, Vec<u8>);

fn served(reads: &[&[u8]]) -> Served {
    let script = reads
        .iter()
        .filter(|read| !read.is_empty())
        .flat_map(|read| [Read::Pending, Read::Bytes(read.to_vec())]);
    let (wire, seen) = Wire::new(script);
    let answered = block_on(async {
        let request = OurServer::with_timer(wire.writes(Write::Takes(50)), NoTimer).receive_request().await?;
        let parts = request.into_parts();
        let behind = [&parts.read_ahead[..], &parts.stream.unread()].concat();
        ServerRequest::from_parts_with_timer(parts, NoTimer).accept().await?;
        Ok::<_, HandshakeError>(behind)
    });
    let seen = seen.lock().expect("nobody panicked");
    assert!(seen.dropped);
    (answered.map_err(|error| (format!("{error:?}"), error.status())), seen.written.clone())
}

/// Whatever a client of ours asks for, a server of ours grants, and the client takes it; a caller's mistake is told before a byte is
/// written.
fn granted(input: &mut Input<'_>) {
    let [host, target, protocol, name, origin] = [(); 5].map(|()| {
        let len = input.below(24);
        String::from_utf8_lossy(input.take(len)).into_owned()
    });
    let way = input.byte();
    let value = input.rest();
    let host = if way & 1 == 0 { "example.com" } else { &host[..] };
    let (wire, seen) = answering(Config::new(), |request| {
        let first = request.protocols().next().map(str::to_owned);
        match first {
            Some(first) => request.protocol(first),
            None => request,
        }
    });
    let mut asking = Client::with_timer(wire, host, format!("/{target}"), NoTimer);
    if way & 2 != 0 {
        asking = asking.protocol(&protocol);
    }
    if way & 4 != 0 {
        asking = asking.header(&name, value);
    }
    if way & 8 != 0 {
        asking = asking.origin(&origin);
    }
    let connected = block_on(asking.connect());
    let written = seen.lock().expect("nobody panicked").written.clone();
    match connected {
        Ok(websocket) => {
            let asked = Asked::parse(&written);
            asked.assert_upgrade();
            assert_eq!(asked.headers.len(), 5 + [2, 4, 8].iter().filter(|bit| way & *bit != 0).count());
            assert_eq!(websocket.subprotocol(), (way & 2 != 0).then_some(&protocol[..]));
        }
        Err(error) => {
            use HandshakeError::{InvalidHeader, InvalidHost, InvalidProtocol, InvalidTarget};
            let mistaken = matches!(
                error,
                InvalidHeader { .. } | InvalidHost { .. } | InvalidProtocol { .. } | InvalidTarget { .. }
            );
            assert!(mistaken && written.is_empty(), "{error:?}");
        }
    }
}

/// A stream at whose other end our server answers.
fn answering(
    config: Config,
    answer: impl FnOnce(ServerRequest<Wire>) -> ServerRequest<Wire> + 'static,
) -> (Server, Arc<Mutex<Seen>>) {
    let asked: Arc<OnceLock<Arc<Mutex<Seen>>>> = Arc::default();
    let asked_too = asked.clone();
    let (server, seen) = Server::new(move |_| {
        let request = asked_too.get().expect("set below").lock().expect("nobody panicked").written.clone();
        let (wire, seen) = Wire::of(&request);
        let accepted = block_on(async {
            let request = OurServer::with_timer(wire, NoTimer).config(config).receive_request().await?;
            answer(request).accept().await
        });
        assert!(accepted.is_ok(), "we refuse ourselves: {:?} to {}", accepted.err(), request.escape_ascii());
        let written = seen.lock().expect("nobody panicked").written.clone();
        vec![Read::Bytes(written)]
    });
    assert!(asked.set(seen.clone()).is_ok());
    (server, seen)
}

// --- the client -----------------------------------------------------------------------------------------------------

/// A connection comes only of the answer that RFC 6455, section 4.1, demands, however it is cut; whatever else comes is an error, or a
/// refusal with a body that is not too long.
///
/// Whether the bytes are more headers of the right answer or everything; the cuts; then the bytes, in which `{accept}` stands for
/// the right value in a `Sec-WebSocket-Accept`, and elsewhere for itself.
pub fn client_handshake(data: &[u8]) {
    let mut input = Input::new(data);
    let way = input.byte();
    let lengths = input.cuts();
    let rest = input.rest();
    let bytes = match way % 4 {
        0 => rest.to_vec(),
        1 => [b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n", rest].concat(),
        2 => {
            let mut bytes = switching("");
            bytes.truncate(bytes.len() - 2);
            [&bytes[..], rest, b"\r\n\r\n"].concat()
        }
        _ => [b"HTTP/1.1 404 x\r\n", rest].concat(),
    };
    let bytes = only_as_value(bytes);
    // The accept value, as long as any, in place of the one that is not known yet.
    let filled = fill(&bytes, "bm90aGluZyB0byBiZSBmb3VuZCE=");
    let whole = connected(&bytes, &[]);
    let kind = |told: &Result<Option<String>, HandshakeError>| match told {
        Ok(protocol) => Ok(protocol.clone()),
        Err(HandshakeError::Refused(refusal) | HandshakeError::Redirected(refusal)) => {
            Err((None, refusal.status(), refusal.body().len(), refusal.is_whole()))
        }
        Err(error) => Err((Some(discriminant(error)), 0, 0, false)),
    };
    // In a few pieces, or dribbled.
    let step = 1 + lengths.len();
    let cuts = match way & 4 {
        0 => (step..filled.len()).step_by(step).collect(),
        _ => cuts_of(lengths, filled.len()),
    };
    let cut = connected(&bytes, &cuts);
    assert_eq!(kind(&cut), kind(&whole), "cut: {cut:?}, not {whole:?}");
    let expected = judge_answer(&filled, "bm90aGluZyB0byBiZSBmb3VuZCE=");
    match &whole {
        Ok(protocol) => assert_eq!(Some(protocol), expected.as_ref(), "{}", bytes.escape_ascii()),
        Err(error) => {
            assert_eq!(expected, None, "{error:?}");
            assert!(!error.to_string().is_empty());
            if let HandshakeError::Refused(refusal) | HandshakeError::Redirected(refusal) = error {
                assert_ne!(refusal.status(), 101);
                assert!(refusal.body().len() <= 16 << 10 && refusal.body().len() <= filled.len());
            }
        }
    }
}

/// The accept value is another each time, and so must stand only where nothing but the whole of it matters.
fn only_as_value(mut bytes: Vec<u8>) -> Vec<u8> {
    let name = b"sec-websocket-accept:";
    for line in bytes.split_mut(|byte| *byte == b'\n') {
        if line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            continue;
        }
        while let Some(at) = line.windows(ACCEPT.len()).position(|window| window == ACCEPT.as_bytes()) {
            line[at] = b'(';
        }
    }
    bytes
}

fn connected(bytes: &[u8], cuts: &[usize]) -> Result<Option<String>, HandshakeError> {
    let (server, seen) = Server::cut(bytes, cuts);
    let connected =
        block_on(client(server.writes(Write::Takes(50))).protocol("chat").protocol("battle").connect());
    let seen = seen.lock().expect("nobody panicked");
    Asked::parse(&seen.written).assert_upgrade();
    assert_eq!(seen.dropped, connected.is_err());
    // The stream tells when it is dropped, which is now.
    drop(seen);
    connected.map(|websocket| websocket.subprotocol().map(str::to_owned))
}

/// The subprotocol, or none, of an answer that opens a connection; `None` of any other.
fn judge_answer(mut bytes: &[u8], accept: &str) -> Option<Option<String>> {
    loop {
        let head = Head::read(bytes)?;
        let rest = head.first.strip_prefix(b"HTTP/1.1 ")?;
        let (status, reason) = rest.split_at_checked(3)?;
        let is_number = status.iter().all(u8::is_ascii_digit);
        if !is_number || !(reason.is_empty() || reason.starts_with(b" ")) {
            return None;
        }
        // Others of 1xx say that more is to come (RFC 9110, section 15.2).
        if status != b"101" {
            if status[0] != b'1' {
                return None;
            }
            bytes = &bytes[head.len..];
            continue;
        }
        let protocols = head.all("sec-websocket-protocol");
        let protocol = match protocols[..] {
            [] => None,
            [protocol] => Some(String::from_utf8(protocol.to_vec()).ok()?),
            _ => return None,
        };
        let upgrades = head.members("upgrade");
        let rules = [
            // Once or more, and nothing else.
            !upgrades.is_empty() && upgrades.iter().all(|it| it.eq_ignore_ascii_case(b"websocket")),
            head.names("connection", "upgrade"),
            head.one("sec-websocket-accept") == Some(accept.as_bytes()),
            protocol.as_deref().is_none_or(|protocol| ["chat", "battle"].contains(&protocol)),
            extensions(&head.all("sec-websocket-extensions")).is_some_and(|list| list.is_empty()),
        ];
        return (!rules.contains(&false)).then_some(protocol);
    }
}

// --- what is agreed on ----------------------------------------------------------------------------------------------

type Parameters = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The members of an extension list (RFC 6455, section 9.1): `None` if it breaks the grammar. What is quoted has to be a token, so
/// that splitting is enough.
fn extensions(values: &[&[u8]]) -> Option<Vec<(Vec<u8>, Parameters)>> {
    let mut list = Vec::new();
    for member in values.iter().flat_map(|value| value.split(|byte| *byte == b',')).map(trim) {
        if member.is_empty() {
            continue;
        }
        let mut parts = member.split(|byte| *byte == b';').map(trim);
        let name = parts.next().filter(|name| is_token(name))?;
        let mut parameters = Vec::new();
        for part in parts {
            let mut halves = part.splitn(2, |byte| *byte == b'=').map(trim);
            let name = halves.next().filter(|name| is_token(name))?;
            let value = match halves.next() {
                Some([b'"', quoted @ .., b'"']) => Some(unquoted(quoted)?),
                Some(value) if is_token(value) => Some(value.to_vec()),
                Some(_) => return None,
                None => None,
            };
            parameters.push((name.to_vec(), value));
        }
        list.push((name.to_vec(), parameters));
    }
    Some(list)
}

fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        value.push(if *byte == b'\\' { *bytes.next()? } else { *byte });
    }
    is_token(&value).then_some(value)
}

/// What is wanted, offered or answered. Of the windows: whether they are there, and their bits if they have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Terms {
    server_forgets: bool,
    client_forgets: bool,
    server_bits: Option<Option<u8>>,
    client_bits: Option<Option<u8>>,
}

impl Terms {
    /// `None` of another extension, and of parameters that RFC 7692, section 7.1, does not know or allow.
    fn read((name, parameters): &(Vec<u8>, Parameters)) -> Option<Self> {
        let mut terms = Self::default();
        let mut names: Vec<_> = parameters.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        if name != b"permessage-deflate" || names.len() < parameters.len() {
            return None;
        }
        for (name, value) in parameters {
            let bits = match value.as_deref() {
                None => None,
                Some(value) => Some((8..=15_u8).find(|bits| bits.to_string().as_bytes() == value)?),
            };
            match (&name[..], value) {
                (b"server_no_context_takeover", None) => terms.server_forgets = true,
                (b"client_no_context_takeover", None) => terms.client_forgets = true,
                (b"server_max_window_bits", Some(_)) => terms.server_bits = Some(bits),
                (b"client_max_window_bits", _) => terms.client_bits = Some(bits),
                _ => return None,
            }
        }
        Some(terms)
    }

    fn bits(given: Option<Option<u8>>) -> u8 {
        given.flatten().unwrap_or(15)
    }

    fn wanted(input: &mut Input<'_>) -> Self {
        let [flags, server, client] = input.array();
        let bits = |byte: u8| Some(Some(8 + byte % 8));
        Self {
            server_forgets: flags & 1 != 0,
            client_forgets: flags & 2 != 0,
            server_bits: bits(server),
            client_bits: bits(client),
        }
    }

    fn deflate(self) -> Deflate {
        Deflate::new()
            .server_no_context_takeover(self.server_forgets)
            .client_no_context_takeover(self.client_forgets)
            .server_max_window_bits(Self::bits(self.server_bits))
            .client_max_window_bits(Self::bits(self.client_bits))
    }
}

fn config(wanted: Terms) -> Config {
    Config::new().deflate(wanted.deflate())
}

/// A server meets the first offer that it can, by the rules of RFC 7692, section 7.1, and no other; a client takes the answers to its
/// offer, and no others; and both ends of ours agree on the same.
///
/// What the server wants and what the client does; then the text of the header, a line each.
pub fn ext_negotiation(data: &[u8]) {
    let mut input = Input::new(data);
    let (server_wants, client_wants) = (Terms::wanted(&mut input), Terms::wanted(&mut input));
    let text: Vec<u8> = input
        .rest()
        .iter()
        .map(|byte| match byte {
            b'\n' | b'\t' => *byte,
            b'{' => b' ',
            _ if byte.is_ascii_control() => b' ',
            _ => *byte,
        })
        .collect();
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').take(8).map(trim).collect();
    let list = extensions(&lines);
    as_server(server_wants, &lines, list.as_deref());
    as_client(client_wants, &lines, list.as_deref());
    together(server_wants, client_wants);
}

/// `head` with these lines before its empty one.
fn with_lines(mut head: Vec<u8>, lines: &[&[u8]]) -> Vec<u8> {
    head.truncate(head.len() - 2);
    for line in lines {
        head.extend([b"Sec-WebSocket-Extensions: ", *line, b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn as_server(wants: Terms, lines: &[&[u8]], offers: Option<&[(Vec<u8>, Parameters)]>) {
    let (wire, seen) = Wire::of(&with_lines(upgrade("/", ""), lines));
    let accepted = block_on(OurServer::with_timer(wire, NoTimer).config(config(wants)).accept());
    let Some(offers) = offers else {
        assert!(matches!(accepted, Err(HandshakeError::ExtensionList)));
        return;
    };
    let agreed = accepted.expect("an offer fails no handshake").deflate();
    let written = seen.lock().expect("nobody panicked").written.clone();
    let reply = Reply::parse(&written);
    let answer = reply.header("sec-websocket-extensions").map(|text| {
        let list = extensions(&[text.as_bytes()]).expect("we keep the grammar");
        let [only] = &list[..] else { panic!("one extension: {text}") };
        Terms::read(only).expect("we keep to RFC 7692")
    });
    // A smaller window than the client's can be had only of one that knows of it (section 7.1.2.2).
    let can_be_met = |offer: &Terms| offer.client_bits.is_some() || Terms::bits(wants.client_bits) == 15;
    let offer = offers.iter().filter_map(Terms::read).find(can_be_met);
    let (Some(offer), Some(answer)) = (offer, answer) else {
        assert_eq!((offer, agreed), (None, None), "answered with {answer:?}");
        return assert_eq!(answer, None);
    };
    assert!(answer.server_forgets == (offer.server_forgets || wants.server_forgets), "{offer:?}: {answer:?}");
    assert!(answer.client_forgets == (offer.client_forgets || wants.client_forgets), "{offer:?}: {answer:?}");
    let smaller = |a, b| Terms::bits(a).min(Terms::bits(b));
    assert_eq!(Terms::bits(answer.server_bits), smaller(offer.server_bits, wants.server_bits));
    assert_eq!(Terms::bits(answer.client_bits), smaller(offer.client_bits, wants.client_bits));
    assert!(
        offer.server_bits.is_none() || answer.server_bits.is_some(),
        "accepted by including it (section 7.1.2.1)"
    );
    assert!(answer.client_bits.is_none() || offer.client_bits.is_some() && answer.client_bits != Some(None));
    assert_eq!(agreed, Some(answer.deflate()));
}

fn as_client(wants: Terms, lines: &[&[u8]], answers: Option<&[(Vec<u8>, Parameters)]>) {
    let (server, _) = Server::of(&with_lines(switching(""), lines));
    let connected =
        block_on(client(server).config(config(wants)).connect()).map(|websocket| websocket.deflate());
    let answer = match answers {
        Some([]) => return assert_eq!(connected.expect("without extensions"), None),
        Some([only]) => Terms::read(only),
        _ => None,
    };
    let is_answer = |answer: &Terms| {
        answer.client_bits != Some(None)
            && (answer.server_forgets || !wants.server_forgets)
            && (answer.server_bits.is_some() || Terms::bits(wants.server_bits) == 15)
            && Terms::bits(answer.server_bits) <= Terms::bits(wants.server_bits)
    };
    let Some(answer) = answer.filter(is_answer) else {
        return assert!(connected.is_err(), "it is no answer to {wants:?}");
    };
    let client_bits = Terms::bits(answer.client_bits).min(Terms::bits(wants.client_bits));
    let agreed = Terms {
        client_forgets: answer.client_forgets || wants.client_forgets,
        client_bits: Some(Some(client_bits)),
        ..answer
    };
    assert_eq!(connected.expect("it is an answer"), Some(agreed.deflate()), "{answer:?} to {wants:?}");
}

/// Each is told of what the other wants, and both come to the stricter of the two.
fn together(server_wants: Terms, client_wants: Terms) {
    let (server, _) = answering(config(server_wants), |request| request);
    let websocket: WebSocket<Server> =
        block_on(client(server).config(config(client_wants)).connect()).expect("ours takes ours");
    let smaller = |a, b| Some(Some(Terms::bits(a).min(Terms::bits(b))));
    let strictest = Terms {
        server_forgets: server_wants.server_forgets || client_wants.server_forgets,
        client_forgets: server_wants.client_forgets || client_wants.client_forgets,
        server_bits: smaller(server_wants.server_bits, client_wants.server_bits),
        client_bits: smaller(server_wants.client_bits, client_wants.client_bits),
    };
    assert_eq!(websocket.deflate(), Some(strictest.deflate()));
}
