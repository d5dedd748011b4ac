# SPDX-License-Identifier: ISC
"""`postern doctor`: each check finds what it is for and names the remedy, and is content where all is well. In a network
and file systems of the test's own (harness/netns.py) with a scripted DNS server."""
import json
import os
import pty
import re
import shutil
import tempfile
import time

import pytest

from tests.harness.dns import Dns
from tests.harness.netns import Netns
from tests.harness.postern import USERS, program, render_conf

MISSING = Netns.missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

CHECKS = ["config", "bind", "dns", "hostname", "ptr", "domains", "outbound", "postmaster", "memory", "disk", "network", "clock"]
ADDRESS, ADDRESS6 = "192.0.2.1", "2001:db8::1"
NOBODY = 65534
USAGE = 64


class Host:
    """A host with one address in a network of its own, a DNS server and a folder that everybody can enter."""

    def __init__(self):
        self.ns = Netns()
        self.ns.sh(f"ip addr add {ADDRESS}/24 dev lo; ip addr add {ADDRESS6}/64 dev lo nodad")
        self.dir = tempfile.mkdtemp(prefix="postern-test-")
        os.chmod(self.dir, 0o755)
        self.binary = shutil.copy(program("postern"), self.dir)
        self.dns = self.ns.call(Dns)
        self.open = []
        self.write()

    def close(self):
        for s in self.open:
            s.close()
        self.dns.close()
        self.ns.close()
        shutil.rmtree(self.dir)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, extra="", **conf):
        base = {"hostname": "mx.test.example", "origin": "test.example", "postmaster": "admin@elsewhere.example",
                "users": USERS, "directories": {"spool": self.path("spool"), "run": self.path("run"), "state": self.path("state")},
                "resolver": {"servers": [self.dns.spec], "dnssec": False},
                'listen "smtp"': {"address": "*", "port": 25},
                'domain "test.example"': {"class": "discard"}}
        base.update(conf)
        with open(self.path("postern.conf"), "w") as f:
            f.write(render_conf(base) + extra)

    def listen(self, address, port):
        self.open.append(self.ns.listen(address, port))

    def doctor(self, *words, as_nobody=False, caps="", **kw):
        prefix = []
        if as_nobody:
            prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            prefix += [f"--inh-caps=+{caps}", f"--ambient-caps=+{caps}"] if caps else []
        return self.ns.run(*prefix, self.binary, "doctor", *words, "-c", self.path("postern.conf"), **kw)

    def lines(self, *words, **kw):
        """[(result, check, text)]; the exit status is that of the results."""
        done = self.doctor(*words, **kw)
        assert done.stderr == ""
        out = [(line[:4].strip(), line[6:16].strip(), line[18:]) for line in done.stdout.splitlines()]
        assert done.returncode == (1 if any(r == "FAIL" for r, _, _ in out) else 0)
        for result, _, text in out:
            assert result in ("ok", "warn", "FAIL")
            assert result == "ok" or "; " in text, "no remedy"
        return out

    def one(self, check, *words, **kw):
        """(result, text) of a check that says one line."""
        (result, name, text), = self.lines(check, *words, **kw)
        assert name == check
        return result, text

    def fake_sys(self, **files):
        """/sys/class holds nothing but these files."""
        script = "mount -t tmpfs none /sys/class"
        for path, text in files.items():
            path = "/sys/class/" + path.replace("__", "/")
            script += f"; mkdir -p $(dirname {path}); echo '{text}' > {path}"
        self.ns.sh(script)


@pytest.fixture
def host():
    h = Host()
    yield h
    h.close()


# ---- the command ----

def test_a_host_where_all_is_well(host):
    host.dns.a("mx.test.example", ADDRESS, ADDRESS6)
    host.dns.ptr(ADDRESS, "mx.test.example")
    host.dns.ptr(ADDRESS6, "mx.test.example")
    host.dns.mx("test.example", (10, "mx.test.example"))
    host.listen("127.0.0.2", 25)
    host.write(**{'listen "smtp"': {"address": ADDRESS, "port": 25}})
    lines = host.lines("--connect=127.0.0.2")
    assert list(dict.fromkeys(check for _, check, _ in lines)) == CHECKS, "each check, in order"
    assert [line for line in lines if line[0] != "ok" and line[1] not in ("disk", "network", "clock")] == []


