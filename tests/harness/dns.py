# SPDX-License-Identifier: ISC
"""A small DNS server of the tests: answers for everything, over UDP and TCP, and misbehaves where it is told to.

with Dns() as dns:
    dns.mx("example.org", (10, "mx1.example.org"), (20, "mx2.example.org"))
    dns.a("mx1.example.org", "192.0.2.1", "192.0.2.2")
    dns.fail("broken.example", "servfail")      # servfail, refused, silent, garbage
    server = Postern(conf={"resolver": {"servers": [dns.spec], "dnssec": False}})
    dns.count("example.org", "MX")              # questions that came so far

A name of which nothing is known does not exist (NXDOMAIN); one that has other types has no data. An answer over 1232
bytes comes truncated over UDP and whole over TCP. It poses as a resolver (it is asked as one).
"""
import ipaddress
import select
import socket
import struct
import threading
import time

from .ports import free_port, give_back

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "DS": 43, "DNSKEY": 48}
NAMES = {number: name for name, number in TYPES.items()}
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
UDP_MAX = 1232


def _canonical(name):
    return name.lower().rstrip(".")


def wire_name(name):
    """A name as bytes. A label may be bytes, for what no host can be called."""
    labels = name if isinstance(name, (list, tuple)) else [x for x in name.rstrip(".").split(".") if x]
    out = b""
    for label in labels:
        raw = label if isinstance(label, bytes) else label.encode("ascii")
        out += bytes([len(raw)]) + raw
    return out + b"\0"


class Dns:
    def __init__(self, address="127.0.0.1"):
        self.address, self.port = address, free_port()
        self.records = {}       # name -> [(type, ttl, rdata, next name of a CNAME)]
        self.failures = {}      # name -> what is done instead of an answer
        self.delays = {}        # name -> seconds
        self.asked = []         # (name, type) in order
        self.lock = threading.Lock()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, self.port))
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((address, self.port))
        self.tcp.listen(16)
        self.wake_read, self.wake_write = socket.socketpair()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.thread is None:
            return
        self.wake_write.send(b"x")
        self.thread.join(5)
        self.thread = None
        for s in (self.udp, self.tcp, self.wake_read, self.wake_write):
            s.close()
        give_back(self.port)

    @property
    def spec(self):
        """For resolver { servers }."""
        return f"{self.address}@{self.port}"

    # -- what it knows --

    def add(self, name, kind, rdata, ttl=300, target=None):
        with self.lock:
            self.records.setdefault(_canonical(name), []).append((TYPES[kind], ttl, rdata, target))

    def a(self, name, *addresses, ttl=300):
        """A and AAAA records."""
        for text in addresses:
            ip = ipaddress.ip_address(text)
            self.add(name, "A" if ip.version == 4 else "AAAA", ip.packed, ttl)

    def mx(self, name, *hosts, ttl=300):
        """MX records: (preference, host); host "." or "" makes the null MX, a list of bytes any labels."""
        for preference, host in hosts:
            self.add(name, "MX", struct.pack("!H", preference) + wire_name("" if host == "." else host), ttl)

    def cname(self, name, target, ttl=300):
        self.add(name, "CNAME", wire_name(target), ttl, _canonical(target))

    def ptr(self, address, name, ttl=300):
        """The name of an address."""
        self.add(ipaddress.ip_address(address).reverse_pointer, "PTR", wire_name(name), ttl)

    def txt(self, name, text):
        self.add(name, "TXT", bytes([len(text)]) + text.encode())

    def fail(self, name, how):
        """From now on: "servfail", "refused", "silent", "garbage"; None: an answer again."""
        with self.lock:
            if how is None:
                self.failures.pop(_canonical(name), None)
            else:
                self.failures[_canonical(name)] = how

    def delay(self, name, seconds):
        with self.lock:
            self.delays[_canonical(name)] = seconds

    def forget(self, name):
        """Nothing is known of this name."""
        with self.lock:
            self.records.pop(_canonical(name), None)

    def count(self, name=None, kind=None):
        """Questions that came so far."""
        with self.lock:
            return sum((name is None or n == _canonical(name)) and (kind is None or k == kind) for n, k in self.asked)

    # -- answers --

    def _run(self):
        while True:
            ready, _, _ = select.select([self.udp, self.tcp, self.wake_read], [], [])
            if self.wake_read in ready:
                return
            if self.udp in ready:
                data, peer = self.udp.recvfrom(4096)
                threading.Thread(target=self._answer_udp, args=(data, peer), daemon=True).start()
            if self.tcp in ready:
                conn, _ = self.tcp.accept()
                threading.Thread(target=self._serve_tcp, args=(conn,), daemon=True).start()

    def _answer_udp(self, data, peer):
        out = self._answer(data, UDP_MAX)
        if out is not None:
            try:
                self.udp.sendto(out, peer)
            except OSError:
                pass                # closed meanwhile

    def _serve_tcp(self, conn):
        with conn, conn.makefile("rb") as f:
            conn.settimeout(10)
            try:
                while True:
                    head = f.read(2)
                    if len(head) < 2:
                        return
                    out = self._answer(f.read(struct.unpack("!H", head)[0]), 65535)
                    if out is None:
                        return
                    conn.sendall(struct.pack("!H", len(out)) + out)
            except OSError:
                return

    def _answer(self, data, room):
        """Bytes of the answer, None: none."""
        name, end = self._question(data)
        if name is None:
            return None
        number = struct.unpack("!H", data[end:end + 2])[0]
        with self.lock:
            self.asked.append((name, NAMES.get(number, str(number))))
            how, delay = self.failures.get(name), self.delays.get(name, 0)
        if delay:
            time.sleep(delay)
        question = data[12:end + 4]
        if how == "silent":
            return None
        if how == "garbage":
            return data[:2] + b"\x81\x80" + b"\xff" * 40
        if how in ("servfail", "refused"):
            return self._message(data, SERVFAIL if how == "servfail" else REFUSED, question, [])
        rcode, answers = self._find(name, number)
        out = self._message(data, rcode, question, answers)
        return out if len(out) <= room else self._message(data, rcode, question, [], is_cut=True)

    @staticmethod
    def _question(data):
        """Name of the first question and where it ends; (None, 0): this is none."""
        if len(data) < 17:
            return None, 0
        labels, at = [], 12
        while at < len(data) and data[at] != 0:
            labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1").lower())
            at += 1 + data[at]
        return (".".join(labels), at + 1) if at + 5 <= len(data) else (None, 0)

    def _find(self, name, number):
        """rcode and records, a chain of aliases followed as far as it is known here."""
        answers, seen = [], set()
        with self.lock:
            while True:
                here = self.records.get(name)
                if here is None:
                    return (NOERROR if answers else NXDOMAIN), answers
                found = [(name, r) for r in here if r[0] == number]
                alias = [(name, r) for r in here if r[0] == TYPES["CNAME"]]
                if found or not alias or name in seen:
                    return NOERROR, answers + found
                seen.add(name)
                answers += alias
                name = alias[0][1][3]

    @staticmethod
    def _message(query, rcode, question, answers, is_cut=False):
        flags = 0x8180 | (0x0200 if is_cut else 0) | rcode
        out = query[:2] + struct.pack("!HHHHH", flags, 1, len(answers), 0, 0) + question
        for name, (number, ttl, rdata, _) in answers:
            out += wire_name(name) + struct.pack("!HHIH", number, 1, ttl, len(rdata)) + rdata
        return out
