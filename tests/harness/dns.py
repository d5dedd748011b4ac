# SPDX-License-Identifier: ISC
"""A DNS server that does what a test tells it to: authoritative for everything, UDP and TCP, in threads.

with Dns('''
    example.org       MX    10 mx.example.org
    mx.example.org    A     127.0.0.2
    mx.example.org 60 AAAA  ::1
    null.example      MX    0 .
    www.example.org   CNAME example.org
''') as dns:
    Postern(conf={"resolver": {"servers": [dns.server], "dnssec": False}})
    dns.add("more.example A 127.0.0.3");  dns.remove("more.example")
    dns.on["dead.example"] = TIMEOUT                # whatever is asked about this name
    dns.on["half.example", "MX"] = SERVFAIL         # this type only
    dns.on["odd.example"] = lambda query: b"..."    # bytes of the reply, or one of the values below, or None: the usual
    dns.asked("example.org", "MX")                  # how often

Behaviours: SERVFAIL, REFUSED, NXDOMAIN, TIMEOUT (no answer), TRUNCATE (UDP says "ask by TCP"), GARBAGE, LATE (after dns.delay).
CNAMEs are followed within the zone as a recursive server does; a loop gives the records of one round and no end.
"""
import socket
import struct
import threading
import time

from .ports import free_port, give_back

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28}
NAMES = {v: k for k, v in TYPES.items()}
NOERROR, FAILED, NO_SUCH_NAME, NOT_FOR_YOU = 0, 2, 3, 5
TTL = 300


class _Behaviour:
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name


SERVFAIL, REFUSED, NXDOMAIN = _Behaviour("SERVFAIL"), _Behaviour("REFUSED"), _Behaviour("NXDOMAIN")
TIMEOUT, TRUNCATE, GARBAGE, LATE = _Behaviour("TIMEOUT"), _Behaviour("TRUNCATE"), _Behaviour("GARBAGE"), _Behaviour("LATE")
RCODES = {SERVFAIL: FAILED, REFUSED: NOT_FOR_YOU, NXDOMAIN: NO_SUCH_NAME}


def wire_name(name):
    """Labels of a name; a label may hold any byte but a dot (latin-1)."""
    name = name.rstrip(".")
    out = b""
    for label in name.split(".") if name else []:
        raw = label.encode("latin-1")
        out += bytes([len(raw)]) + raw
    return out + b"\0"


class Record:
    def __init__(self, name, rtype, data, ttl=TTL):
        self.name, self.rtype, self.data, self.ttl = name.lower().rstrip("."), rtype, data, ttl

    def wire(self):
        if self.rtype == "MX":
            preference, _, host = self.data.partition(" ")
            rdata = struct.pack(">H", int(preference)) + wire_name(host)
        elif self.rtype in ("CNAME", "NS"):
            rdata = wire_name(self.data)
        elif self.rtype == "A":
            rdata = socket.inet_pton(socket.AF_INET, self.data)
        elif self.rtype == "AAAA":
            rdata = socket.inet_pton(socket.AF_INET6, self.data)
        elif self.rtype == "TXT":
            raw = self.data.encode()
            rdata = b"".join(bytes([len(raw[i:i + 255])]) + raw[i:i + 255] for i in range(0, len(raw), 255))
        else:
            raise ValueError(f"no way to write {self.rtype}")
        return wire_name(self.name) + struct.pack(">HHIH", TYPES[self.rtype], 1, self.ttl, len(rdata)) + rdata


def parse_zone(text):
    """Records of lines "name [ttl] type data"; # begins a comment."""
    out = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        ttl = int(words.pop(1)) if words[1].isdigit() else TTL
        out.append(Record(words[0], words[1].upper(), " ".join(words[2:]), ttl))
    return out


class Query:
    """One question: name in lower case, type as a word, is_tcp; raw: the bytes."""

    def __init__(self, raw, is_tcp):
        self.raw, self.is_tcp = raw, is_tcp
        self.id, self.flags, questions = struct.unpack(">HHH", raw[:6])
        if questions != 1:
            raise ValueError("not one question")
        at, labels = 12, []
        while raw[at]:
            labels.append(raw[at + 1:at + 1 + raw[at]].decode("latin-1"))
            at += 1 + raw[at]
        self.name = ".".join(labels).lower()
        number, self.qclass = struct.unpack(">HH", raw[at + 1:at + 5])
        self.type = NAMES.get(number, str(number))
        self.question = raw[12:at + 5]

    def reply(self, records=(), rcode=NOERROR, is_truncated=False, soa_of=None):
        flags = 0x8400 | (self.flags & 0x0100) | 0x0080 | (0x0200 if is_truncated else 0) | rcode
        authority = b""
        if soa_of is not None:
            rdata = wire_name("ns." + soa_of) + wire_name("admin." + soa_of) + struct.pack(">IIIII", 1, 60, 60, 60, 60)
            authority = wire_name(soa_of) + struct.pack(">HHIH", TYPES["SOA"], 1, 60, len(rdata)) + rdata
        return (struct.pack(">HHHHHH", self.id, flags, 1, len(records), 1 if authority else 0, 0) + self.question +
                b"".join(r.wire() for r in records) + authority)