def test_json_says_the_same_one_object_per_line(host):
    host.dns.a("mx.test.example", ADDRESS)
    words = ["config", "bind", "hostname", "ptr", "domains", "postmaster"]
    text = host.lines(*words)
    objects = [json.loads(line) for line in host.doctor("--json", *words).stdout.splitlines()]
    assert {o["result"] for o in objects} == {"ok", "fail"}
    assert [(o["result"].replace("fail", "FAIL"), o["check"], o["text"] + ("; " + o["remedy"] if "remedy" in o else ""))
            for o in objects] == text
    assert all(("remedy" in o) == (o["result"] != "ok") for o in objects)


@pytest.mark.parametrize("words, message", [
    (["xyzzy"], "there is no check `xyzzy`; write some of config bind dns"),
    (["--plan=many"], "--plan=many is no rate; write messages per time"),
    (["--plan=0"], "--plan=0 is no rate"),
    (["--size=0"], "--size=0 is no size; write bytes, or a number with k, M or G"),
    (["--size=5x"], "--size=5x is no size"),
    (["--size=999999999G"], "is no size"),
])
def test_mistyped_words_are_named_with_64(host, words, message):
    done = host.doctor(*words)
    assert done.returncode == USAGE and done.stdout == "" and message in done.stderr


def test_help_names_every_check(host):
    text = host.ns.run(program("postern"), "doctor", "--help").stdout
    for check in CHECKS:
        assert re.search(rf"^  {check} ", text, re.M), check


def test_on_a_terminal_it_says_what_it_waits_for(host):
    master, slave = pty.openpty()
    done = host.doctor("dns", "memory", capture_output=False, stderr=slave, stdout=-1, text=False)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:
        pass                # EIO: the other side is closed
    os.close(master)
    assert b"asking the DNS servers ..." in shown and shown.endswith(b"\r\x1b[K")
    assert done.stdout.startswith(b"ok    dns ")


def test_with_nobody_who_answers_it_ends_within_15_seconds(host):
    host.ns.sh("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip addr add 198.51.100.1/24 dev v0;"
               "ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:09 dev v0 nud permanent")
    host.write(resolver={"servers": ["198.51.100.9"], "dnssec": False})
    started = time.monotonic()
    lines = host.lines("--connect=198.51.100.9")
    assert time.monotonic() - started < 15
    found = {check: (result, text) for result, check, text in lines}
    assert list(found) == CHECKS
    assert found["dns"][0] == "FAIL" and "UDP and TCP port 53 must be open" in found["dns"][1]
    assert found["hostname"] == ("warn", "addresses of mx.test.example: DNS does not answer; mend DNS first and look again")
    assert found["domains"][0] == "warn" and "mend DNS first" in found["domains"][1]
    assert found["outbound"][0] == "FAIL" and "198.51.100.9 does not answer" in found["outbound"][1]
    assert "a firewall or the provider blocks outgoing port 25" in found["outbound"][1]


# ---- config ----

def test_config(host):
    assert host.one("config") == ("ok", host.path("postern.conf"))
    host.write(hop_limit=0)
    assert host.one("config") == ("FAIL", host.path("postern.conf") + " has 1 mistake, so the server cannot start; see `postern check`")
    host.write(hostname="short")
    result, text = host.one("config")
    assert result == "warn" and "1 warning; see `postern check`" in text
    os.remove(host.path("postern.conf"))
    result, text = host.one("config")
    assert result == "FAIL" and "cannot start; the defaults are looked at; write it (`postern config --sample`" in text
    assert host.one("bind") == ("ok", "port 25 of * can be bound: as root")


# ---- bind ----

def test_bind_as_root_by_capability_and_on_a_high_port(host):
    assert host.one("bind") == ("ok", "port 25 of * can be bound: as root")
    assert host.one("bind", as_nobody=True, caps="net_bind_service") == \
        ("ok", "port 25 of * can be bound: by the capability CAP_NET_BIND_SERVICE")
    result, text = host.one("bind", as_nobody=True)
    assert result == "FAIL" and f"port 25 may not be bound by user {NOBODY}: that needs root or the capability" in text
    assert "start as root" in text and "AmbientCapabilities=" in text and "a port from 1024 on" in text
    host.ns.sh("echo 25 > /proc/sys/net/ipv4/ip_unprivileged_port_start")
    assert host.one("bind", as_nobody=True) == ("ok", "port 25 of * can be bound: it needs no right")


