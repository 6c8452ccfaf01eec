#!/bin/sh
# Shows, in what the compiler makes of the library, that no parser can panic: tests/no_panic.sh (half a minute; needs objdump).
#
# The library is built as a release is, with overflow checks on top and all in one object. Every function in it that calls anything that
# panics must stand below with the reason why it never does; nothing of a parser does. So a new `expect`, index, slice or sum that the
# compiler cannot prove to be harmless is found here.
#
# Rust 1.95 proves what is said here; another compiler may prove a little more or less.
#
# What it does not see: code that is generic over the stream, which is not built before its use (the connection's futures; what parses is not
# generic, and all of it is there); what std and other crates do behind a call of theirs (httparse, simdutf8, flate2); and want of memory.
set -eu
cd "$(dirname "$0")/.."

# Where it is called => what panics # why it does not.
expected=$(sed 's/ *#.*//' <<'END'
<core::str::pattern::CharSearcher as core::str::pattern::Searcher>::next_match => core::slice::index::slice_index_fail # std's own
core::cell::once::OnceCell<T>::try_init => core::panicking::panic_fmt # nothing that begins a value asks for it
core::iter::traits::iterator::Iterator::fold => core::panicking::panic_const::panic_const_add_overflow # a count of what lies in memory
core::ptr::drop_in_place<core::iter::adapters::map::Map<alloc::collections::vec_deque::drain::Drain<unsync_websocket::protocol::outbound::Chunk>,unsync_websocket::protocol::outbound::Outbound::leave::{{closure}}>> => core::slice::index::slice_index_fail # std's own
core::str::<impl str>::split_once => core::panicking::panic_bounds_check # std's own
core::str::<impl str>::split_once => core::str::slice_error_fail # std's own
alloc::collections::vec_deque::VecDeque<T,A>::append => core::option::expect_failed # a sum of what lies in memory
<unsync_websocket::connection::keys::OsSeededKeys as unsync_websocket::protocol::mask::MaskingKeys>::next_key => core::cell::panic_already_borrowed # borrowed for this call alone
unsync_websocket::connection::keys::OsSeededKeys::next_nonce => core::cell::panic_already_borrowed # borrowed for this call alone
unsync_websocket::connection::keys::OsSeededKeys::new => core::cell::panic_already_borrowed # borrowed for this call alone
unsync_websocket::connection::keys::OsSeededKeys::new => core::cell::panic_already_mutably_borrowed # borrowed for this call alone
unsync_websocket::connection::rest::wake => core::cell::panic_already_borrowed # borrowed to take what is there
unsync_websocket::connection::error::plain => core::result::unwrap_failed # formats, into a String
unsync_websocket::handshake::answer::Answered::parse => core::panicking::panic_const::panic_const_add_overflow # a count of headers
unsync_websocket::handshake::server::judge => core::panicking::panic_const::panic_const_add_overflow # a count of headers
unsync_websocket::handshake::extensions::accept => core::result::unwrap_failed # formats, into a String
unsync_websocket::handshake::key::Key::accept => core::panicking::panic_bounds_check # SHA-1 and base64 of a known length
unsync_websocket::handshake::key::Key::accept => core::result::unwrap_failed # SHA-1 and base64 of a known length
unsync_websocket::handshake::key::Key::accept => core::slice::index::slice_index_fail # SHA-1 and base64 of a known length
unsync_websocket::handshake::key::Key::from_nonce => core::panicking::panic_bounds_check # base64 of a known length
unsync_websocket::handshake::key::Key::from_nonce => core::slice::index::slice_index_fail # base64 of a known length
unsync_websocket::handshake::offer::Offer::encode => core::option::expect_failed # ours to say, and formats into a String
unsync_websocket::handshake::offer::Offer::encode => core::panicking::panic_fmt # ours to say, and formats into a String
unsync_websocket::handshake::offer::Offer::encode => core::result::unwrap_failed # ours to say, and formats into a String
unsync_websocket::protocol::deflate::deflater::deflate_alone => <alloc::vec::Vec<_, _>>::remove::assert_failed # where it was found
unsync_websocket::protocol::spare::keep => <alloc::vec::Vec<_, _>>::swap_remove::assert_failed # where it was found
END
)

# The parsers: what they call is built into these, but for what is above. Should one be missing here, this script has nothing to say of it.
parsers="protocol::inbound::Inbound::step
protocol::inbound::Inbound::receive
protocol::inbound::Inbound::receive_into
protocol::inbound::Inbound::whole_message
protocol::inbound::Inbound::unmask_control
protocol::close::CloseFrame::decode
protocol::mask::Mask::apply_in_blocks
protocol::mask::Mask::copy
protocol::utf8::Utf8Validator::push
handshake::extensions::Terms::read
handshake::extensions::Text::next_extension
handshake::extensions::Text::next_parameter
handshake::head::HeadReader::fill
handshake::head::HeadReader::into_head_and_rest
handshake::headers::Headers::from_parsed
handshake::key::Key::parse
handshake::origin::Authority::parse
handshake::origin::Origin::parse
handshake::refusal::RefusalReader::take
handshake::request::Request::check_upgrade"

if ! objdump --version >/dev/null 2>&1; then
    echo "NOT LOOKED FOR PANICS: there is no objdump (binutils)" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
fi
target=${CARGO_TARGET_DIR:-target}/no_panic
rm -f "$target"/release/deps/unsync_websocket-*
CARGO_TARGET_DIR=$target cargo rustc --quiet --release --lib --no-default-features --features deflate -- \
    --emit=obj -C codegen-units=1 -C panic=abort -C overflow-checks=on
listing=$(mktemp)
trap 'rm -f "$listing"' EXIT
objdump -dr --no-show-raw-insn -C "$target"/release/deps/unsync_websocket-*.o >"$listing"

functions=$(sed -n 's/^[0-9a-f]* <\(.*\)>:$/\1/p' "$listing")
for parser in $parsers; do
    echo "$functions" | grep -qxF "unsync_websocket::$parser" || {
        echo "there is no function $parser: this script does not fit the library any more" >&2
        exit 1
    }
done
found=$(awk '
    /^[0-9a-f]+ <.*>:$/ { sub(/^[0-9a-f]+ </, ""); sub(/>:$/, ""); caller = $0 }
    /\tR_[A-Z0-9]+_|: R_[A-Z0-9]+_/ {
        count = split($0, parts, "\t")
        called = parts[count]
        sub(/[-+]0x[0-9a-f]+$/, "", called)
        if (called ~ /panicking|panic_|_fail|unwrap_|expect_|overflow/ && called !~ /unsync_websocket|panic_count/) print caller " => " called
    }' "$listing" | sort -u)
new=$(echo "$found" | grep -vxF "$expected" || true)
if [ -n "$new" ]; then
    echo "these may panic, and nothing in $0 says why they do not:" >&2
    echo "$new" >&2
    exit 1
fi
echo "$(echo "$functions" | wc -l) functions: $(echo "$parsers" | wc -l) parsers that call nothing that panics, and $(echo "$found" | sed 's/ => .*//' | sort -u | wc -l) others that do, with reasons"
