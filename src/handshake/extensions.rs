//! Extensions (RFC 6455, section 9): what stands in `Sec-WebSocket-Extensions`, and what comes of it. The one we know is
//! permessage-deflate (RFC 7692, section 7).
//!
//! Two layers. [`list`] takes the values of any number of headers apart by the grammar of section 9.1, in linear time and
//! without a copy; what breaks that grammar fails the handshake, whoever sent it. Above it [`accept`] looks for an offer that a
//! server can meet, [`offer`] says what a client would like, and [`check`] judges what its server made of that.
//!
//! A server never fails a handshake over an offer: what it does not know it passes over, what it cannot meet it declines, and
//! tries the next. A client fails the handshake over every answer that is not one to its offer (RFC 7692, section 7).

use std::fmt;

use super::HandshakeError;
use super::headers::{Headers, is_token, is_token_byte};
use crate::protocol::DeflateParams;

/// Names are compared with regard to case.
const PERMESSAGE_DEFLATE: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The largest window, and the one that is meant where none is said (RFC 7692, section 7.1.2).
const MAX_WINDOW_BITS: u8 = 15;
/// All that can be said: "a decimal integer value without leading zeroes between 8 to 15, inclusive".
const WINDOW_BITS: [(u8, &str); 8] =
    [(8, "8"), (9, "9"), (10, "10"), (11, "11"), (12, "12"), (13, "13"), (14, "14"), (15, "15")];

/// Whether all extensions in `headers` keep the grammar of section 9.1.
pub(crate) fn check_grammar(headers: &Headers) -> Result<(), HandshakeError> {
    list(headers).try_for_each(|extension| extension.map(drop))
}

/// What a server that wants `wanted` makes of a client's offers: the first that it can meet, and the value of
/// `Sec-WebSocket-Extensions` that says so.
pub(crate) fn accept(headers: &Headers, wanted: Option<DeflateParams>) -> Option<(DeflateParams, String)> {
    let wanted = wanted?;
    let answer = list(headers)
        .filter_map(Result::ok)
        .filter(|extension| extension.name == PERMESSAGE_DEFLATE.as_bytes())
        .filter_map(|extension| Terms::read(extension).ok())
        .find_map(|offered| offered.answer(wanted))?;
    Some((answer.params(), answer.to_string()))
}

/// The value of `Sec-WebSocket-Extensions` that offers what a client wants.
pub(crate) fn offer(wanted: DeflateParams) -> String {
    Terms::offer(wanted).to_string()
}

/// What a client that offered `offered` and a server that answered with `headers` have agreed on. An answer without extensions is
/// as good as any: then nothing is compressed.
///
/// They may be "split between multiple instances" of the header, as section 4.2.2 has it; section 11.3.2 has it otherwise.
pub(crate) fn check(
    headers: &Headers,
    offered: Option<DeflateParams>,
) -> Result<Option<DeflateParams>, HandshakeError> {
    let mut agreed = None;
    for extension in list(headers) {
        let extension = extension?;
        let Some(offered) = offered.filter(|_| extension.name == PERMESSAGE_DEFLATE.as_bytes()) else {
            return Err(HandshakeError::ForeignExtension);
        };
        if agreed.is_some() {
            return Err(HandshakeError::DuplicateExtension);
        }
        agreed = Some(Terms::read(extension)?.check(offered)?);
    }
    Ok(agreed)
}

/// The parameters of permessage-deflate as a header gives them (RFC 7692, section 7.1): in an offer, or in the answer to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Terms {
    server_no_context_takeover: Given,
    client_no_context_takeover: Given,
    server_max_window_bits: Given,
    client_max_window_bits: Given,
}

/// How a parameter is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Given {
    /// Not at all.
    #[default]
    Not,
    /// By its name alone.
    Bare,
    /// With a number from 8 to 15.
    Bits(u8),
}

impl Given {
    fn flag(yes: bool) -> Self {
        if yes { Self::Bare } else { Self::Not }
    }

    /// A limit that is not mentioned where it limits nothing.
    fn limit(bits: u8) -> Self {
        if bits < MAX_WINDOW_BITS { Self::Bits(bits) } else { Self::Not }
    }

    /// The largest window that this allows.
    fn bits(self) -> u8 {
        match self {
            Self::Bits(bits) => bits,
            Self::Not | Self::Bare => MAX_WINDOW_BITS,
        }
    }
}

/// Which value a parameter may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// None.
    Flag,
    /// A window.
    Bits,
    /// A window, or none. (An answer has to have one: [`Terms::check`].)
    BitsOrBare,
}

impl Terms {
    /// The parameters of an offer or an answer: known ones, each once, with values that they may have.
    fn read(extension: Extension<'_>) -> Result<Self, HandshakeError> {
        let mut terms = Self::default();
        for Parameter { name, value } in extension.parameters() {
            let (name, form, given) = terms.field(name).ok_or(HandshakeError::ForeignParameter)?;
            if *given != Given::Not {
                return Err(HandshakeError::DuplicateParameter { name });
            }
            *given = match (form, value) {
                (Form::Flag | Form::BitsOrBare, None) => Given::Bare,
                (Form::Bits, None) => return Err(HandshakeError::MissingParameterValue { name }),
                (Form::Bits | Form::BitsOrBare, Some(value)) => {
                    Given::Bits(value.window_bits().ok_or(HandshakeError::ParameterValue { name })?)
                }
                (Form::Flag, Some(_)) => return Err(HandshakeError::ParameterValue { name }),
            };
        }
        Ok(terms)
    }

