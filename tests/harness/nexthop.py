# SPDX-License-Identifier: ISC
"""A next hop that does what a test tells it to: an SMTP or LMTP server in threads, good unless scripted otherwise.

hop = NextHop()                                     # listens on hop.port
hop.on["RCPT"] = lambda s, line: "450 4.2.0 later"  # one reply; a list or bytes go out as they are
hop.on["DATA_END"] = HANG                           # never answer;  CLOSE: close at once;  RESET: close with RST
hop.wait(1)[0].content                              # messages taken, in order
hop.close()

Stages: CONNECT (the banner), EHLO, HELO, LHLO, MAIL, RCPT, DATA, BDAT, DATA_END (LMTP: once for each recipient), RSET, NOOP,
QUIT, and any other verb. A value is a reply, CLOSE, HANG, RESET, or a callable(session, line) that returns one of these or
None (do the usual thing). Reply(text, then=CLOSE) does both.
"""
import socket
import struct
import threading
import time

from .ports import free_port, give_back


class _Action:
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name


CLOSE, HANG, RESET = _Action("CLOSE"), _Action("HANG"), _Action("RESET")
EXTENSIONS = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES"]


class Reply:
    def __init__(self, text, then):
        self.text, self.then = text, then


class Message:
    """One message that was taken."""

    def __init__(self, session, sender, mail_params):
        self.session = session
        self.sender = sender
        self.mail_params = mail_params
        self.rcpts = []
        self.rcpt_params = []
        self.content = b""
        self.at = time.monotonic()

    def __repr__(self):
        return f"<Message from {self.sender} to {self.rcpts}, {len(self.content)} bytes>"


class Session(threading.Thread):
    """One connection. commands: all lines received."""

    def __init__(self, hop, sock, peer, number):
        super().__init__(daemon=True)
        self.hop, self.sock, self.peer, self.number = hop, sock, peer, number
        self.commands = []
        self.message = None
        self.bdat = b""
        self.file = sock.makefile("rb")
        self.is_over = False

    # -- replies --

    def say(self, what):
        if isinstance(what, Reply):
            self.say(what.text)
            what = what.then
        if what is None:
            return
        if what is CLOSE:
            self.is_over = True
        elif what is RESET:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.is_over = True
        elif what is HANG:
            while not self.hop.is_closed and not self.is_gone():
                time.sleep(0.05)
            self.is_over = True
        elif isinstance(what, list):
            self.sock.sendall("".join(f"{x}\r\n" for x in what).encode())
        else:
            self.sock.sendall(what if isinstance(what, bytes) else (what + "\r\n").encode())

    def is_gone(self):
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def scripted(self, stage, line):
        """The script's answer for a stage, None: the usual."""
        what = self.hop.on.get(stage)
        return what(self, line) if callable(what) else what

    def answer(self, stage, line, usual):
        what = self.scripted(stage, line)
        self.say(usual if what is None else what)
        return what is None or _is_positive(what)

    # -- stages --

    def run(self):
        try:
            if self.hop.delay:
                time.sleep(self.hop.delay)
            self.answer("CONNECT", "", f"220 {self.hop.name} ready")
            while not self.is_over:
                line = self.file.readline()
                if not line:
                    break
                self.step(line)
        except (OSError, ValueError):
            pass
        finally:
            try:
                self.file.close()
                self.sock.close()
            except OSError:
                pass

    def step(self, raw):
        line = raw.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        self.commands.append(line)
        verb = line.split(" ")[0].upper()
        stage = getattr(self, "on_" + verb.lower(), None)
        if stage:
            stage(line)
        else:
            self.answer(verb, line, "500 5.5.2 what?")

    def hello(self, verb, line):
        lines = [self.hop.name] + (self.hop.extensions if verb != "HELO" else [])
        self.message = None
        self.answer(verb, line, [f"250{'-' if i < len(lines) - 1 else ' '}{x}" for i, x in enumerate(lines)])

    def on_ehlo(self, line):
        self.hello("EHLO", line)

    def on_helo(self, line):
        self.hello("HELO", line)

    def on_lhlo(self, line):
        self.hello("LHLO", line)

    def on_mail(self, line):
        if self.answer("MAIL", line, "250 2.1.0 ok"):
            path, params = _path(line)
            self.message = Message(self, path, params)
            self.bdat = b""

    def on_rcpt(self, line):
        if self.message is None:
            self.say("503 5.5.1 no MAIL")
        elif self.answer("RCPT", line, "250 2.1.5 ok"):
            path, params = _path(line)
            self.message.rcpts.append(path)
            self.message.rcpt_params.append(params)

    def on_data(self, line):
        if self.message is None or not self.message.rcpts:
            if self.scripted("DATA", line) is None:
                self.say("503 5.5.1 no valid recipients")
                return
        if not self.answer("DATA", line, "354 go on"):
            return
        content = []
        while not self.is_over:
            part = self.file.readline()
            if not part:
                self.is_over = True
                return
            if part == b".\r\n":
                break
            content.append(part[1:] if part.startswith(b".") else part)
        self.end(line, b"".join(content))

    def on_bdat(self, line):
        words = line.split()
        self.bdat += self.file.read(int(words[1]))
        if (self.message is None or not self.message.rcpts) and self.scripted("BDAT", line) is None:
            self.say("503 5.5.1 no valid recipients")
        elif len(words) > 2 and words[2].upper() == "LAST":
            self.answer("BDAT", line, None)
            self.end(line, self.bdat)
        else:
            self.answer("BDAT", line, "250 2.0.0 ok")

    def end(self, line, content):
        message, self.message = self.message, None
        if message is None:
            self.say("503 5.5.1 no MAIL")
            return
        message.content = content
        rcpts = message.rcpts if self.hop.is_lmtp else [line]
        taken = []
        for i, rcpt in enumerate(rcpts):
            if self.answer("DATA_END", rcpt, f"250 2.0.0 taken as fake{self.number}.{len(self.hop.messages)}.{i}"):
                taken.append(rcpt)
            if self.is_over:
                break
        if self.hop.is_lmtp:
            message.taken = taken
        if taken:
            self.hop.take(message)

    def on_rset(self, line):
        self.message = None
        self.answer("RSET", line, "250 2.0.0 ok")

    def on_noop(self, line):
        self.answer("NOOP", line, "250 2.0.0 ok")

    def on_quit(self, line):
        self.answer("QUIT", line, "221 2.0.0 bye")
        self.is_over = True