class Dns:
    def __init__(self, zone="", delay=1.0):
        self.records = parse_zone(zone)
        self.on, self.queries, self.delay = {}, [], delay
        self.lock = threading.Lock()
        self.is_closed = False
        self.port = free_port()
        self.server = f"127.0.0.1@{self.port}"
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in (self.udp, self.tcp):
            sock.bind(("127.0.0.1", self.port))
            sock.settimeout(0.2)
        self.tcp.listen(16)
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self._serve_udp, self._serve_tcp)]
        for t in self.threads:
            t.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.is_closed = True
        for t in self.threads:
            t.join()
        self.udp.close()
        self.tcp.close()
        give_back(self.port)

    # -- the zone --

    def add(self, zone):
        self.records = self.records + parse_zone(zone)

    def remove(self, name, rtype=None):
        self.records = [r for r in self.records if r.name != name or (rtype and r.rtype != rtype)]

    def asked(self, name, rtype=None, tcp=None):
        """How often a question came."""
        with self.lock:
            return sum(1 for n, t, is_tcp in self.queries
                       if n == name and (rtype is None or t == rtype) and (tcp is None or is_tcp == tcp))

    # -- answers --

    def _lookup(self, query):
        answers, name, seen = [], query.name, set()
        while name not in seen:
            seen.add(name)
            here = [r for r in self.records if r.name == name]
            found = [r for r in here if r.rtype == query.type]
            alias = [r for r in here if r.rtype == "CNAME"]
            answers += found or alias[:1]
            if found or not alias:
                break
            name = alias[0].data.lower().rstrip(".")
        if any(r.rtype == query.type for r in answers) or name in seen and any(r.name == name for r in answers):
            return query.reply(answers)
        exists = any(r.name == name or r.name.endswith("." + name) for r in self.records)
        return query.reply(answers, NOERROR if exists else NO_SUCH_NAME, soa_of=name.rpartition(".")[2])

    def answer(self, query):
        """Bytes of the reply, None: none."""
        what = self.on.get((query.name, query.type), self.on.get(query.name))
        if callable(what):
            what = what(query)
        if what is LATE:
            time.sleep(self.delay)
        elif what is TIMEOUT or isinstance(what, bytes):
            return None if what is TIMEOUT else what
        elif what in RCODES:
            return query.reply(rcode=RCODES[what], soa_of=query.name if what is NXDOMAIN else None)
        elif what is GARBAGE:
            return query.raw[:2] + b"\x84\x00" + b"\xc0\x0c" * 40
        elif what is TRUNCATE and not query.is_tcp:
            return query.reply(is_truncated=True)
        return self._lookup(query)

    def _take(self, raw, is_tcp):
        try:
            query = Query(raw, is_tcp)
        except (ValueError, IndexError, struct.error):
            return None
        with self.lock:
            self.queries.append((query.name, query.type, is_tcp))
        return self.answer(query)

    def _answer_udp(self, raw, peer):
        reply = self._take(raw, False)
        if reply is not None:
            try:
                self.udp.sendto(reply, peer)
            except OSError:
                pass

    def _serve_udp(self):
        while not self.is_closed:
            try:
                raw, peer = self.udp.recvfrom(4096)
            except OSError:     # also: nothing came
                continue
            threading.Thread(target=self._answer_udp, args=(raw, peer), daemon=True).start()

    def _serve_tcp(self):
        while not self.is_closed:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                continue
            threading.Thread(target=self._answer_tcp, args=(sock,), daemon=True).start()

    def _answer_tcp(self, sock):
        with sock, sock.makefile("rb") as f:
            sock.settimeout(5)
            try:
                while head := f.read(2):
                    reply = self._take(f.read(struct.unpack(">H", head)[0]), True)
                    if reply is None:
                        time.sleep(self.delay)
                        return
                    sock.sendall(struct.pack(">H", len(reply)) + reply)
            except (OSError, struct.error):
                pass
