// Java's `java.net.http` as a client of `echo_server`: java Client.java URL
//
// Prints a line for each check; ends with a status other than 0 at the first that fails.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class Client {
    /** What came, one thing a message; the parts of a message are put together. */
    static final class Inbox implements WebSocket.Listener {
        private final LinkedBlockingQueue<Object> came = new LinkedBlockingQueue<>();
        private final StringBuilder text = new StringBuilder();
        private byte[] bytes = new byte[0];

        @Override
        public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
            text.append(part);
            if (last) {
                came.add(text.toString());
                text.setLength(0);
            }
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer part, boolean last) {
            int start = bytes.length;
            bytes = Arrays.copyOf(bytes, start + part.remaining());
            part.get(bytes, start, part.remaining());
            if (last) {
                came.add(bytes);
                bytes = new byte[0];
            }
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onPong(WebSocket socket, ByteBuffer payload) {
            came.add("pong of " + payload.remaining());
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            came.add("closed with " + code + " " + reason);
            return null;
        }

        @Override
        public void onError(WebSocket socket, Throwable error) {
            came.add("failed: " + error);
        }

        void expect(Object expected) throws InterruptedException {
            Object got = came.poll(20, TimeUnit.SECONDS);
            boolean same = expected instanceof byte[] sent
                ? got instanceof byte[] received && Arrays.equals(sent, received)
                : expected.equals(got);
            if (!same) {
                throw new AssertionError(show(expected) + " was expected, and came " + show(got));
            }
        }

        private static String show(Object thing) {
            String text = thing instanceof byte[] bytes ? bytes.length + " bytes" : String.valueOf(thing);
            return text.length() > 60 ? text.substring(0, 60) + ".." : text;
        }
    }

    interface Check {
        void run(WebSocket socket, Inbox inbox) throws Exception;
    }

    static int done = 0;

    static void check(String url, String name, Check check) throws Exception {
        Inbox inbox = new Inbox();
        WebSocket socket = HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(URI.create(url), inbox).get(10, TimeUnit.SECONDS);
        check.run(socket, inbox);
        System.out.println("java.net.http: " + name + ": ok");
        done += 1;
    }

    static void close(WebSocket socket, Inbox inbox, int code, String reason) throws Exception {
        socket.sendClose(code, reason).get(10, TimeUnit.SECONDS);
        inbox.expect("closed with " + code + " " + reason);
    }

    static byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i += 1) {
            bytes[i] = (byte) (i * 7 + (i >> 8));
        }
        return bytes;
    }

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        check(url, "text", (socket, inbox) -> {
            for (String text : new String[] {"hello", "gr\u00fc\u00dfe, \u4e16\u754c \ud83e\udd80", "", "x".repeat(70000)}) {
                socket.sendText(text, true).get(10, TimeUnit.SECONDS);
                inbox.expect(text);
            }
            close(socket, inbox, 1000, "");
        });
        check(url, "binary of every length form", (socket, inbox) -> {
            for (int length : new int[] {0, 1, 125, 126, 127, 65535, 65536, 5 << 20}) {
                socket.sendBinary(ByteBuffer.wrap(bytes(length)), true).get(20, TimeUnit.SECONDS);
                inbox.expect(bytes(length));
            }
            close(socket, inbox, 1000, "bye");
        });
        check(url, "fragments, with a ping between them", (socket, inbox) -> {
            socket.sendText("one ", false).get(10, TimeUnit.SECONDS);
            socket.sendText("", false).get(10, TimeUnit.SECONDS);
            socket.sendPing(ByteBuffer.wrap(new byte[7])).get(10, TimeUnit.SECONDS);
            inbox.expect("pong of 7");
            socket.sendText("two", true).get(10, TimeUnit.SECONDS);
            inbox.expect("one two");
            close(socket, inbox, 1000, "");
        });
        check(url, "pings", (socket, inbox) -> {
            for (int length : new int[] {0, 1, 125}) {
                socket.sendPing(ByteBuffer.wrap(new byte[length])).get(10, TimeUnit.SECONDS);
                inbox.expect("pong of " + length);
            }
            close(socket, inbox, 1000, "");
        });
        check(url, "a thousand messages, in order", (socket, inbox) -> {
            for (int i = 0; i < 1000; i += 1) {
                socket.sendText("message " + i, true).get(10, TimeUnit.SECONDS);
            }
            for (int i = 0; i < 1000; i += 1) {
                inbox.expect("message " + i);
            }
            close(socket, inbox, 1000, "");
        });
        check(url, "a close code of one's own", (socket, inbox) -> close(socket, inbox, 4321, "\u00e4".repeat(61)));
        check(url, "a message that is too long is answered with 1009", (socket, inbox) -> {
            socket.sendBinary(ByteBuffer.allocate((8 << 20) + 1), true);
            Object end = inbox.came.poll(20, TimeUnit.SECONDS);
            if (!String.valueOf(end).startsWith("closed with 1009")) {
                throw new AssertionError(end);
            }
        });
        System.out.println("== java.net.http | " + System.getProperty("java.version") + " | " + done);
        System.exit(0);
    }
}
