# SPDX-License-Identifier: ISC
"""Load with a memory: clients that send unique messages and keep what was acknowledged.

load = Load(port, clients=20, rcpt="user@local.example")
load.start(); ...; load.stop()
load.acked          # {token: Ack(qid, sha, at)}: each had its 250
missing = load.missing(found)

A message carries its token in its Subject, so that a copy is recognised whatever headers were put in front; found is what
tokens_of() reads from delivered messages.
"""
import collections
import hashlib
import os
import random
import re
import threading
import time
import uuid

from .smtp import Smtp, Unexpected

Ack = collections.namedtuple("Ack", "qid sha mark")
TOKEN = re.compile(rb"^Subject: token ([0-9a-f]{32})\r?$", re.M)


def body_sha(content):
    """SHA-256 of the body alone, whatever its line ends (a Maildir has LF)."""
    content = content.replace(b"\r\n", b"\n")
    return hashlib.sha256(content.split(b"\n\n", 1)[1]).hexdigest()


def tokens_of(contents):
    """Delivered messages -> {token: [sha, ...]}; one entry for each copy."""
    found = collections.defaultdict(list)
    for content in contents:
        m = TOKEN.search(content)
        if m is None:
            raise AssertionError(f"a message that nobody sent: {content[:300]!r}")
        found[m.group(1).decode()].append(body_sha(content))
    return found


class Load:
    def __init__(self, port, clients=20, rcpt="user@local.example", seed=1, sizes=(200, 3000, 12000, 90000), weights=(4, 4, 4, 1),
                 mark=None, per_connection=20, pause=0.0):
        self.port, self.rcpt, self.mark = port, rcpt, mark
        self.sizes, self.weights, self.per_connection, self.pause = sizes, weights, per_connection, pause
        self.acked, self.sent = {}, {}
        self.refused = collections.Counter()
        self.lock = threading.Lock()
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self._client, args=(random.Random(seed * 1000 + i),), daemon=True)
                        for i in range(clients)]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def stop(self, timeout=30):
        self.is_over.set()
        for t in self.threads:
            t.join(timeout)
        if any(t.is_alive() for t in self.threads):
            raise AssertionError("a client hangs")
        return self

    def _client(self, rng):
        while not self.is_over.is_set():
            try:
                with Smtp(self.port, timeout=15) as c:
                    c.ehlo()
                    for _ in range(self.per_connection):
                        if self.is_over.is_set():
                            break
                        self._send(c, rng)
                        if self.pause:
                            time.sleep(self.pause)
            except (OSError, ConnectionError, Unexpected) as e:
                with self.lock:
                    self.refused[type(e).__name__ + ": " + str(e)[:60]] += 1
                time.sleep(0.02)

    def _send(self, c, rng):
        token = uuid.UUID(int=rng.getrandbits(128)).hex
        size = rng.choices(self.sizes, self.weights)[0]
        body = os.urandom(size // 2).hex()
        body = "\r\n".join(body[i:i + 70] for i in range(0, len(body), 70)) + "\r\n"
        content = f"From: <load@client.example>\r\nSubject: token {token}\r\n\r\n{body}".encode()
        sha = body_sha(content)
        with self.lock:
            self.sent[token] = sha
        replies = c.pipeline([f"MAIL FROM:<load-{token}@client.example>", f"RCPT TO:<{self.rcpt}>", "DATA"])
        for what, reply, code in zip(("MAIL", "RCPT", "DATA"), replies, (250, 250, 354)):
            if reply.code != code:
                if what != "DATA" and replies[2].code == 354:
                    c.send(b".\r\n")
                    c.read_reply()
                raise Unexpected(f"{what}: {reply}")
        c.send(content + b".\r\n")
        reply = c.read_reply()
        if reply.code != 250:
            with self.lock:
                self.refused[str(reply.code) + " " + reply.esc] += 1
            return
        if reply.qid is None:
            raise AssertionError(f"250 without a queue id: {reply}")
        with self.lock:
            self.acked[token] = Ack(reply.qid, sha, self.mark() if self.mark else None)

    # -- what became of it --

    def missing(self, found, acked=None):
        """Tokens that were acknowledged and are not among `found` unharmed."""
        acked = self.acked if acked is None else acked
        return [t for t, ack in acked.items() if ack.sha not in found.get(t, ())]

    def damaged(self, found):
        """Copies that differ from what was sent."""
        return [t for t, shas in found.items() if any(s != self.sent.get(t) for s in shas)]

    @staticmethod
    def duplicates(found):
        return sum(len(shas) - 1 for shas in found.values())