    /// The parameter called `name`: its name, its form, and its place.
    fn field(&mut self, name: &[u8]) -> Option<(&'static str, Form, &mut Given)> {
        let fields = [
            (SERVER_NO_CONTEXT_TAKEOVER, Form::Flag, &mut self.server_no_context_takeover),
            (CLIENT_NO_CONTEXT_TAKEOVER, Form::Flag, &mut self.client_no_context_takeover),
            (SERVER_MAX_WINDOW_BITS, Form::Bits, &mut self.server_max_window_bits),
            (CLIENT_MAX_WINDOW_BITS, Form::BitsOrBare, &mut self.client_max_window_bits),
        ];
        fields.into_iter().find(|(known, ..)| known.as_bytes() == name)
    }

    /// What a client offers that wants `wanted`. `client_max_window_bits` is always there, for a server may ask for a small window
    /// only of a client that says it knows it (RFC 7692, section 7.1.2.2).
    fn offer(wanted: DeflateParams) -> Self {
        Self {
            server_no_context_takeover: Given::flag(wanted.server_no_context_takeover),
            client_no_context_takeover: Given::flag(wanted.client_no_context_takeover),
            server_max_window_bits: Given::limit(wanted.server_max_window_bits),
            client_max_window_bits: match Given::limit(wanted.client_max_window_bits) {
                Given::Bits(bits) => Given::Bits(bits),
                Given::Not | Given::Bare => Given::Bare,
            },
        }
    }

    /// What a server that wants `wanted` answers to this offer; `None` declines it.
    ///
    /// Whoever wants less context or a smaller window gets it. What the client merely hints at, the two `client_` parameters, we
    /// answer too: then both sides know the same.
    fn answer(self, wanted: DeflateParams) -> Option<Self> {
        let server_bits = self.server_max_window_bits.bits().min(wanted.server_max_window_bits);
        let client_bits = self.client_max_window_bits.bits().min(wanted.client_max_window_bits);
        // An answer must not have `client_max_window_bits` where the offer does not (section 7.1.2.2).
        if self.client_max_window_bits == Given::Not && client_bits < MAX_WINDOW_BITS {
            return None;
        }
        Some(Self {
            server_no_context_takeover: Given::flag(
                wanted.server_no_context_takeover || self.server_no_context_takeover == Given::Bare,
            ),
            client_no_context_takeover: Given::flag(
                wanted.client_no_context_takeover || self.client_no_context_takeover == Given::Bare,
            ),
            // The limit of an offer is accepted by including it, though it be 15 (section 7.1.2.1).
            server_max_window_bits: match self.server_max_window_bits {
                Given::Bits(_) => Given::Bits(server_bits),
                Given::Not | Given::Bare => Given::limit(server_bits),
            },
            client_max_window_bits: Given::limit(client_bits),
        })
    }

    /// What is agreed on if this is the answer to the offer of `offered`.
    fn check(self, offered: DeflateParams) -> Result<DeflateParams, HandshakeError> {
        let answered = self.params();
        if self.client_max_window_bits == Given::Bare {
            return Err(HandshakeError::MissingParameterValue { name: CLIENT_MAX_WINDOW_BITS });
        }
        // What an offer demands of the server is accepted "by including" it (sections 7.1.1.1 and 7.1.2.1).
        if offered.server_no_context_takeover && !answered.server_no_context_takeover {
            return Err(HandshakeError::MissingParameter { name: SERVER_NO_CONTEXT_TAKEOVER });
        }
        if offered.server_max_window_bits < MAX_WINDOW_BITS && self.server_max_window_bits == Given::Not {
            return Err(HandshakeError::MissingParameter { name: SERVER_MAX_WINDOW_BITS });
        }
        if answered.server_max_window_bits > offered.server_max_window_bits {
            return Err(HandshakeError::WindowTooLarge {
                bits: answered.server_max_window_bits,
                max: offered.server_max_window_bits,
            });
        }
        // Of ourselves we said what we shall do whatever the answer (sections 7.1.1.2 and 7.1.2.2).
        Ok(DeflateParams {
            client_no_context_takeover: answered.client_no_context_takeover
                || offered.client_no_context_takeover,
            client_max_window_bits: answered.client_max_window_bits.min(offered.client_max_window_bits),
            ..answered
        })
    }

    /// What an answer of these says.
    fn params(self) -> DeflateParams {
        DeflateParams {
            server_no_context_takeover: self.server_no_context_takeover == Given::Bare,
            client_no_context_takeover: self.client_no_context_takeover == Given::Bare,
            server_max_window_bits: self.server_max_window_bits.bits(),
            client_max_window_bits: self.client_max_window_bits.bits(),
        }
    }
}

/// As an extension in a header.
impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PERMESSAGE_DEFLATE)?;
        for (name, given) in [
            (SERVER_NO_CONTEXT_TAKEOVER, self.server_no_context_takeover),
            (CLIENT_NO_CONTEXT_TAKEOVER, self.client_no_context_takeover),
            (SERVER_MAX_WINDOW_BITS, self.server_max_window_bits),
            (CLIENT_MAX_WINDOW_BITS, self.client_max_window_bits),
        ] {
            match given {
                Given::Not => {}
                Given::Bare => write!(f, "; {name}")?,
                Given::Bits(bits) => write!(f, "; {name}={bits}")?,
            }
        }
        Ok(())
    }
}

/// All extensions in `headers`, in order, of however many lines. What breaks the grammar ends its line with an error.
fn list(headers: &Headers) -> impl Iterator<Item = Result<Extension<'_>, HandshakeError>> {
    headers.get_all("sec-websocket-extensions").flat_map(|value| {
        let mut text = Text(value);
        std::iter::from_fn(move || text.next_extension())
    })
}

/// A member of the list: `name; parameter; parameter=value`.
#[derive(Clone, Copy, Debug)]
struct Extension<'a> {
    name: &'a [u8],
    /// All of them, each with its semicolon: they have kept the grammar.
    parameters: &'a [u8],
}