def test_bind_names_who_has_the_port(host):
    host.listen("127.0.0.1", 25)
    result, text = host.one("bind")
    name = open("/proc/self/comm").read().strip()
    assert result == "FAIL"
    assert text.startswith(f"port 25 of * is taken by {name} (process {os.getpid()}); stop that program")
    # Not root: no look into the processes of others.
    result, text = host.one("bind", as_nobody=True, caps="net_bind_service")
    assert result == "FAIL" and "is taken by another program (root is told which); stop that program" in text


def test_bind_wants_port_25_and_an_address_of_the_host(host):
    host.write(**{'listen "smtp"': {"address": "*", "port": 2525}})
    ok, warned = host.lines("bind")
    assert ok == ("ok", "bind", "port 2525 of * can be bound: it needs no right")
    assert warned[0] == "warn" and 'write listen "smtp" { port = 25 }' in warned[2]
    host.listen("127.0.0.1", 25)
    _, warned = host.lines("bind")
    assert f"(process {os.getpid()}) listens there" in warned[2]
    host.write(**{'listen "smtp"': {"address": "198.51.100.77", "port": 25}})
    result, text = host.one("bind")
    assert result == "FAIL" and "this host has no address 198.51.100.77; set an address of its own" in text


def test_bind_knows_the_running_server(make_server):
    server = make_server()
    done = server.postern("doctor", "bind", check=False)
    assert f"is taken by this server, which runs (process {server.master_pid})" in done.stdout
    assert done.returncode == 0 and "FAIL" not in done.stdout


# ---- dns, hostname, ptr ----

def test_dns(host):
    assert host.one("dns") == ("ok", "the servers of resolver { servers } answer")
    host.dns.fail("mx.test.example", "servfail")
    host.dns.fail("", "servfail")
    result, text = host.one("dns")
    assert result == "FAIL" and f"no server of resolver {{ servers }} answers ({host.dns.spec}); name servers there that answer" in text
    conf = host.path("resolv.conf")
    with open(conf, "w") as f:
        f.write("nameserver 127.0.0.1\n")
    host.ns.sh(f"mount --bind {conf} /etc/resolv.conf")
    host.write(resolver={"dnssec": False})
    result, text = host.one("dns")
    assert result == "FAIL" and "no DNS server of /etc/resolv.conf answers; name servers that answer there" in text


def test_hostname(host):
    result, text = host.one("hostname")
    assert result == "FAIL" and "mx.test.example has no address in DNS" in text and "give it an A record" in text
    host.dns.a("mx.test.example", ADDRESS, ADDRESS6)
    assert host.one("hostname") == ("ok", f"mx.test.example has {ADDRESS}, {ADDRESS6} in DNS")
    host.dns.forget("mx.test.example")
    host.dns.a("mx.test.example", "198.51.100.5")
    result, text = host.one("hostname")
    assert result == "FAIL" and f"198.51.100.5 in DNS, which is no address of this host ({ADDRESS}, {ADDRESS6}); let its A" in text
    host.ns.sh(f"ip addr del {ADDRESS}/24 dev lo; ip addr del {ADDRESS6}/64 dev lo; ip addr add 10.1.2.3/24 dev lo")
    result, text = host.one("hostname")
    assert result == "warn" and "no address that others can reach (10.1.2.3); fine behind a router" in text
    host.dns.forget("mx.test.example")
    host.dns.a("mx.test.example", "10.1.2.3")
    result, text = host.one("hostname")
    assert result == "warn" and "10.1.2.3 in DNS, which cannot be reached from the Internet; let its A" in text
    host.dns.fail("mx.test.example", "servfail")
    result, text = host.one("hostname")
    assert result == "warn" and "mend DNS first" in text
    host.write(hostname="short")
    result, text = host.one("hostname")
    assert result == "FAIL" and 'short is not fully qualified; others refuse mail from it; write hostname = "NAME.DOMAIN"' in text


