# SPDX-License-Identifier: ISC
"""delivery (or the mailbox agent) alone, with master and qmgr played by tests/tools/bed_delivery: for every answer and every
silence of a next hop, without a queue.

with DeliveryBed() as bed:
    bed.open(1, hop)                                   # a NextHop, or text: "mx=127.0.0.1:2525"
    result = bed.deliver(1, "s@a.example", ["r@b.example"], content=b"...")
    result.outcomes[0].status                          # "delivered", "deferred", "bounced"
"""
import os
import re
import subprocess
import tempfile
import threading

from .bed import Bed
from .nexthop import NextHop
from .postern import build_dir, merge, program, render_conf


class Outcome:
    """One recipient's: status, is_untried, is_nodsn, reply, esc, text."""

    def __init__(self, words, text):
        self.status = words[0]
        self.is_untried, self.is_nodsn = "untried" in words, "nodsn" in words
        self.reply, self.esc, self.text = int(words[-2]), words[-1], text

    def __repr__(self):
        return f"<{self.status}{' untried' if self.is_untried else ''} {self.reply} {self.esc} {self.text}>"


class Result:
    def __init__(self, line, outcomes):
        m = re.match(r"result (\d+) session=(\d+) up=(\d) relay=(.*) connect=(\d+) transmit=(\d+)$", line)
        self.job, self.session, self.is_up, self.relay = int(m[1]), int(m[2]), m[3] == "1", m[4]
        self.connect_ms, self.transmit_ms = int(m[5]), int(m[6])
        self.outcomes = outcomes

    def __repr__(self):
        return f"<Result {self.job} up={self.is_up} {self.outcomes}>"


class DeliveryBed(Bed):
    """bases: folders for the mailbox agent; with them that is what runs."""

    def __init__(self, conf=None, bases=None, kind=None):
        self.port = None
        self.dir = tempfile.mkdtemp(prefix="postern-bed-")
        os.chmod(self.dir, 0o755)
        self.conf = merge({"hostname": "me.test.example", "log": {"level": "debug"}}, conf or {})
        self.conf_path = os.path.join(self.dir, "postern.conf")
        with open(self.conf_path, "w") as f:
            f.write(render_conf(self.conf))
        self.lines = []
        self.next_job = 1
        kind = kind or ("mailbox" if bases is not None else "delivery")
        self.process = subprocess.Popen(
            [os.path.join(build_dir(), "tests/tools/bed_delivery"), program("delivery"), self.conf_path, kind] + list(bases or []),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1, errors="surrogateescape")
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.pid = int(self.wait(r"^ready ").split()[1])
            self.wait(r"^inventory_end")
        except BaseException:
            self.close()
            raise

    def file(self, data):
        """Path of a file that holds these bytes."""
        fd, path = tempfile.mkstemp(dir=self.dir)
        with os.fdopen(fd, "wb") as f:
            f.write(data)
        return path

    def open(self, session, *hops, lmtp=False, flags="local"):
        """Open a session; its next line ("session N up ...", "... failed ...") is the caller's to wait for."""
        words = []
        for h in hops:
            if isinstance(h, NextHop):
                lmtp = lmtp or h.is_lmtp
                words.append(f"unix:{h.unix}" if h.unix else f"{h.name}=127.0.0.1:{h.port}")
            else:
                words.append(h)
        self.order(f"open {session} {'lmtp' if lmtp else 'smtp'} {flags} {' '.join(words)}")

    def up(self, session, *hops, timeout=10, **kw):
        """Open a session that is expected to come up; the relay."""
        begin = len(self.lines)
        self.open(session, *hops, **kw)
        return self.wait(f"^session {session} (up|failed)", timeout, begin).split(" ", 3)[3]

    def failed(self, session, *hops, timeout=10, **kw):
        """Open a session that is expected to fail: (reply, esc, text)."""
        begin = len(self.lines)
        self.open(session, *hops, **kw)
        line = self.wait(f"^session {session} (up|failed)", timeout, begin)
        m = re.match(r"session \d+ failed (\d+) (\S*) .*? \| (.*)$", line)
        assert m, line
        return int(m[1]), m[2], m[3]

    def job(self, session, sender, rcpts, content=None, trace=None, **options):
        """Give a job; returns its number. options: flags=, notify=, ret=, envid=, orcpt=, orig=, body8=True, utf8=True."""
        job, self.next_job = self.next_job, self.next_job + 1
        words = [f"job {job} {session} {sender or '-'} {','.join(rcpts)}"]
        if content is not None:
            words.append("content=" + self.file(content))
        if trace is not None:
            words.append("trace=" + self.file(trace))
        words += [k if v is True else f"{k}={v}" for k, v in options.items()]
        self.order(" ".join(words))
        return job

    def result(self, job, timeout=10, begin=0, count=1):
        line = self.wait(f"^result {job} ", timeout, begin, count)
        outcomes = {}
        for x in self.find(f"^outcome {job} ", begin):
            m = re.match(r"outcome \d+ (\d+) (\w+(?: untried)?(?: nodsn)? \d+ \S*) ?(.*)$", x)
            outcomes[int(m[1])] = Outcome(m[2].split(" "), m[3])
        return Result(line, [outcomes[i] for i in sorted(outcomes)])

    def deliver(self, session, sender, rcpts, timeout=10, **kw):
        return self.result(self.job(session, sender, rcpts, **kw), timeout)

    def close_session(self, session, timeout=10):
        self.order(f"close {session}")
        self.wait(f"^session {session} closed", timeout)