impl<'a> Extension<'a> {
    fn parameters(self) -> impl Iterator<Item = Parameter<'a>> {
        let mut text = Text(self.parameters);
        std::iter::from_fn(move || text.next_parameter().ok().flatten())
    }
}

#[derive(Clone, Copy, Debug)]
struct Parameter<'a> {
    name: &'a [u8],
    value: Option<Value<'a>>,
}

/// A token, or what stands between the quotes of one, perhaps with a backslash before some characters.
#[derive(Clone, Copy, Debug)]
struct Value<'a>(&'a [u8]);

impl Value<'_> {
    /// What it means: a token in any case, and no token has a backslash.
    fn unescaped(self) -> impl Iterator<Item = u8> {
        self.0.iter().copied().filter(|&byte| byte != b'\\')
    }

    fn window_bits(self) -> Option<u8> {
        let found = WINDOW_BITS.iter().find(|(_, text)| text.bytes().eq(self.unescaped()));
        found.map(|&(bits, _)| bits)
    }
}

/// What is left of a value that is being taken apart (section 9.1):
///
/// ```text
/// extension-list  = 1#extension
/// extension       = token *( ";" extension-param )
/// extension-param = token [ "=" ( token | quoted-string ) ]     what is quoted is a token, too
/// ```
///
/// Blanks may stand around `,`, `;` and `=` (RFC 2616, section 2.1, by which this grammar is written). A recipient takes empty
/// members of a list (RFC 9110, section 5.6.1.2); and we take a list of none but these for one that is empty.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// `None` at the end.
    fn next_extension(&mut self) -> Option<Result<Extension<'a>, HandshakeError>> {
        self.skip_blanks();
        while self.take(b',') {
            self.skip_blanks();
        }
        if self.0.is_empty() {
            return None;
        }
        let extension = self.extension();
        if extension.is_err() {
            self.0 = &[];
        }
        Some(extension)
    }

    /// One, and the comma behind it, if there is one.
    fn extension(&mut self) -> Result<Extension<'a>, HandshakeError> {
        let name = self.token()?;
        let Self(begin) = *self;
        while self.next_parameter()?.is_some() {}
        let len = begin.len().saturating_sub(self.0.len());
        let parameters = begin.get(..len).unwrap_or_default();
        match self.take(b',') || self.0.is_empty() {
            true => Ok(Extension { name, parameters }),
            false => Err(HandshakeError::ExtensionList),
        }
    }

    /// `None` if something other than a parameter, or nothing, is next.
    fn next_parameter(&mut self) -> Result<Option<Parameter<'a>>, HandshakeError> {
        self.skip_blanks();
        if !self.take(b';') {
            return Ok(None);
        }
        self.skip_blanks();
        let name = self.token()?;
        self.skip_blanks();
        let value = match self.take(b'=') {
            true => Some(self.value()?),
            false => None,
        };
        Ok(Some(Parameter { name, value }))
    }

    fn value(&mut self) -> Result<Value<'a>, HandshakeError> {
        self.skip_blanks();
        if !self.take(b'"') {
            return self.token().map(Value);
        }
        // Were this quote one that is escaped, then what is quoted would be no token.
        let end = self.0.iter().position(|&byte| byte == b'"').ok_or(HandshakeError::ExtensionList)?;
        let (quoted, rest) = self.0.split_at_checked(end).unwrap_or_default();
        self.0 = rest;
        match self.take(b'"') && is_escaped_token(quoted) {
            true => Ok(Value(quoted)),
            false => Err(HandshakeError::ExtensionList),
        }
    }

    fn token(&mut self) -> Result<&'a [u8], HandshakeError> {
        let end = self.0.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(self.0.len());
        match self.0.split_at_checked(end) {
            None | Some(([], _)) => Err(HandshakeError::ExtensionList),
            Some((token, rest)) => {
                self.0 = rest;
                Ok(token)
            }
        }
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// Whether `byte` was next.
    fn take(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }
}

