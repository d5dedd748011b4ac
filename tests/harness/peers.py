# SPDX-License-Identifier: ISC
"""Real mail servers of others beside the one under test, unpacked by scripts/peers and run from where they lie.

with Postfix(conf={"relayhost": f"[127.0.0.1]:{port}"}) as postfix:     # main.cf over that of Postfix.defaults()
    Smtp(postfix.port)
with Opensmtpd('action "out" relay host "smtp://127.0.0.1:2525"\\nmatch from any for any action "out"') as peer: ...
with Dovecot(users=["ann"]) as dovecot:                                 # LMTP on dovecot.port and dovecot.socket
    dovecot.maildir("ann").wait(1)
with Nsd("example.org", "@ IN SOA ...") as nsd: ...
with SmtpSink() as sink: ...
source(port, sessions=20, messages=1000)

Each is skipped (pytest.skip) with the reason where it cannot be had. close() ends all of its processes.
"""
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import pytest

from .dns import wire_name
from .maildir import Maildir
from .ports import free_port, give_back
from .postern import IS_ROOT, ROOT, _processes, wait_until

PEERS = os.path.join(ROOT, "scripts", "peers")
NO_WAY = 77
# In /etc/passwd of what scripts/peers runs.
POSTFIX_UID, POSTDROP_GID = 7101, 7102
MAIL_UID = 7106         # dovecot's; its mailboxes belong to it


def need(name, is_root_needed=False):
    if not os.path.exists(os.path.join(ROOT, "build", "peers", name, ".unpacked")):
        pytest.skip(f"{name} is not unpacked (scripts/peers {name})")
    if is_root_needed and not IS_ROOT:
        pytest.skip(f"{name} needs root")


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.settimeout(5)
            return s.recv(4).startswith(b"220")
    except OSError:
        return False


def family(leader):
    """Living processes that share the session of this one, or are children of such."""
    everyone = _processes()
    mine = {p["pid"] for p in everyone if p["session"] == leader.pid}
    while True:
        more = {p["pid"] for p in everyone if p["ppid"] in mine} - mine
        if not more:
            return [p["pid"] for p in everyone if p["pid"] in mine and p["state"] != "Z"]
        mine |= more


def _kill(pids):
    """Kill those of the pids that still live; the list of them."""
    alive = [p["pid"] for p in _processes() if p["pid"] in pids and p["state"] != "Z"]
    for pid in alive:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return alive


def end_family(leader):
    """End a process that was started in a session of its own, and what it started."""
    # Looked for before the first one dies: then nobody is anybody's child any more.
    pids = family(leader)
    if leader.poll() is None:
        leader.send_signal(signal.SIGTERM)
        try:
            leader.wait(3)
        except subprocess.TimeoutExpired:
            pass
    wait_until(lambda: not _kill(pids), 10, f"end of process {leader.pid}")
    leader.wait()