class NextHop:
    """A server in threads. .port, .messages, .sessions; close() at the end (or use it in a with statement)."""

    def __init__(self, host="127.0.0.1", port=None, unix=None, lmtp=False, name="hop.example", extensions=None, delay=0,
                 backlog=128):
        self.is_lmtp, self.name, self.delay = lmtp, name, delay
        self.extensions = list(EXTENSIONS if extensions is None else extensions)
        self.on = {}
        self.messages, self.sessions = [], []
        self.is_closed = False
        self.changed = threading.Condition()
        self.owns_port = port is None and not unix
        if unix:
            self.sock, self.port, self.unix = socket.socket(socket.AF_UNIX), None, unix
            self.sock.bind(unix)
        else:
            self.port, self.unix = port or free_port(), None
            self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind((host, self.port))
        self.sock.listen(backlog)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _accept(self):
        while not self.is_closed:
            try:
                sock, peer = self.sock.accept()
            except OSError:
                return
            session = Session(self, sock, peer, len(self.sessions))
            with self.changed:
                self.sessions.append(session)
                self.changed.notify_all()
            session.start()

    def take(self, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def wait(self, count=1, timeout=20):
        """The messages, once there are at least so many."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.messages) >= count, timeout):
                raise AssertionError(f"next hop has {len(self.messages)} of {count} messages after {timeout} s")
            return list(self.messages)

    def wait_sessions(self, count=1, timeout=20):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.sessions) >= count, timeout):
                raise AssertionError(f"next hop has {len(self.sessions)} of {count} sessions after {timeout} s")
            return list(self.sessions)

    def close(self):
        if self.is_closed:
            return
        self.is_closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for s in self.sessions:
            try:
                s.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if self.owns_port:
            give_back(self.port)


def _is_positive(what):
    if isinstance(what, Reply):
        what = what.text
    if isinstance(what, list):
        what = what[-1] if what else ""
    if isinstance(what, bytes):
        what = what.decode("latin-1")
    return isinstance(what, str) and what[:1] in "23" and what != ""


def _path(line):
    """Path and parameters of MAIL or RCPT, quoted local parts included."""
    rest = line.split(":", 1)[1].strip()
    if not rest.startswith("<"):
        path, _, params = rest.partition(" ")
        return path, params
    is_quoted = False
    for i, ch in enumerate(rest):
        if ch == '"' and rest[i - 1] != "\\":
            is_quoted = not is_quoted
        elif ch == ">" and not is_quoted:
            return rest[1:i], rest[i + 1:].strip()
    return rest, ""
