# SPDX-License-Identifier: ISC
"""The server under test, in a temporary folder of its own.

with Postern(conf={"limits": {"message_size": "1M"}}) as server:
    with server.smtp() as c:
        c.ehlo()
        qid = c.send_mail("a@client.example", ["user@local.example"], message())
    server.maildir("user").wait(1)
    server.wait_log(rf"delivered .*qid={qid}")

Which build runs: POSTERN_BIN (the `postern` program or its folder), else build/$MODE/bin. As root the processes run under
the numeric ids of USERS; without root everything runs as the caller.
"""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from .maildir import Maildir
from .ports import free_port, give_back
from .smtp import Smtp

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODE = os.environ.get("MODE") or "release"
IS_ROOT = os.geteuid() == 0
# Slow builds get more time for everything.
SLOW = {"asan": 4, "tsan": 8, "cov": 2, "debug": 2}.get(MODE, 1)
# A test may kill with SIGSEGV; then AddressSanitizer speaks too.
SANITIZER_REPORT = r"(ERROR|WARNING): (Address|Leak|Thread)Sanitizer: (?!SEGV)|: runtime error: "
USERS = {"smtpd": "70001", "router": "70002", "userd": "70003", "qmgr": "70004", "delivery": "70005", "amqp": "70006",
         "control": "70007", "keyd": "70008", "log": "70009", "mailbox": "70010"}


def build_dir():
    """The folder with bin/ and libexec/."""
    path = os.environ.get("POSTERN_BIN")
    if path:
        path = os.path.abspath(path)
        return os.path.dirname(path if os.path.isdir(path) else os.path.dirname(path))
    return os.path.join(ROOT, "build", MODE)


def program(name):
    """Path of a program of the build: "postern", "sendmail", or one below libexec/postern ("qmgr")."""
    for folder in ("bin", "libexec/postern"):
        path = os.path.join(build_dir(), folder, name)
        if os.path.exists(path):
            return path
    return os.path.join(build_dir(), "bin", name)


class Raw(str):
    """A value for the configuration that is written as it stands."""


def render_value(v):
    if isinstance(v, Raw):
        return str(v)
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(render_value(x) for x in v) + " }"
    if isinstance(v, (int, float)):
        return str(v)
    return '"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"'


def render_conf(conf):
    """Text of a configuration. {"hop_limit": 5, "limits": {...}, 'domain "x.example"': {...}}; None leaves out."""
    out = []
    for key, value in conf.items():
        if value is None:
            continue
        if isinstance(value, dict):
            out.append(key + " {")
            out += [f"    {k} = {render_value(v)}" for k, v in value.items() if v is not None]
            out.append("}")
        else:
            out.append(f"{key} = {render_value(value)}")
    return "\n".join(out) + "\n"


def merge(base, over):
    """base with the options of over; sections are merged, a whole section given as None goes."""
    out = {k: dict(v) if isinstance(v, dict) else v for k, v in base.items()}
    for k, v in over.items():
        if isinstance(v, dict) and isinstance(out.get(k), dict):
            out[k].update(v)
        else:
            out[k] = v
    return out