class Peer:
    """One server in a folder of its own, on a free port."""

    name = None
    is_root_needed = True

    def __init__(self):
        need(self.name, self.is_root_needed)
        self.dir = tempfile.mkdtemp(prefix=f"postern-test-{self.name}-")
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as f:
            f.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def output(self):
        """What it wrote to stdout, stderr and its log."""
        out = ""
        for name in ("out", "log"):
            try:
                with open(self.path(name), errors="replace") as f:
                    out += f.read()
            except OSError:
                pass
        return out

    def run(self, program, *args, check=False):
        """Run one of its programs to its end."""
        return subprocess.run([PEERS, "run", self.name, program, *args], text=True, capture_output=True, timeout=60, check=check)

    def start(self, program, *args, is_ready=None):
        try:
            with open(self.path("out"), "ab") as out:
                self.process = subprocess.Popen([PEERS, "run", self.name, program, *args], stdin=subprocess.DEVNULL, stdout=out,
                                                stderr=out, cwd=self.dir, start_new_session=True)
            wait_until(lambda: self.process.poll() is not None or (is_ready or (lambda: answers(self.port)))(), 30, f"{self.name} ready")
            if self.process.poll() is not None:
                if self.process.returncode == NO_WAY:
                    pytest.skip(self.output().strip() or f"{self.name} cannot run here")
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.output()}")
        except BaseException as e:
            text = self.output()
            self.close()
            if isinstance(e, AssertionError):
                raise AssertionError(f"{e}\n{text}") from None
            raise

    def close(self):
        if self.process is not None:
            end_family(self.process)
            self.process = None
        give_back(self.port)
        if not os.environ.get("POSTERN_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


# -- Postfix --

MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix(Peer):
    """conf: main.cf options over the defaults. Everything for which there is no transport goes to relayhost."""

    name = "postfix"

    def __init__(self, conf=None):
        super().__init__()
        for folder in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"):
            self._folder("queue/" + folder, 0o700, POSTFIX_UID)
        self._folder("queue/maildrop", 0o730, POSTFIX_UID, POSTDROP_GID)
        self._folder("queue/public", 0o2710, POSTFIX_UID, POSTDROP_GID)
        self._folder("queue/pid", 0o755)
        self._folder("data", 0o700, POSTFIX_UID)
        options = self.defaults()
        options.update(conf or {})
        main = self.write("etc/main.cf", "".join(f"{k} = {v}\n" for k, v in options.items()))
        cf = self.write("etc/master.cf", MASTER_CF.format(port=self.port))
        for path in (main, cf):
            os.utime(path, (1, 1))      # Postfix waits for a file that was changed just now
        self.start("master", "-d", "-c", self.path("etc"))

    def _folder(self, name, mode, uid=0, gid=0):
        os.makedirs(self.path(name))
        os.chown(self.path(name), uid, gid)
        os.chmod(self.path(name), mode)

    def defaults(self):
        meta = subprocess.run([PEERS, "root", "postfix"], text=True, capture_output=True, check=True).stdout.strip()
        return {
            "compatibility_level": "3.6",
            "queue_directory": self.path("queue"), "data_directory": self.path("data"), "meta_directory": meta + "/etc/postfix",
            "maillog_file_prefixes": self.dir, "maillog_file": self.path("log"),
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
            "myhostname": "postfix.example", "myorigin": "postfix.example", "mydestination": "",
            "local_recipient_maps": "", "local_transport": "error:none", "alias_maps": "", "alias_database": "",
            "mynetworks": "127.0.0.0/8", "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_peername_lookup": "no", "smtp_dns_support_level": "disabled", "smtp_host_lookup": "native",
            "smtpd_tls_security_level": "none", "smtp_tls_security_level": "none", "notify_classes": "",
            "smtputf8_enable": "yes", "message_size_limit": "52428800", "mailbox_size_limit": "0",
            "minimal_backoff_time": "5s", "queue_run_delay": "5s",
        }

    def queue_size(self):
        out = self.run("postqueue", "-c", self.path("etc"), "-j").stdout
        return len([line for line in out.splitlines() if line.strip()])


# -- OpenSMTPD --

class Opensmtpd(Peer):
    """rules: what stands in smtpd.conf after the listener."""

    name = "opensmtpd"

    def __init__(self, rules):
        super().__init__()
        conf = self.write("smtpd.conf", f"listen on 127.0.0.1 port {self.port} hostname opensmtpd.example\n"
                                        f"smtp max-message-size 50M\n{rules}\n")
        self.start("opensmtpd", "-d", "-f", conf)


# -- Dovecot --

class Dovecot(Peer):
    """LMTP on .port and .socket for users, who are full addresses; others are refused."""

    name = "dovecot"

    def __init__(self, users=("ann@box.example",), extra=""):
        super().__init__()
        self.socket = self.path("lmtp.sock")
        os.makedirs(self.path("mail"))
        os.chown(self.path("mail"), MAIL_UID, MAIL_UID)
        self.write("passwd", "".join(f"{u}:{{plain}}x:{MAIL_UID}:{MAIL_UID}::{self.path('mail', u)}\n" for u in users))
        conf = self.write("dovecot.conf", f"""
base_dir = {self.path("base")}
state_dir = {self.path("state")}
log_path = {self.path("log")}
protocols = lmtp
listen = 127.0.0.1
ssl = no
hostname = dovecot.example
postmaster_address = postmaster@box.example
first_valid_uid = {MAIL_UID}
mail_location = maildir:~/Maildir
mail_uid = {MAIL_UID}
mail_gid = {MAIL_UID}
recipient_delimiter = +
passdb {{
  driver = passwd-file
  args = {self.path("passwd")}
}}
userdb {{
  driver = passwd-file
  args = {self.path("passwd")}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.port}
  }}
  unix_listener {self.socket} {{
    mode = 0666
  }}
}}
{extra}
""")
        self.start("dovecot", "-F", "-c", conf)

    def maildir(self, user):
        return Maildir(self.path("mail", user, "Maildir"))


# -- nsd --

class Nsd(Peer):
    """Serves one zone, a file of RFC 1035, on .port; .spec is for resolver { servers }."""

    name = "nsd"
    is_root_needed = False

    def __init__(self, zone, text):
        super().__init__()
        self.spec = f"127.0.0.1@{self.port}"
        self.write("zone", text)
        conf = self.write("nsd.conf", f"""
server:
    ip-address: 127.0.0.1@{self.port}
    zonesdir: "{self.dir}"
    database: ""
    username: ""
    pidfile: "{self.path("pid")}"
    xfrdfile: "{self.path("xfrd.state")}"
    zonelistfile: "{self.path("zone.list")}"
    cookie-secret-file: ""
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: {zone}
    zonefile: zone
""")
        self.start("nsd", "-d", "-c", conf, is_ready=lambda: self._answers(zone))

    def _answers(self, zone):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            s.connect(("127.0.0.1", self.port))
            try:
                s.send(struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + wire_name(zone) + struct.pack("!HH", 6, 1))
                return len(s.recv(512)) > 12
            except OSError:
                return False


# -- Postfix's load tools --

class SmtpSink(Peer):
    """Takes all mail and throws it away."""

    name = "postfix"
    is_root_needed = False

    def __init__(self, *options):
        super().__init__()
        self.start("smtp-sink", "-c", *(["-u", "nobody"] if IS_ROOT else []), *options, f"127.0.0.1:{self.port}", "1000")

    def count(self):
        """Messages taken."""
        counts = re.findall(r"(\d+) messages", self.output()) or re.findall(r"(\d+)", self.output())
        return int(counts[-1]) if counts else 0


def source(port, *options, sessions=10, messages=100, size=2000, sender="a@client.example", rcpt="b@relay.example", timeout=60):
    """smtp-source; raises when it could not send everything."""
    need("postfix")
    done = subprocess.run([PEERS, "run", "postfix", "smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(size),
                           "-f", sender, "-t", rcpt, *options, f"127.0.0.1:{port}"], text=True, capture_output=True, timeout=timeout)
    if done.returncode == NO_WAY:
        pytest.skip(done.stderr.strip())
    if done.returncode != 0:
        raise AssertionError(f"smtp-source: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