def test_ptr(host):
    result, text = host.one("ptr")
    assert result == "warn" and "see what is said about dns and hostname" in text
    host.dns.a("mx.test.example", ADDRESS, ADDRESS6)
    host.dns.ptr(ADDRESS, "MX.test.example")
    host.dns.ptr(ADDRESS6, "other.example")
    good, bad = host.lines("ptr")
    assert good == ("ok", "ptr", f"{ADDRESS} has the name mx.test.example")
    assert bad[0] == "warn" and f"{ADDRESS6} has the name other.example (PTR), not mx.test.example; let whoever" in bad[2]
    host.dns.forget("1.2.0.192.in-addr.arpa")
    bad, _ = host.lines("ptr")
    assert bad[0] == "FAIL" and f"{ADDRESS} has no name (no PTR record)" in bad[2] and "set its PTR record to mx.test.example" in bad[2]
    host.dns.fail("1.2.0.192.in-addr.arpa", "servfail")
    bad, _ = host.lines("ptr")
    assert bad[0] == "warn" and "SERVFAIL" in bad[2]


# ---- domains ----

DOMAINS = {
    "plain.example": ("ok", "MX mx.test.example is this host"),
    "address.example": ("ok", "MX other.name.example is this host"),
    "second.example": ("ok", "MX mx.test.example is this host"),
    "noentry.example": ("FAIL", "has no MX record and no address; nobody can send mail to it; write an MX record: noentry.example. IN MX 10 mx.test.example."),
    "nomx.example": ("warn", "has no MX record; mail comes by its address; write one: nomx.example. IN MX 10 mx.test.example."),
    "web.example": ("FAIL", "has no MX record, and its address is another host's; write an MX record"),
    "null.example": ("FAIL", "says by a null MX that it takes no mail; replace the record"),
    "elsewhere.example": ("warn", "its mail goes to mx.gateway.example, which is not this host; write an MX record"),
    "alias.example": ("warn", "its MX alias.name.example is an alias (CNAME)"),
    "dangling.example": ("FAIL", "its MX gone.name.example has no address; give gone.name.example an A record"),
    "broken.example": ("warn", "MX unknown: the DNS servers fail (SERVFAIL)"),
    "b\u00fccher.example": ("ok", "MX mx.test.example is this host"),
}


def test_domains_one_line_for_each(host):
    dns = host.dns
    dns.a("mx.test.example", ADDRESS)
    dns.mx("plain.example", (10, "mx.test.example"))
    dns.mx("address.example", (10, "other.name.example"))
    dns.a("other.name.example", ADDRESS)
    dns.mx("second.example", (10, "mx.gateway.example"), (20, "mx.test.example"))
    dns.a("nomx.example", ADDRESS)
    dns.a("web.example", "198.51.100.80")
    dns.mx("null.example", (0, "."))
    dns.mx("elsewhere.example", (10, "mx.gateway.example"))
    dns.a("mx.gateway.example", "198.51.100.25")
    dns.mx("alias.example", (10, "alias.name.example"))
    dns.cname("alias.name.example", "mx.test.example")
    dns.mx("dangling.example", (10, "gone.name.example"), (20, "mx.test.example"))
    dns.fail("broken.example", "servfail")
    dns.mx("xn--bcher-kva.example", (10, "mx.test.example"))
    host.write(**{'domain "test.example"': None}, **{f'domain "{name}"': {"class": "discard"} for name in DOMAINS})
    lines = host.lines("domains")
    assert len(lines) == len(DOMAINS)
    for (name, (result, text)), line in zip(DOMAINS.items(), lines):
        assert line[0] == result and line[2].startswith(name) and text in line[2], line


def test_domains_more_than_are_asked_at_a_time(host):
    host.dns.a("mx.test.example", ADDRESS)
    names = [f"d{i}.example" for i in range(230)]
    for name in names:
        host.dns.mx(name, (10, "mx.test.example"))
    host.write(**{'domain "test.example"': None}, **{f'domain "{n}"': {"class": "discard"} for n in names})
    assert host.lines("domains") == [("ok", "domains", f"{n}: MX mx.test.example is this host") for n in names]


def test_domains_none(host):
    host.write(**{'domain "test.example"': None})
    result, text = host.one("domains")
    assert result == "warn" and "unless this server only sends" in text


# ---- outbound ----

def test_outbound_finds_the_mail_exchangers_of_well_known_domains(host):
    for n, domain in enumerate(("gmail.com", "outlook.com"), 3):
        host.dns.mx(domain, (10, f"mx.{domain}"))
        host.dns.a(f"mx.{domain}", f"127.0.0.{n}")
        host.listen(f"127.0.0.{n}", 25)
    assert host.one("outbound") == ("ok", "connected to gmail.com port 25, outlook.com port 25")
    host.open.pop().close()
    ok, warned = host.lines("outbound")
    assert ok == ("ok", "outbound", "connected to gmail.com port 25")
    assert warned[0] == "warn" and "not reached: outlook.com port 25: 127.0.0.4 Connection refused; if it stays so" in warned[2]