/// Whether `text` is a token, but for a backslash before some of its characters.
fn is_escaped_token(text: &[u8]) -> bool {
    let mut pieces = text.split(|&byte| byte == b'\\');
    let first = pieces.next().unwrap_or_default();
    (is_token(first) || text.starts_with(b"\\")) && pieces.all(is_token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[impl AsRef<[u8]>]) -> Headers {
        let mut headers = Headers::default();
        headers.push("Host", b"example.com");
        for line in lines {
            headers.push("sec-webSocket-extensions", line.as_ref());
        }
        headers
    }

    /// Settings in the order of the RFC: server's and client's context, server's and client's window.
    fn params(server: bool, client: bool, server_bits: u8, client_bits: u8) -> DeflateParams {
        DeflateParams {
            server_no_context_takeover: server,
            client_no_context_takeover: client,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        }
    }

    /// Takes whatever it gets.
    const ANYTHING: DeflateParams = DeflateParams {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };

    /// The defaults of `Deflate`.
    const NO_CONTEXT: DeflateParams =
        DeflateParams { server_no_context_takeover: true, client_no_context_takeover: true, ..ANYTHING };

    fn all_settings() -> impl Iterator<Item = DeflateParams> {
        (0..4_u8).flat_map(|flags| {
            (8..=15).flat_map(move |server| {
                (8..=15).map(move |client| params(flags & 1 > 0, flags & 2 > 0, server, client))
            })
        })
    }

    /// One extension, as the grammar sees it: a name, and parameters with their values.
    type Parsed = (Vec<u8>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

    fn parse(lines: &[impl AsRef<[u8]>]) -> Result<Vec<Parsed>, HandshakeError> {
        let headers = headers(lines);
        let parsed = list(&headers).map(|extension| {
            let extension = extension?;
            let parameters = extension.parameters().map(|Parameter { name, value }| {
                (name.to_vec(), value.map(|value| value.unescaped().collect::<Vec<_>>()))
            });
            Ok((extension.name.to_vec(), parameters.collect()))
        });
        parsed.collect()
    }

    /// What is parsed, written in the one form that this crate would write.
    fn plain(lines: &[impl AsRef<[u8]>]) -> Option<String> {
        let write = |(name, parameters): Parsed| {
            let parameters = parameters.into_iter().map(|(name, value)| match value {
                None => name,
                Some(value) => [&name[..], b"=", &value].concat(),
            });
            let parts: Vec<_> = std::iter::once(name).chain(parameters).collect();
            String::from_utf8(parts.join(&b"; "[..])).unwrap()
        };
        Some(parse(lines).ok()?.into_iter().map(write).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn section_9_1_the_examples() {
        for (lines, expected) in [
            (&["deflate-stream"][..], "deflate-stream"),
            (
                &["mux; max-channels=4; flow-control, deflate-stream"],
                "mux; max-channels=4; flow-control, deflate-stream",
            ),
            (&["private-extension"], "private-extension"),
            (&["foo", "bar; baz=2"], "foo, bar; baz=2"),
            (&["foo, bar; baz=2"], "foo, bar; baz=2"),
            // RFC 7692, sections 5.1 and 5.2.
            (&["permessage-foo; x=10"], "permessage-foo; x=10"),
            (&["permessage-foo; x=\"10\""], "permessage-foo; x=10"),
            (&["permessage-foo; use_y, permessage-foo"], "permessage-foo; use_y, permessage-foo"),
        ] {
            assert_eq!(plain(lines).as_deref(), Some(expected));
        }
    }

    #[test]
    fn section_9_1_what_has_to_be_taken() {
        for (line, expected) in [
            ("", ""),
            (",", ""),
            (" \t,, ,\t", ""),
            (",a", "a"),
            ("a,", "a"),
            (" , a ,, b\t,,", "a, b"),
            ("a,b", "a, b"),
            ("a;b;c=d;e", "a; b; c=d; e"),
            ("\ta ;\tb\t= \t c ; d\t,\te", "a; b=c; d, e"),
            ("a; b = \"c\" , d", "a; b=c, d"),
            ("a;b=\"c\";d=\"e\"", "a; b=c; d=e"),
            (r#"a; b="\c\d""#, "a; b=cd"),
            (r#"a; b="c\d""#, "a; b=cd"),
            ("a; b; b; b=1", "a; b; b; b=1"),
            ("a, a, a", "a, a, a"),
            ("A; B=C", "A; B=C"),
            ("!#$%&'*+-.^_`|~09azAZ; !=~", "!#$%&'*+-.^_`|~09azAZ; !=~"),
        ] {
            assert_eq!(plain(&[line]).as_deref(), Some(expected), "{line:?}");
            assert_eq!(plain(&[line, "x"]), plain(&[format!("{line},x")]), "lines are joined by commas");
        }
        assert_eq!(plain(&[""; 0]).as_deref(), Some(""));
    }

    #[test]
    fn section_9_1_what_breaks_the_grammar() {
        for line in [
            ";",
            "=",
            "a;",
            "a; ",
            "a;;b",
            "a; ;b",
            "a;b;",
            "a;,b",
            "a; b=",
            "a; b= ,c",
            "a; b=;c",
            "a; =b",
            "a; b==c",
            "a; b=c=d",
            "a=b",
            "a b",
            "a; b c",
            "a; b=c d",
            "\"a\"",
            "a; \"b\"",
            "a; b=\"\"",
            "a; b=\"c",
            "a; b=\"c,d",
            "a; b=c\"",
            "a; b=\"c\"d",
            "a; b=\"c\" d",
            "a; b=d\"c\"",
            "a; b=\"c d\"",
            "a; b=\"c,d\"",
            "a; b=\"c;d\"",
            "a; b=\"c=d\"",
            "a; b=\" c\"",
            r#"a; b="\"#,
            r#"a; b="\""#,
            r#"a; b="\"""#,
            r#"a; b="c\""#,
            r#"a; b="c\\d""#,
            r#"a; b="\\""#,
            r"a; b=\c",
            r"\a",
            "a/b",
            "a; b=c/d",
            "(a)",
            "a; (b)",
            "[a]",
            "a{}",
            "a@b",
            "a:b",
            "<a>",
            "a?",
            "\u{e9}",
            "a; \u{e9}",
            "a; b=\"\u{e9}\"",
            "a\0",
            "a;\x0bb",
            "a;\x0cb",
            "a\r\n b",
            "a, b, c; d=\"e, f",
        ] {
            for lines in [&[line][..], &["x; y=1", line], &[line, "x"]] {
                let parsed = parse(lines);
                assert!(matches!(parsed, Err(HandshakeError::ExtensionList)), "{lines:?}: {parsed:?}");
                assert!(check_grammar(&headers(lines)).is_err());
            }
        }
    }

    /// The obvious way: cut into words and separators first, and look at the grammar then.
    fn slow_parse(line: &[u8]) -> Option<Vec<Parsed>> {
        #[derive(PartialEq)]
        enum Word {
            Token(Vec<u8>),
            Quoted(Vec<u8>),
            Separator(u8),
        }
        let mut words = Vec::new();
        let mut bytes = line.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b' ' | b'\t' => {}
                b',' | b';' | b'=' => words.push(Word::Separator(byte)),
                b'"' => {
                    let mut content = Vec::new();
                    loop {
                        match bytes.next()? {
                            b'"' => break,
                            b'\\' => content.push(bytes.next()?),
                            byte => content.push(byte),
                        }
                    }
                    words.push(Word::Quoted(content));
                }
                first => {
                    let mut text = vec![first];
                    while let Some(byte) = bytes.next_if(|byte| !b" \t,;=\"".contains(byte)) {
                        text.push(byte);
                    }
                    words.push(Word::Token(text));
                }
            }
        }
        let token = |word: &Word| match word {
            Word::Token(text) if is_token(text) => Some(text.clone()),
            _ => None,
        };
        let value = |word: &Word| match word {
            Word::Quoted(text) if is_token(text) => Some(text.clone()),
            word => token(word),
        };
        let members = words.split(|word| *word == Word::Separator(b',')).filter(|member| !member.is_empty());
        let parsed = members.map(|member| {
            let mut parts = member.split(|word| *word == Word::Separator(b';'));
            let [name] = parts.next()? else { return None };
            let parameters = parts.map(|part| match part {
                [name] => Some((token(name)?, None)),
                [name, equals, given] if *equals == Word::Separator(b'=') => {
                    Some((token(name)?, Some(value(given)?)))
                }
                _ => None,
            });
            Some((token(name)?, parameters.collect::<Option<_>>()?))
        });
        parsed.collect()
    }

    /// What a client offers with these lines, as we would write the answer of a server that wants `wanted`.
    fn answer(wanted: DeflateParams, lines: &[impl AsRef<[u8]>]) -> Option<String> {
        let headers = headers(lines);
        check_grammar(&headers).expect("declined, not refused");
        let (agreed, answer) = accept(&headers, Some(wanted))?;
        // The answer says what was agreed on, to whoever has nothing to add to it.
        let told = check(&self::headers(&[&answer]), Some(ANYTHING)).unwrap();
        assert_eq!(told, Some(agreed), "{answer}");
        Some(answer.strip_prefix("permessage-deflate").unwrap().trim_start_matches("; ").to_owned())
    }

    #[test]
    fn rfc_7692_section_7_1_3_the_examples() {
        let small = DeflateParams { server_max_window_bits: 10, ..ANYTHING };
        let two_offers = "permessage-deflate; client_max_window_bits; server_max_window_bits=10, \
                          permessage-deflate; client_max_window_bits";
        assert_eq!(answer(ANYTHING, &["permessage-deflate"]).as_deref(), Some(""));
        assert_eq!(answer(ANYTHING, &[two_offers]).as_deref(), Some("server_max_window_bits=10"));
        assert_eq!(answer(small, &[two_offers]).as_deref(), Some("server_max_window_bits=10"));

        let offered = DeflateParams { server_max_window_bits: 10, ..ANYTHING };
        assert_eq!(
            offer(offered),
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits",
            "their example, but for the order"
        );
        let answered = headers(&["permessage-deflate; server_max_window_bits=10"]);
        assert_eq!(check(&answered, Some(offered)).unwrap(), Some(offered));
    }

    #[test]
    fn a_server_answers_what_both_can_live_with() {
        let windows = params(false, false, 10, 12);
        let takes_all = "client_max_window_bits; server_no_context_takeover; client_no_context_takeover; \
                         server_max_window_bits=9";
        for (wanted, offered, expected) in [
            // Whatever the client asks of us, we do, and say so.
            (ANYTHING, "", Some("")),
            (ANYTHING, "server_no_context_takeover", Some("server_no_context_takeover")),
            (ANYTHING, "client_no_context_takeover", Some("client_no_context_takeover")),
            (ANYTHING, "server_max_window_bits=8", Some("server_max_window_bits=8")),
            (ANYTHING, "server_max_window_bits=15", Some("server_max_window_bits=15")),
            (ANYTHING, "client_max_window_bits", Some("")),
            (ANYTHING, "client_max_window_bits=15", Some("")),
            (ANYTHING, "client_max_window_bits=9", Some("client_max_window_bits=9")),
            (
                ANYTHING,
                takes_all,
                Some("server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9"),
            ),
            // What we want of both contexts, we may say unasked (sections 7.1.1.1 and 7.1.1.2).
            (NO_CONTEXT, "", Some("server_no_context_takeover; client_no_context_takeover")),
            (
                NO_CONTEXT,
                "client_no_context_takeover; server_no_context_takeover",
                Some("server_no_context_takeover; client_no_context_takeover"),
            ),
            (params(true, false, 15, 15), "client_max_window_bits", Some("server_no_context_takeover")),
            (params(false, true, 15, 15), "client_max_window_bits", Some("client_no_context_takeover")),
            // The smaller window is what is agreed on; ours we may say unasked (section 7.1.2.1).
            (params(false, false, 10, 15), "", Some("server_max_window_bits=10")),
            (params(false, false, 10, 15), "server_max_window_bits=15", Some("server_max_window_bits=10")),
            (params(false, false, 10, 15), "server_max_window_bits=10", Some("server_max_window_bits=10")),
            (params(false, false, 10, 15), "server_max_window_bits=9", Some("server_max_window_bits=9")),
            // The client's we may say only if it knows the parameter (section 7.1.2.2).
            (windows, "client_max_window_bits", Some("server_max_window_bits=10; client_max_window_bits=12")),
            (
                windows,
                "client_max_window_bits=15",
                Some("server_max_window_bits=10; client_max_window_bits=12"),
            ),
            (
                windows,
                "client_max_window_bits=12",
                Some("server_max_window_bits=10; client_max_window_bits=12"),
            ),
            (
                windows,
                "client_max_window_bits=8",
                Some("server_max_window_bits=10; client_max_window_bits=8"),
            ),
            (windows, "", None),
            (windows, "server_max_window_bits=10; client_no_context_takeover", None),
            // Quoted, escaped, with blanks: the same.
            (ANYTHING, "server_max_window_bits=\"9\"", Some("server_max_window_bits=9")),
            (ANYTHING, r#"server_max_window_bits="\1\0""#, Some("server_max_window_bits=10")),
            (ANYTHING, "\tserver_max_window_bits = 12 ", Some("server_max_window_bits=12")),
            (
                ANYTHING,
                "server_max_window_bits=\"11\";client_max_window_bits=\"11\"",
                Some("server_max_window_bits=11; client_max_window_bits=11"),
            ),
            // No parameters of ours, or not so.
            (ANYTHING, "x", None),
            (ANYTHING, "x=1", None),
            (ANYTHING, "server_no_context_takeover; x", None),
            (ANYTHING, "Server_No_Context_Takeover", None),
            (ANYTHING, "server_no_context_takeovers", None),
            (ANYTHING, "server_no_context", None),
            (ANYTHING, "c2s_max_window_bits", None),
            (ANYTHING, "server_no_context_takeover=1", None),
            (ANYTHING, "server_no_context_takeover=true", None),
            (ANYTHING, "server_no_context_takeover=\"15\"", None),
            (ANYTHING, "client_no_context_takeover=10", None),
            (ANYTHING, "server_max_window_bits", None),
            (ANYTHING, "server_max_window_bits=+9", None),
            (ANYTHING, "server_max_window_bits=-9", None),
            (ANYTHING, "server_max_window_bits=9.0", None),
            (ANYTHING, "server_max_window_bits=0x9", None),
            (ANYTHING, "server_max_window_bits=a", None),
            (ANYTHING, "server_max_window_bits=\"9.\"", None),
            (ANYTHING, "client_max_window_bits=12a", None),
            (ANYTHING, "client_max_window_bits=99999999999999999999999999999999", None),
            // Each once, even if they say the same.
            (ANYTHING, "server_no_context_takeover; server_no_context_takeover", None),
            (ANYTHING, "client_no_context_takeover; client_no_context_takeover", None),
            (ANYTHING, "server_max_window_bits=9; server_max_window_bits=9", None),
            (ANYTHING, "server_max_window_bits=9; server_max_window_bits=10", None),
            (ANYTHING, "client_max_window_bits; client_max_window_bits", None),
            (ANYTHING, "client_max_window_bits; client_max_window_bits=9", None),
            (ANYTHING, "client_max_window_bits=9; client_max_window_bits", None),
        ] {
            let semicolon = if offered.is_empty() { "" } else { ";" };
            let offered = format!("permessage-deflate{semicolon}{offered}");
            assert_eq!(answer(wanted, &[&offered]).as_deref(), expected, "{wanted:?}: {offered}");
            // Declined, the next is tried; and what comes behind one that is met is not looked at.
            let next = "permessage-deflate; server_max_window_bits=14; client_max_window_bits";
            let with_next = answer(wanted, &[&offered, next]);
            let expected = expected.map(str::to_owned).or_else(|| answer(wanted, &[next]));
            assert_eq!(with_next, expected, "{wanted:?}: {offered}");
        }
    }

    #[test]
    fn a_server_takes_the_first_offer_that_it_can_meet() {
        let small = params(false, false, 15, 11);
        for (lines, expected) in [
            (&[""][..], None),
            (&["x-webkit-deflate-frame"], None),
            (&["Permessage-Deflate; client_max_window_bits"], None),
            (&["permessage-deflate2; client_max_window_bits", "permessage"], None),
            (&["permessage-deflate, permessage-deflate"], None),
            (&["permessage-deflate, permessage-deflate; client_max_window_bits=9"], Some(9)),
            (&["permessage-deflate", "permessage-deflate; client_max_window_bits=9"], Some(9)),
            (
                &[
                    "permessage-deflate; client_max_window_bits=10, permessage-deflate; client_max_window_bits=9",
                ],
                Some(10),
            ),
            (
                &[
                    "permessage-deflate; client_max_window_bits=10",
                    "permessage-deflate; client_max_window_bits=9",
                ],
                Some(10),
            ),
            (&["foo; a=\"b\", , permessage-deflate;client_max_window_bits ,bar"], Some(11)),
            (&["foo", "", "bar; permessage-deflate", "permessage-deflate; client_max_window_bits"], Some(11)),
            (
                &[
                    "permessage-deflate; client_max_window_bits=16, permessage-deflate; client_max_window_bits=8",
                ],
                Some(8),
            ),
            (
                &[
                    "permessage-deflate; x, permessage-deflate; y",
                    "permessage-deflate; client_max_window_bits",
                ],
                Some(11),
            ),
        ] {
            let expected = expected.map(|bits| format!("client_max_window_bits={bits}"));
            assert_eq!(answer(small, lines), expected, "{lines:?}");
        }
        let offers = headers(&["permessage-deflate"]);
        assert_eq!(accept(&offers, None), None, "nothing is wanted");
    }

    #[test]
    fn every_offer_there_is_gets_an_answer_that_keeps_to_it() {
        let flags = [Given::Not, Given::Bare];
        let windows = || std::iter::once(Given::Not).chain((8..=15).map(Given::Bits));
        for flags in flags.into_iter().flat_map(|server| flags.map(|client| (server, client))) {
            for server in windows() {
                for client in windows().chain([Given::Bare]) {
                    let offered = Terms {
                        server_no_context_takeover: flags.0,
                        client_no_context_takeover: flags.1,
                        server_max_window_bits: server,
                        client_max_window_bits: client,
                    };
                    let headers = headers(&[offered.to_string()]);
                    let read = list(&headers).next().unwrap().and_then(Terms::read);
                    assert_eq!(read.unwrap(), offered, "what is written is what is read");
                    for wanted in all_settings() {
                        let Some(answer) = offered.answer(wanted) else {
                            assert!(client == Given::Not && wanted.client_max_window_bits < 15);
                            continue;
                        };
                        let agreed = answer.params();
                        assert!(client != Given::Not || answer.client_max_window_bits == Given::Not);
                        assert!(server == Given::Not || answer.server_max_window_bits != Given::Not);
                        assert!(
                            agreed.server_max_window_bits <= server.bits().min(wanted.server_max_window_bits)
                        );
                        assert!(agreed.client_max_window_bits <= wanted.client_max_window_bits);
                        assert!(flags.0 == Given::Not || agreed.server_no_context_takeover);
                        assert!(agreed.server_no_context_takeover || !wanted.server_no_context_takeover);
                        assert!(agreed.client_no_context_takeover || !wanted.client_no_context_takeover);
                    }
                }
            }
        }
    }

    #[test]
    fn our_client_and_our_server_agree_on_the_same_whatever_they_want() {
        for client in all_settings() {
            let offered = headers(&[offer(client)]);
            for server in all_settings() {
                let (agreed, answer) = accept(&offered, Some(server)).expect("our client can do all");

                let told = check(&headers(&[&answer]), Some(client)).unwrap();

                assert_eq!(told, Some(agreed), "{client:?} {server:?} {answer}");
                assert_eq!(
                    agreed,
                    params(
                        client.server_no_context_takeover || server.server_no_context_takeover,
                        client.client_no_context_takeover || server.client_no_context_takeover,
                        client.server_max_window_bits.min(server.server_max_window_bits),
                        client.client_max_window_bits.min(server.client_max_window_bits),
                    )
                );
            }
            assert_eq!(accept(&offered, None), None);
        }
        assert_eq!(accept(&headers(&[""; 0]), Some(ANYTHING)), None);
        assert_eq!(check(&headers(&[""; 0]), Some(ANYTHING)).unwrap(), None);
    }

    /// undici, CVE-2026-2229: a server answered `server_max_window_bits=1000`, and the client's process was gone.
    #[test]
    fn cve_2026_2229_windows_are_8_to_15_and_nothing_else() {
        for bits in 0..=300_u16 {
            let legal = u8::try_from(bits).ok().filter(|bits| (8..=15).contains(bits));
            let escaped: String = bits.to_string().chars().flat_map(|digit| ['\\', digit]).collect();
            for (value, means) in [
                (format!("{bits}"), legal),
                (format!("\"{bits}\""), legal),
                (format!("\"{escaped}\""), legal),
                (format!(" {bits}\t"), legal),
                (format!("0{bits}"), None),
                (format!("\"0{bits}\""), None),
                (format!("00{bits}"), None),
                (format!("+{bits}"), None),
                (format!("-{bits}"), None),
                (format!("{bits}."), None),
                (format!("{bits}.0"), None),
                (format!("{bits}e0"), None),
                (format!("0x{bits}"), None),
                (format!("{bits}_"), None),
            ] {
                for name in [SERVER_MAX_WINDOW_BITS, CLIENT_MAX_WINDOW_BITS] {
                    let headers = headers(&[format!("permessage-deflate; {name}={value}")]);
                    let expected = means.map(|bits| match name {
                        SERVER_MAX_WINDOW_BITS => params(false, false, bits, 15),
                        _ => params(false, false, 15, bits),
                    });
                    let accepted = accept(&headers, Some(ANYTHING)).map(|(agreed, _)| agreed);
                    assert_eq!(accepted, expected, "{name}={value}");
                    match check(&headers, Some(ANYTHING)) {
                        Err(HandshakeError::ParameterValue { name: told }) if told == name => {
                            assert_eq!(expected, None, "{name}={value}");
                        }
                        checked => assert_eq!(checked.unwrap(), Some(expected.unwrap()), "{name}={value}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_client_takes_what_is_an_answer_to_its_offer() {
        for (offered, answered, agreed) in [
            (ANYTHING, "", ANYTHING),
            (ANYTHING, "; server_no_context_takeover", params(true, false, 15, 15)),
            (ANYTHING, "; client_no_context_takeover", params(false, true, 15, 15)),
            (ANYTHING, ";server_max_window_bits=8;client_max_window_bits=9", params(false, false, 8, 9)),
            (ANYTHING, "; server_max_window_bits = \"15\" ", ANYTHING),
            (ANYTHING, r#"; client_max_window_bits="\1\5""#, ANYTHING),
            // Of ourselves we said what we shall do.
            (params(false, true, 15, 15), "", params(false, true, 15, 15)),
            (params(false, false, 15, 10), "", params(false, false, 15, 10)),
            (params(false, false, 15, 10), "; client_max_window_bits=15", params(false, false, 15, 10)),
            (params(false, false, 15, 10), "; client_max_window_bits=9", params(false, false, 15, 9)),
            // What was asked of the server has to be in its answer.
            (params(true, false, 15, 15), "; server_no_context_takeover", params(true, false, 15, 15)),
            (params(false, false, 10, 15), "; server_max_window_bits=10", params(false, false, 10, 15)),
            (params(false, false, 10, 15), "; server_max_window_bits=8", params(false, false, 8, 15)),
        ] {
            let line = format!("permessage-deflate{answered}");
            for lines in [&[&*line][..], &["", &line, ","]] {
                assert_eq!(check(&headers(lines), Some(offered)).unwrap(), Some(agreed), "{answered}");
            }
        }
        for lines in [&[""; 0][..], &[""], &[" ,, "], &["", ","]] {
            for offered in [None, Some(ANYTHING), Some(NO_CONTEXT)] {
                assert_eq!(check(&headers(lines), offered).unwrap(), None, "{lines:?}");
            }
        }
    }

    #[test]
    fn a_client_fails_over_every_other_answer() {
        let asked = params(true, false, 10, 15);
        let twice = |name| format!("DuplicateParameter {{ name: \"{name}\" }}");
        let value = |name| format!("ParameterValue {{ name: \"{name}\" }}");
        let bare = |name| format!("MissingParameterValue {{ name: \"{name}\" }}");
        let missing = |name| format!("MissingParameter {{ name: \"{name}\" }}");
        for (offered, parameters, expected) in [
            (ANYTHING, ", x-webkit-deflate-frame", "ForeignExtension".to_owned()),
            (ANYTHING, ", Permessage-Deflate", "ForeignExtension".to_owned()),
            (ANYTHING, ", permessage-deflate", "DuplicateExtension".to_owned()),
            (ANYTHING, "; x", "ForeignParameter".to_owned()),
            (ANYTHING, "; Client_max_window_bits=9", "ForeignParameter".to_owned()),
            (ANYTHING, "; server_max_window_bits=9; x=1", "ForeignParameter".to_owned()),
            (
                ANYTHING,
                "; server_no_context_takeover; server_no_context_takeover",
                twice(SERVER_NO_CONTEXT_TAKEOVER),
            ),
            (
                ANYTHING,
                "; client_no_context_takeover; client_no_context_takeover",
                twice(CLIENT_NO_CONTEXT_TAKEOVER),
            ),
            (ANYTHING, "; server_max_window_bits=9; server_max_window_bits=9", twice(SERVER_MAX_WINDOW_BITS)),
            (ANYTHING, "; client_max_window_bits=9; client_max_window_bits=8", twice(CLIENT_MAX_WINDOW_BITS)),
            (ANYTHING, "; server_no_context_takeover=8", value(SERVER_NO_CONTEXT_TAKEOVER)),
            (ANYTHING, "; client_no_context_takeover=\"yes\"", value(CLIENT_NO_CONTEXT_TAKEOVER)),
            (ANYTHING, "; server_max_window_bits=7", value(SERVER_MAX_WINDOW_BITS)),
            (ANYTHING, "; client_max_window_bits=16", value(CLIENT_MAX_WINDOW_BITS)),
            (ANYTHING, "; server_max_window_bits", bare(SERVER_MAX_WINDOW_BITS)),
            (ANYTHING, "; client_max_window_bits", bare(CLIENT_MAX_WINDOW_BITS)),
            (asked, "; server_max_window_bits=10", missing(SERVER_NO_CONTEXT_TAKEOVER)),
            (asked, "; server_no_context_takeover", missing(SERVER_MAX_WINDOW_BITS)),
            (
                asked,
                "; server_no_context_takeover; server_max_window_bits=11",
                "WindowTooLarge { bits: 11, max: 10 }".to_owned(),
            ),
            (
                asked,
                "; server_no_context_takeover; server_max_window_bits=15",
                "WindowTooLarge { bits: 15, max: 10 }".to_owned(),
            ),
            (ANYTHING, ";", "ExtensionList".to_owned()),
            (ANYTHING, ", ;", "ExtensionList".to_owned()),
            (ANYTHING, "; server_max_window_bits=\"\"", "ExtensionList".to_owned()),
            (ANYTHING, ",\u{e9}", "ExtensionList".to_owned()),
        ] {
            let error =
                check(&headers(&[format!("permessage-deflate{parameters}")]), Some(offered)).unwrap_err();
            assert_eq!(format!("{error:?}"), expected, "{parameters}");
            assert_eq!(error.io_kind(), std::io::ErrorKind::InvalidData);
            // A server answers a broken list with 400; the others are errors of a client.
            assert_eq!(error.status(), (expected == "ExtensionList").then_some(400), "{error}");
        }
        let two_lines = check(&headers(&["permessage-deflate", "permessage-deflate"]), Some(ANYTHING));
        assert!(matches!(two_lines, Err(HandshakeError::DuplicateExtension)));
        for line in ["permessage-deflate", "foo", "permessage-deflate; x"] {
            let unasked = check(&headers(&[line]), None);
            assert!(matches!(unasked, Err(HandshakeError::ForeignExtension)), "{line}: {unasked:?}");
        }
        let broken = check(&headers(&["\u{e9}"]), None);
        assert!(matches!(broken, Err(HandshakeError::ExtensionList)));
    }

    /// Text that is nearly a list of extensions.
    fn nearly() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "permessage-deflate",
            "server_no_context_takeover",
            "client_no_context_takeover",
            "server_max_window_bits",
            "client_max_window_bits",
            ";",
            "; ",
            ",",
            "=",
            "\"",
            "\\",
            " ",
            "\t",
            "8",
            "15",
            "a",
            "\u{e9}",
            "/",
        ]);
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_list_is_what_the_slow_way_finds_it_to_be(line in nearly(), other in nearly()) {
            prop_assert_eq!(parse(&[&line]).ok(), slow_parse(line.as_bytes()));
            let both = slow_parse(line.as_bytes()).zip(slow_parse(other.as_bytes()));
            prop_assert_eq!(parse(&[&line, &other]).ok(), both.map(|(one, two)| [one, two].concat()));
        }

        #[test]
        fn any_bytes_are_judged(
            line in prop::collection::vec(any::<u8>(), 0..64),
            text in nearly(),
            wanted in prop::sample::select(all_settings().collect::<Vec<_>>()),
        ) {
            let joined = [b"permessage-deflate;", &line[..]].concat();
            for line in [&line[..], &joined, text.as_bytes()] {
                prop_assert_eq!(parse(&[line]).ok(), slow_parse(line));
                let headers = headers(&[line]);
                let accepted = accept(&headers, Some(wanted));
                let checked = check(&headers, Some(wanted));
                if check_grammar(&headers).is_err() {
                    prop_assert!(checked.is_err());
                }
                if let Some((agreed, answer)) = accepted {
                    prop_assert_eq!(check(&self::headers(&[&answer]), Some(ANYTHING)).unwrap(), Some(agreed));
                }
            }
        }
    }
}