def wait_until(check, timeout=20, what="condition", interval=0.02):
    """The first true value of check(); AssertionError after timeout seconds."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout * SLOW} s")
        time.sleep(interval)


class StartFailed(AssertionError):
    """The server did not come up. .status and .output say why."""

    def __init__(self, status, output):
        super().__init__(f"server did not start (status {status}):\n{output}")
        self.status, self.output = status, output


class Postern:
    """One server.

    conf      options over the defaults of default_conf(), see render_conf()
    extra     text put at the end of the configuration
    mailboxes local parts of @local.example (class virtual), each with a Maildir mail/<name>/
    env       further environment variables of the server
    start     False: start() is called later
    command   what runs instead of `postern run -c FILE` (a list; FILE is appended as -c FILE)
    libexec   folder with other programs instead of the build's (then `libexec/master` is run)
    prefix    put in front of the command line (["unshare", "-p", "-f"])
    user      numeric id to run everything as, without root (needs root to become it)
    """

    all = []            # every server of this process that was made and not yet closed

    def __init__(self, conf=None, extra="", mailboxes=("user", "b"), env=None, start=True, command=None, libexec=None,
                 prefix=(), user=None, keep=False):
        self.dir = tempfile.mkdtemp(prefix="postern-test-")
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.spool, self.run_dir = self.path("spool"), self.path("run")
        self.conf_path, self.stderr_path = self.path("postern.conf"), self.path("stderr.log")
        self.process, self.env, self.keep = None, dict(env or {}), keep
        self.command, self.libexec, self.prefix, self.user = command, libexec, list(prefix), user
        self.address = "127.0.0.1"
        self.session = None
        self.started_ms = None
        self.conf = merge(self.default_conf(), conf or {})
        self.extra = extra
        self.write("users", "".join(f"{name}@local.example {name}/\n" for name in mailboxes))
        self.write_conf()
        if user is not None:
            self.prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] + self.prefix
            for name in (".", "users", "postern.conf"):
                os.chown(self.path(name), user, user)
        Postern.all.append(self)
        if start:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # -- files --

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text, mode=0o644):
        """Write a file below the folder (in place) and return its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)
        os.chmod(path, mode)
        return path

    def default_conf(self):
        conf = {
            "hostname": "mx.test.example",
            "directories": {"spool": self.spool, "run": self.run_dir, "state": self.path("state")},
            "users": dict(USERS) if IS_ROOT and self.user is None else None,
            "workers": {"smtpd": 2, "delivery": 2},
            'listen "smtp"': {"address": "127.0.0.1", "port": self.port},
            'domain "local.example"': {"class": "virtual", "table": self.path("users"), "mailbox_base": self.path("mail")},
            "limits": {"segment_size": "4M", "min_free": "1M"},
            # A test never asks a real DNS server: nobody listens there.
            "resolver": {"servers": ["127.0.0.1@1"], "dnssec": False},
        }
        return conf

    def write_conf(self, conf=None, extra=None):
        """Write the configuration; conf is merged over the current one and kept."""
        if conf:
            self.conf = merge(self.conf, conf)
        if extra is not None:
            self.extra = extra
        return self.write("postern.conf", render_conf(self.conf) + self.extra)

    # -- life --

    def argv(self):
        if self.libexec:
            command = [os.path.join(self.libexec, "master")]
        else:
            command = self.command or [program("postern"), "run"]
        return self.prefix + list(command) + ["-c", self.conf_path]

    def start(self, wait=True, timeout=15):
        """Start the server and wait until it says that it is ready. StartFailed if it ends instead."""
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH") or
               k.endswith("SAN_OPTIONS") or k.startswith(("GCOV_", "LLVM_PROFILE"))}
        env.update(self.env)
        begin = self.log_size()
        with open(self.stderr_path, "ab") as err:
            t = time.monotonic()
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=env,
                                            cwd=self.dir, start_new_session=True)
        self.session = self.process.pid
        if wait:
            end = time.monotonic() + timeout * SLOW
            while not re.search(r"\bready\b.*\bversion\b", self.log(begin)):
                if self.process.poll() is not None:
                    raise StartFailed(self.process.returncode, self.output(begin))
                if time.monotonic() > end:
                    raise StartFailed(None, self.output(begin))
                time.sleep(0.005)
            self.started_ms = (time.monotonic() - t) * 1000
        return self

    @property
    def master_pid(self):
        """Process id of master, as this process sees it (behind a prefix it is not the one that was started)."""
        pid = self.process.pid
        while True:
            if _name_of(pid) == "master":
                return pid
            children = [p["pid"] for p in _processes() if p["ppid"] == pid]
            if len(children) != 1:
                raise AssertionError(f"no master below process {self.process.pid}")
            pid = children[0]

    def send_signal(self, sig):
        """Send master a signal."""
        os.kill(self.master_pid, sig)

    def stop(self, timeout=40, sig=signal.SIGTERM):
        """Stop cleanly; returns the exit status (None: was not running)."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.send_signal(sig)
        try:
            status = self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError(f"server did not stop within {timeout * SLOW} s")
        self.process = None
        return status

    def restart(self):
        self.stop()
        return self.start()

    def kill_all(self):
        """kill -9 of master and all its children at once."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process = None
            wait_until(lambda: not self.left_over(), 10, "children gone")

    def left_over(self):
        """Processes of this server's session that still exist."""
        return [p for p in _processes() if p["session"] == self.session and p["state"] != "Z"]

    def close(self):
        """Stop (hard, if need be) and remove the folder."""
        try:
            if self.process is not None and self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGTERM)
                try:
                    self.process.wait(5 * SLOW)
                except subprocess.TimeoutExpired:
                    pass
                self.kill_all()
        finally:
            found = [line for line in _read(self.stderr_path).splitlines() if re.search(SANITIZER_REPORT, line)]
            if self in Postern.all:
                Postern.all.remove(self)
            give_back(self.port)
            if not self.keep and not os.environ.get("POSTERN_TEST_KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)
        if found:
            raise AssertionError("a sanitizer has found:\n" + "\n".join(found))

    def reload(self, wait=True, timeout=15):
        """SIGHUP; waits until master has said that it reloaded, or that it kept the old configuration. The new log text."""
        begin = self.log_size()
        self.send_signal(signal.SIGHUP)
        if wait:
            self.wait_log(r"\breload(ed)?\b.*(done|kept)", timeout, begin)
        return self.log(begin)

    # -- processes --

    def pids(self, kind=None):
        """Process ids of the children, or of those of one kind ("smtpd", "mailbox"), oldest first."""
        master = self.master_pid
        children = [p for p in _processes() if p["ppid"] == master and p["state"] != "Z"]
        return sorted(p["pid"] for p in children if kind is None or p["kind"] == kind)

    def kill(self, kind, sig=signal.SIGKILL, index=0):
        """Kill one process of a kind; "master" too. Returns its pid."""
        pid = self.master_pid if kind == "master" else self.pids(kind)[index]
        os.kill(pid, sig)
        return pid

    def wait_new_pid(self, kind, old, timeout=10):
        """Wait until there is a process of this kind that is none of `old` (a pid or a list); its pid."""
        old = {old} if isinstance(old, int) else set(old)
        return wait_until(lambda: [p for p in self.pids(kind) if p not in old], timeout, f"a new {kind}")[0]

    def pss_kib(self):
        """Proportional memory of all processes in KiB."""
        total = 0
        for pid in [self.master_pid] + self.pids():
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        return total

    # -- log --

    @property
    def log_path(self):
        """The file of log { to = FILE }, else that of stderr."""
        to = (self.conf.get("log") or {}).get("to", "")
        return to if to.startswith("/") else self.stderr_path

    def log_size(self):
        try:
            return os.path.getsize(self.log_path)
        except OSError:
            return 0

    def log(self, begin=0):
        """The log from this byte on."""
        return _read(self.log_path, begin)

    def output(self, begin=0):
        """The log and, if that is a file of its own, what was written to stderr."""
        return self.log(begin) + (_read(self.stderr_path) if self.log_path != self.stderr_path else "")

    def log_lines(self, pattern, begin=0):
        """Lines of the log in which this regular expression is found."""
        return [line for line in self.log(begin).splitlines() if re.search(pattern, line)]

    def wait_log(self, pattern, timeout=20, begin=0, count=1):
        """Wait for `count` lines that match; the last of them."""
        return wait_until(lambda: self.log_lines(pattern, begin)[count - 1:], timeout, f"log line /{pattern}/")[-1]

    # -- use --

    def smtp(self, **kw):
        return Smtp(kw.pop("port", self.port), kw.pop("host", self.address), **kw)

    def postern(self, *args, check=True, timeout=20, input=None):
        """Run `postern ARGS -c FILE`; a CompletedProcess with text output. check: it must succeed, in the end."""
        end = time.monotonic() + timeout * SLOW
        while True:
            done = subprocess.run([program("postern"), *args, "-c", self.conf_path], text=True, capture_output=True,
                                  timeout=timeout * SLOW, input=input)
            # "... is starting; try again in a moment"
            if not check or done.returncode != os.EX_TEMPFAIL or time.monotonic() > end:
                break
            time.sleep(0.1)
        if check and done.returncode != 0:
            raise AssertionError(f"postern {' '.join(args)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def queue(self, *filters):
        """`postern queue list --json`: a list of objects."""
        out = self.postern("queue", "list", "--json", *filters).stdout
        return [json.loads(line) for line in out.splitlines() if line.strip()]

    def stats(self):
        return json.loads(self.postern("stats", "--json").stdout)

    def wait_empty(self, timeout=20):
        """Wait until nothing is queued."""
        wait_until(lambda: not self.queue(), timeout, "empty queue", 0.1)

    def maildir(self, name):
        """The Maildir of name@local.example."""
        return Maildir(self.path("mail", name))

    def segments(self):
        return sorted(glob.glob(os.path.join(self.spool, "queue", "segments", "*.seg")))


def _read(path, begin=0):
    try:
        with open(path, "rb") as f:
            f.seek(begin)
            return f.read().decode("utf-8", "replace")
    except OSError:
        return ""


def is_running(pid):
    """Is there such a process, and not only what is left of it until its parent looks?"""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rsplit(b")", 1)[1].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def _name_of(pid):
    """File name of a process's program, "" if it is gone."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
    except OSError:
        return ""


def _processes():
    """pid, ppid, session, state and kind of each process; kind is what master calls it, else its command."""
    out = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as f:
                stat = f.read().decode("latin-1")
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                argv0 = f.read().split(b"\0")[0].decode("latin-1")
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2:].split()
        out.append({"pid": int(entry), "ppid": int(fields[1]), "session": int(fields[3]), "state": fields[0],
                    "kind": argv0.rsplit("/", 1)[-1]})
    return out