def test_outbound_one_address_of_several_is_enough(host):
    host.dns.a("host.example", "127.0.0.5", "127.0.0.6", ADDRESS6)
    host.listen(ADDRESS6, 25)
    assert host.one("outbound", "--connect=host.example") == ("ok", "connected to host.example port 25")


def test_outbound_sends_not_one_byte(host):
    host.listen("127.0.0.2", 2500)
    assert host.one("outbound", "--connect", "[127.0.0.2]:2500") == ("ok", "connected to 127.0.0.2 port 2500")
    conn, _ = host.open[0].accept()
    with conn:
        conn.settimeout(5)
        assert conn.recv(100) == b""


@pytest.mark.parametrize("file, text, cloud, remedy", [
    ("sys_vendor", "Amazon EC2", "Amazon EC2", "ask AWS to lift the restriction of port 25"),
    ("bios_version", "4.11.amazon", "Amazon EC2", "ask AWS to lift the restriction of port 25"),
    ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "Microsoft Azure", "Enterprise Agreement"),
    ("product_name", "Google Compute Engine", "Google Cloud", "Google Cloud does not open port 25; send through a smarthost"),
    ("sys_vendor", "QEMU", None, "a firewall or the provider blocks outgoing port 25"),
])
def test_outbound_blocked_names_the_cloud_and_its_remedy(host, file, text, cloud, remedy):
    host.fake_sys(**{f"dmi__id__{file}": text})
    result, line = host.one("outbound", "--connect=127.0.0.9")
    assert result == "FAIL" and remedy in line and "127.0.0.9 Connection refused" in line
    assert (f"from this host of {cloud} " in line) if cloud else "this host of" not in line


def test_outbound_without_a_route_is_no_question_of_ports(host):
    host.fake_sys(dmi__id__sys_vendor="Amazon EC2")
    result, line = host.one("outbound", "--connect=203.0.113.1")
    assert result == "FAIL" and "there is no route to them" in line and "ip route" in line


def test_outbound_goes_to_the_smarthost_where_there_is_one(host):
    host.write(relay_host="[smart.example]:587")
    result, line = host.one("outbound")
    assert result == "FAIL" and "smart.example port 587: no address, DNS knows none" in line and "mend DNS first" in line
    host.dns.a("smart.example", "127.0.0.7")
    result, line = host.one("outbound")
    assert result == "FAIL" and "start the smarthost of relay_host" in line
    host.listen("127.0.0.7", 587)
    assert host.one("outbound") == ("ok", "connected to smart.example port 587")
    assert host.dns.count("gmail.com") == 0


# ---- memory, disk, network, postmaster ----

def test_memory(host):
    fake = host.path("meminfo")
    host.ns.sh(f"cp /proc/meminfo {fake}; mount --bind {fake} /proc/meminfo")

    def total(mib):
        with open(fake, "w") as f:
            f.write(f"MemTotal: {mib * 1024:>12} kB\nMemFree: 1 kB\n")
    total(1024)
    assert host.one("memory") == ("ok", "1024 MiB; this configuration needs 128")
    total(127)
    result, text = host.one("memory")
    assert result == "FAIL" and "127 MiB, but this configuration needs 128; give the host more" in text
    total(1024)
    host.write(limits={"connections": 10000})
    result, text = host.one("memory")
    assert result == "warn" and "10000 connections at a time may need 1378; give the host more" in text
    with open(fake, "w") as f:
        f.write("nothing\n")
    result, text = host.one("memory")
    assert result == "warn" and "mount /proc" in text


