# SPDX-License-Identifier: ISC
"""An SMTP and LMTP client on a bare socket: sends exactly the bytes it is told to, and understands replies."""
import re
import socket
import time

QID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{13}\b")


class Reply:
    """One reply of one or more lines."""

    def __init__(self, code, lines):
        self.code = code            # int
        self.lines = lines          # texts without code, str (latin-1)

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def esc(self):
        """Enhanced status code of the last line, or ''."""
        m = re.match(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)", self.lines[-1])
        return m.group(1) if m else ""

    @property
    def qid(self):
        """The queue id in the text, or None."""
        m = QID.search(self.text)
        return m.group(0) if m else None

    def __str__(self):
        return "\n".join(f"{self.code}{'-' if i < len(self.lines) - 1 else ' '}{line}" for i, line in enumerate(self.lines))

    __repr__ = __str__


class Unexpected(AssertionError):
    pass


class Smtp:
    """Smtp(port) connects and, unless greet=False, reads the banner into .banner.

    with Smtp(server.port) as c:
        c.ehlo()
        qid = c.send_mail("a@x.example", ["b@y.example"], b"Subject: x\\r\\n\\r\\nhello\\r\\n")
    """

    def __init__(self, port=None, host="127.0.0.1", unix=None, greet=True, timeout=20, source=None):
        if unix:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(unix)
        else:
            self.sock = socket.create_connection((host, port), timeout, source_address=source)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b""
        self.extensions = {}
        self.banner = self.read_reply() if greet else None
        if greet and self.banner.code != 220:
            raise Unexpected(f"banner: {self.banner}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    # -- bytes --

    def send(self, data):
        """Exactly these bytes (str: as UTF-8)."""
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def read_line(self):
        """One line without CRLF. A line that ends in a bare LF, or the end of the connection, is an error."""
        while b"\n" not in self.buf:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError(f"connection closed by the server, unfinished line: {self.buf!r}")
            self.buf += more
        line, self.buf = self.buf.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise Unexpected(f"server ended a line with a bare LF: {line!r}")
        return line[:-1]

    def read_reply(self):
        lines, code = [], None
        while True:
            line = self.read_line().decode("latin-1")
            m = re.match(r"(\d{3})([ -]?)(.*)$", line, re.S)
            if not m or (code is not None and m.group(1) != code):
                raise Unexpected(f"malformed reply line: {line!r}")
            code = m.group(1)
            lines.append(m.group(3))
            if m.group(2) != "-":
                return Reply(int(code), lines)

    def is_closed(self, timeout=5):
        """True if the server closes the connection within this time (and sends nothing more)."""
        self.sock.settimeout(timeout)
        try:
            return self.buf == b"" and self.sock.recv(1) == b""
        except (socket.timeout, TimeoutError):
            return False
        except ConnectionError:
            return True

    # -- commands --

    def cmd(self, line):
        """Send one command line (CRLF is added) and return its reply."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.read_reply()

    def expect(self, line, code, esc=None):
        """cmd() whose reply must have this code (or one of a tuple) and enhanced status code."""
        return self.check(line, self.cmd(line), code, esc)

    @staticmethod
    def check(what, reply, code, esc=None):
        codes = code if isinstance(code, tuple) else (code,)
        if reply.code not in codes or (esc is not None and reply.esc != esc):
            raise Unexpected(f"{what!r}: want {code} {esc or ''}, got {reply}")
        return reply

    def pipeline(self, lines):
        """Send all lines at once and return the list of replies."""
        self.send(b"".join((x.encode() if isinstance(x, str) else x) + b"\r\n" for x in lines))
        return [self.read_reply() for _ in lines]

    def ehlo(self, name="client.example", verb="EHLO"):
        reply = self.expect(f"{verb} {name}", 250)
        self.extensions = {}
        for line in reply.lines[1:]:
            word, _, args = line.partition(" ")
            self.extensions[word.upper()] = args
        return reply

    def mail(self, sender, params="", code=250, esc=None):
        return self.expect(f"MAIL FROM:<{sender}>{' ' + params if params else ''}", code, esc)

    def rcpt(self, rcpt, params="", code=250, esc=None):
        return self.expect(f"RCPT TO:<{rcpt}>{' ' + params if params else ''}", code, esc)

    def data(self, content, code=250, esc=None):
        """DATA with dot-stuffing done; content in CRLF lines."""
        self.expect("DATA", 354)
        self.send(dot_stuff(content))
        return self.check("DATA", self.read_reply(), code, esc)

    def send_mail(self, sender, rcpts, content, mail_params="", rcpt_params=""):
        """A whole transaction; returns the queue id."""
        self.mail(sender, mail_params)
        for rcpt in [rcpts] if isinstance(rcpts, str) else rcpts:
            self.rcpt(rcpt, rcpt_params)
        reply = self.data(content)
        if reply.qid is None:
            raise Unexpected(f"no queue id in {reply}")
        return reply.qid

    def quit(self):
        reply = self.expect("QUIT", 221)
        self.close()
        return reply


def dot_stuff(content):
    """Content as it goes over the wire after DATA, with the final dot."""
    if isinstance(content, str):
        content = content.encode()
    if content.startswith(b"."):
        content = b"." + content
    content = content.replace(b"\r\n.", b"\r\n..")
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    return content + b".\r\n"


def message(subject="test", body="hello\r\n", sender="a@client.example", to="b@local.example", size=0, extra=""):
    """A small RFC 5322 message as bytes; size: padded to at least so many bytes with lines of 70."""
    head = (f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
            f"Message-ID: <{time.time_ns()}@client.example>\r\n{extra}\r\n")
    text = (head + body).encode()
    line = b"0123456789" * 7 + b"\r\n"
    if len(text) < size:
        text += line * ((size - len(text)) // len(line) + 1)
    return text