def test_disk_space_inodes_kind_and_a_drop_folder_of_its_own(host):
    spool = host.path("spool")
    os.mkdir(spool)
    host.write(limits={"min_free": "1M"})
    assert [r for r, _, text in host.lines("disk") if "are free" in text] == ["ok"]
    host.ns.sh(f"mount -t tmpfs -o size=100m none {spool}")
    kind, free = host.lines("disk")
    assert kind[0] == "warn" and f"spool {spool} is on tmpfs, in memory; put it on a disk" in kind[2]
    assert free[0] == "ok" and "100 MiB" in free[2]
    for options, result, has in (("size=512k", "FAIL", "below 1 MiB no mail is taken; free space or enlarge"),
                                 ("size=3m", "warn", "below 1 MiB no mail is taken; free space"),
                                 ("size=100m,nr_inodes=50", "FAIL", "inodes are free; without them no mail is taken; remove files"),
                                 ("size=100m,nr_inodes=5000", "warn", "inodes are free; each message in a Maildir takes one; remove")):
        host.ns.sh(f"mount -t tmpfs -o remount,{options} none {spool} 2>/dev/null || "
                   f"{{ umount {spool}; mount -t tmpfs -o {options} none {spool}; }}")
        _, found = host.lines("disk")
        assert found[0] == result and has in found[2], found
    host.ns.sh(f"umount {spool}; mount -t tmpfs -o ro none {spool}")
    result, text = host.one("disk")
    assert result == "FAIL" and "on a file system that cannot be written; mount it read-write" in text
    host.ns.sh(f"umount {spool}; mkdir {spool}/drop; mount -t tmpfs none {spool}/drop")
    assert any(f"drop folder {spool}/drop is on tmpfs" in text for _, _, text in host.lines("disk"))


def test_disk_of_mailboxes(host):
    base = host.path("vmail")
    os.mkdir(base)
    with open(host.path("users"), "w") as f:
        f.write("a@test.example a/\n")
    host.write(**{'domain "test.example"': {"class": "virtual", "table": host.path("users"), "mailbox_base": base}})
    host.ns.sh(f"mount -t tmpfs -o size=1m none {base}")
    lines = host.lines("disk")
    assert any(r == "FAIL" and f"mailboxes {base}: 1 MiB are free" in text for r, _, text in lines)


def test_network_against_a_planned_volume(host):
    plan = ["--plan", "1000000/h", "--size=50k"]
    result, text = host.one("network", *plan)
    assert result == "warn" and "no default route" in text and "ip route add default via" in text
    host.ns.sh("ip link add v0 type veth peer name v1; ip link set v0 up; ip route add default dev v0 src " + ADDRESS)
    assert host.one("network")[0] == "ok"
    host.ns.sh("ip route del default; ip -6 route add default dev v0; ip -6 route add unreachable 2001:db8:1::/48")
    need = "1000000 messages per hour of 50 kB need 111 Mbit/s in and as much out (36000 GB a month each way); "
    host.fake_sys(net__v0__speed="-1")
    assert host.one("network") == ("ok", "v0 does not tell its speed (--plan 1000000/h --size 50k tells what a volume needs)")
    result, text = host.one("network", *plan)
    assert result == "warn" and text == need + "the speed of v0 is not known; see what the provider promises for this host, " \
        "and its price for that volume"
    for speed, result, end in ((1000, "ok", ""), (130, "warn", ", of which that is over 80 %; get a faster network"),
                               (100, "FAIL", "; get a faster network, or share")):
        host.ns.sh(f"echo {speed} > /sys/class/net/v0/speed")
        got, text = host.one("network", *plan)
        assert got == result and text.startswith(f"{need}v0 has {speed} Mbit/s{end}")
    assert host.one("network")[1].startswith("v0 has 100 Mbit/s")
    assert "need 0.1 Mbit/s" in host.one("network", "--plan=10000/d", "--size=100K")[1]


def test_postmaster(host):
    assert host.one("postmaster") == ("ok", "mail for postmaster goes to admin@elsewhere.example")
    with open(host.path("users"), "w") as f:
        f.write("a@v.example a/\n")
    virtual = {"class": "virtual", "table": host.path("users"), "mailbox_base": host.path("vmail")}
    no = {"postmaster": None, 'domain "test.example"': None}
    for conf, result, has in (
            ({**no}, "warn", "goes nowhere: there is no domain block"),
            ({**no, 'domain "v.example"': virtual}, "warn", "postmaster@v.example stands in no table, so its mail goes to " + host.path("vmail")),
            ({**no, 'domain "v.example"': virtual, "postmaster": "a@v.example"}, "ok", "goes to a@v.example"),
            ({**no, 'domain "v.example"': virtual, "postmaster": "a"}, "ok", "goes to a@v.example"),
            ({**no, 'domain "d.example"': {"class": "discard"}}, "FAIL", 'thrown away with domain "d.example"; write postmaster =')):
        host.write(**conf)
        got, text = host.one("postmaster")
        assert got == result and has in text


def test_clock_is_told(host):
    result, text = host.one("clock")
    assert result in ("ok", "warn") and re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, ", text)
