# SPDX-License-Identifier: ISC
"""`postern` as an administrator types it: help, suggestions, exit codes, check, config; and start, stop, restart, reload
and status of a server whose children are stand-ins (harness/stub.py)."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from tests.harness.ports import free_port
from tests.harness.postern import IS_ROOT, ROOT, USERS, Postern, program
from tests.harness.stub import make_stub

USAGE, UNAVAILABLE, TEMPFAIL, NOPERM, CONFIG = 64, 69, 75, 77, 78
COMMANDS = ["run", "start", "stop", "restart", "reload", "status", "check", "config", "doctor", "queue", "route", "trace", "events", "stats", "top"]


def run(*args, binary=None, env=None, **kw):
    clean = {k: v for k, v in os.environ.items() if k != "POSTERN_CONF"}
    clean.update(env or {})
    return subprocess.run([binary or program("postern"), *args], capture_output=True, text=True, timeout=60, cwd=ROOT, env=clean, **kw)


@pytest.fixture
def conf(tmp_path):
    """write(text) -> path of a configuration; a good one by default."""
    def write(text="", name="postern.conf"):
        users = " ".join(f'{k} = "{v}"' for k, v in USERS.items())
        path = tmp_path / name
        path.write_text(f'hostname = "mx.example.org"\norigin = "example.org"\nlisten "l" {{ port = 2525 }}\nusers {{ {users} }}\n{text}')
        path.chmod(0o644)
        return str(path)
    return write


# ---- help and mistakes ----

def test_help_lists_every_command_and_exits_with_0():
    for words in (["--help"], ["-h"]):
        done = run(*words)
        assert done.returncode == 0 and done.stderr == ""
        assert [line.split()[0] for line in done.stdout.splitlines()[2:2 + len(COMMANDS)]] == COMMANDS


def test_without_a_command_the_usage_goes_to_stderr_and_64():
    done = run()
    assert done.returncode == USAGE and done.stdout == "" and done.stderr.startswith("usage: postern COMMAND")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    for words in ([command, "--help"], ["--help", command], [command, "-h"], ["-c", "/none", command, "--help"]):
        done = run(*words)
        assert done.returncode == 0 and done.stdout.startswith(f"usage: postern {command}") and done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_manual_names_every_command_and_option(command):
    with open(os.path.join(ROOT, "docs/man/postern.1")) as f:
        manual = f.read().replace("\\-", "-")
    assert re.search(rf"^(\.B |\\fB){command}\b", manual, re.M)
    for option in re.findall(r"\[(--[a-z]+)", run(command, "--help").stdout.splitlines()[0]):
        assert option in manual


@pytest.mark.parametrize("words, message", [
    (["chekc"], "unknown command `chekc`; did you mean `check`?"),
    (["statsu"], "unknown command `statsu`; did you mean `status`?"),
    (["xyzzy"], "unknown command `xyzzy`; `postern --help` lists those that there are"),
    (["config", "--chnaged"], "unknown option `--chnaged` of config; did you mean `--changed`?"),
    (["config", "--xyzzy"], "unknown option `--xyzzy` of config; see `postern config --help`"),
    (["config", "--all=1"], "--all takes no value; write --all"),
    (["queue", "--limt", "5"], "unknown option `--limt` of queue; did you mean `--limit`?"),
    (["queue", "--limit"], "--limit without a value; write --limit=VALUE"),
    (["check", "-x"], "unknown option `-x` of check; see `postern check --help`"),
    (["check", "file"], "check takes no argument `file`; see `postern check --help`"),
    (["check", "-c"], "-c without a file; write -c FILE"),
    (["config", "one", "two"], "config takes one NAME; `two` is too much"),
])
def test_mistyped_word_gets_a_suggestion_and_64(words, message):
    done = run(*words)
    assert done.returncode == USAGE and done.stdout == ""
    assert message in done.stderr


def test_version():
    done = run("--version")
    assert done.returncode == 0 and re.fullmatch(r"postern \d+\.\d+\.\d+\n", done.stdout)


# ---- which file ----

def test_c_may_stand_anywhere_and_wins_over_the_environment(conf):
    good, bad = conf(), conf("xyzzy = 1\n", "bad.conf")
    assert run("-c", good, "check").returncode == 0
    assert run("check", "-c", good).returncode == 0
    assert run("config", "-c", good, "hop_limit").stdout == "hop_limit = 100\n"
    assert run("check", env={"POSTERN_CONF": bad}).returncode == CONFIG
    assert run("check", "-c", good, env={"POSTERN_CONF": bad}).returncode == 0


def test_file_that_is_not_there_is_named():
    done = run("check", "-c", "/no/such/file")
    assert done.returncode == CONFIG
    assert done.stderr == "/no/such/file: No such file or directory; name another file with -c FILE\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_unreadable_file_is_named(conf):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = shutil.copy(conf(), folder)
        binary = shutil.copy(program("postern"), folder)
        as_nobody = dict(binary=binary, user=65534, group=65534, extra_groups=[])
        os.chmod(path, 0o644)
        assert run("check", "-c", path, **as_nobody).returncode == 0
        os.chmod(path, 0o600)
        done = run("check", "-c", path, **as_nobody)
    assert done.returncode == CONFIG and "postern.conf: Permission denied; make it readable for the server\n" in done.stderr


# ---- check ----

def test_check_of_a_good_file_is_silent(conf):
    done = run("check", "-c", conf())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_check_tells_all_problems_with_line_and_remedy(conf):
    path = conf("hop_limit = many\nlimits { mesage_size = 5M\nerrors = 0 }\n")
    done = run("check", "-c", path)
    assert done.returncode == CONFIG and done.stdout == ""
    assert sorted(done.stderr.splitlines()) == [
        f'{path}:5: hop_limit = "many": not a number; write a number from 1 to 1000',
        f'{path}:6: unknown option mesage_size of limits; did you mean message_size?',
        f'{path}:7: limits.errors = "0": out of range; write a value from 1 to 10000']


def test_check_tells_that_a_relay_domain_takes_any_local_part(conf):
    path = conf('domain "partner.example" { class = relay }\n')
    done = run("check", "-c", path)
    assert done.returncode == 0
    assert f'{path}:5: warning: domain "partner.example" of class relay accepts any local part' in done.stderr


@pytest.mark.parametrize("more, line", [
    ("", 5), ('postmaster = "ann@x.example"\n', None), ('postmaster = "bob@x.example"\n', 6), ('postmaster = "bob"\n', 6),
    ('postmaster = "bob@y.example"\n', None), ('aliases { virtual = "aliases" }\n', None),
    ('domain "void.example" { class = discard }\npostmaster = "x@void.example"\n', 7)])
def test_check_tells_that_nobody_reads_the_postmasters_mail(conf, tmp_path, more, line):
    (tmp_path / "users").write_text("# users\nann@x.example ann/\n")
    (tmp_path / "aliases").write_text("PostMaster@x.example ann@x.example\n")
    path = conf('domain "x.example" { class = virtual table = "users" mailbox_base = "mail" }\n' + more)
    done = run("check", "-c", path)
    assert done.returncode == 0
    if line is None:
        assert done.stderr == ""
    else:
        assert done.stderr.startswith(f"{path}:{line}: warning: ") and "<postmaster>" in done.stderr
    # Whoever is in the table gets it.
    (tmp_path / "users").write_text("@x.example all/\n")
    assert "x.example stands in no table" not in run("check", "-c", path).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="users only matter to root")
def test_check_names_a_missing_user(conf):
    path = conf('users { smtpd = "no-such-user" }\n')
    done = run("check", "-c", path)
    assert done.returncode == CONFIG and f'{path}:5: users.smtpd = "no-such-user": no such user in /etc/passwd; ' in done.stderr


# ---- config ----

def test_config_shows_values_changes_and_documentation(conf):
    path = conf("limits { errors = 7 }\n")
    assert "\n\terrors = 7\n" in run("config", "-c", path).stdout
    assert run("config", "-c", path).stdout == run("config", "--all", "-c", path).stdout
    changed = run("config", "--changed", "-c", path).stdout
    assert 'limits {\n\terrors = 7\n}\n' in changed and "recipients" not in changed
    assert run("config", "limits.errors", "-c", path).stdout == "limits {\n\terrors = 7\n}\n"
    assert run("config", "--doc", "limits.errors", "-c", path).stdout.startswith("limits.errors = 7\n\tnumber from 1 to 10000; default 20\n")


def test_config_documentation_needs_no_file():
    done = run("config", "--doc", "hop_limit", "-c", "/no/such/file")
    assert done.returncode == 0 and done.stdout.startswith("hop_limit = 100\n")


@pytest.mark.parametrize("name, hint", [("limits.erors", "limits.errors"), ("hop_limt", "hop_limit"), ("limts", "limits")])
def test_config_suggests_a_name(conf, name, hint):
    done = run("config", name, "-c", conf())
    assert done.returncode == USAGE and f"unknown option `{name}`; did you mean `{hint}`?" in done.stderr


def test_config_generates_the_sample_and_the_manual():
    with open(os.path.join(ROOT, "etc/postern.conf")) as f:
        assert run("config", "--sample").stdout == f.read()
    with open(os.path.join(ROOT, "docs/man/postern.conf.5")) as f:
        assert run("config", "--man").stdout == f.read()


def test_output_to_a_full_disk_is_no_success():
    with open("/dev/full", "w") as full:
        done = subprocess.run([program("postern"), "config", "--sample"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0 and "No space left" in done.stderr


# ---- the service ----

def is_alive(pid):
    """False also for a process that only waits to be collected by its parent."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Service:
    """An installation of its own: bin/postern and libexec/postern with stand-ins."""

    def __init__(self, server, folder):
        self.server, self.binary = server, os.path.join(folder, "bin/postern")

    def __call__(self, command):
        return run(command, "-c", self.server.conf_path, binary=self.binary)

    def pid(self):
        with open(os.path.join(self.server.run_dir, "postern.pid")) as f:
            return int(f.read())

    def banner(self):
        with socket.create_connection(("127.0.0.1", self.server.port), 10) as s:
            return s.recv(100).decode()


@pytest.fixture(scope="module")
def installation():
    stub = make_stub()
    folder = os.path.join(stub, "prefix")
    os.makedirs(os.path.join(folder, "bin"))
    os.makedirs(os.path.join(folder, "libexec"))
    shutil.copy(program("postern"), os.path.join(folder, "bin/postern"))
    os.symlink(stub, os.path.join(folder, "libexec/postern"))
    yield folder
    shutil.rmtree(stub)


@pytest.fixture
def service(installation, make_server):
    service = Service(make_server(start=False, conf={"postmaster": "user@local.example"}), installation)
    yield service
    service("stop")


def warnings(done):
    """What it said, but for what every start without root says in one line."""
    lines = done.stderr.splitlines()
    if not IS_ROOT:
        missing = [line for line in lines if "not started as root" in line]
        assert len(missing) == 1, done.stderr
        lines.remove(missing[0])
    return lines


def test_start_returns_when_the_server_answers_and_stop_when_it_is_gone(service):
    assert (service("status").returncode, service("status").stdout) == (3, "postern is stopped\n")
    done = service("start")
    assert (done.returncode, done.stdout, warnings(done)) == (0, "", [])
    assert service.banner().startswith("220 ")
    pid = service.pid()
    assert os.getpgid(pid) != os.getpgrp()
    done = service("status")
    assert (done.returncode, done.stdout) == (0, f"postern is running, pid {pid}\n")
    done = service("stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not is_alive(pid)
    assert service("status").returncode == 3


def test_warnings_are_told_once_by_start_and_restart(service):
    service.server.write_conf({"relay_from": ["0.0.0.0/0"]})
    for command in ("start", "restart"):
        done = service(command)
        (line,) = warnings(done)
        assert done.returncode == 0 and "which makes an open relay" in line


def test_start_of_a_running_server_and_stop_of_a_stopped_one_succeed(service):
    assert service("stop").stdout == "postern is not running\n"
    service("start")
    pid = service.pid()
    done = service("start")
    assert (done.returncode, done.stdout) == (0, f"postern is running already, pid {pid}\n")
    assert service.pid() == pid


def test_restart_gives_another_process_and_starts_a_stopped_server(service):
    assert service("restart").returncode == 0
    first = service.pid()
    assert service("restart").returncode == 0
    assert service.pid() != first and service.banner().startswith("220 ")


def test_restart_with_a_bad_file_leaves_the_server_alone(service):
    service("start")
    pid = service.pid()
    with open(service.server.conf_path, "a") as f:
        f.write("xyzzy = 1\n")
    done = service("restart")
    assert done.returncode == CONFIG and "unknown option xyzzy" in done.stderr
    assert service.pid() == pid and service.banner().startswith("220 ")
    # Looking and stopping need no good file.
    assert service("status").returncode == 0
    assert service("stop").returncode == 0


def test_file_that_cannot_be_taken_apart_is_not_guessed_at(service):
    service("start")
    with open(service.server.conf_path) as f:
        good = f.read()
    service.server.write("postern.conf", 'origin = "x\n' + good)
    for command in ("status", "stop", "queue", "stats"):
        done = service(command)
        assert done.returncode == CONFIG and done.stdout == ""
        assert f"{service.server.conf_path}:1: string is not closed on its line" in done.stderr
    service.server.write("postern.conf", good)
    assert service("status").returncode == 0


def test_start_says_why_it_failed(service):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", service.server.port))
        taken.listen()
        done = service("start")
    assert done.returncode != 0 and done.stdout == ""
    assert re.search(r"port %d of 127\.0\.0\.1 is taken by .*; stop that program, or set another port" % service.server.port, done.stderr)
    assert service("status").returncode in (1, 3)


def test_start_with_a_bad_file_starts_nothing(service):
    with open(service.server.conf_path, "a") as f:
        f.write("hop_limit = 0\n")
    done = service("start")
    assert done.returncode == CONFIG and "hop_limit" in done.stderr
    assert not os.path.exists(os.path.join(service.server.run_dir, "postern.pid"))


def test_killed_master_is_dead_with_pid_file_and_starts_again(service):
    service("start")
    pid = service.pid()
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while service("status").returncode != 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    done = service("status")
    assert done.returncode == 1 and done.stdout.startswith("postern is dead, but left ")
    assert service("stop").stdout == "postern is not running\n"
    deadline = time.monotonic() + 10
    while service("start").returncode != 0 and time.monotonic() < deadline:
        time.sleep(0.2)     # its children let go of the port and of the spool
    assert service("status").returncode == 0 and service.pid() != pid


def test_pid_of_somebody_else_is_not_signalled(service):
    """A pid file that nobody locks does not name the server, whoever has that pid now."""
    os.makedirs(service.server.run_dir, exist_ok=True)
    other = subprocess.Popen(["sleep", "60"])
    try:
        with open(os.path.join(service.server.run_dir, "postern.pid"), "w") as f:
            f.write(f"{other.pid}\n")
        assert service("status").returncode == 1
        assert service("stop").stdout == "postern is not running\n"
        assert service("reload").returncode == UNAVAILABLE
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_reload_checks_first_and_needs_a_running_server(service):
    done = service("reload")
    assert done.returncode == UNAVAILABLE and "`postern start` starts it" in done.stderr
    service("start")
    pid = service.pid()
    port = free_port()
    with open(service.server.conf_path, "a") as f:
        f.write(f'listen "second" {{ address = "127.0.0.1" port = {port} }}\n')
    assert service("reload").returncode == 0
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    else:
        pytest.fail("the new port is not open")
    with open(service.server.conf_path, "a") as f:
        f.write("xyzzy = 1\n")
    done = service("reload")
    assert done.returncode == CONFIG and "unknown option xyzzy" in done.stderr
    assert service.pid() == pid and service("status").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_others_may_look_but_not_stop(service):
    service("start")
    # The stand-ins' folder is world-readable; the configuration of a test is, too.
    as_nobody = dict(binary=service.binary, user=65534, group=65534, extra_groups=[])
    done = run("status", "-c", service.server.conf_path, **as_nobody)
    assert done.returncode == 0
    done = run("stop", "-c", service.server.conf_path, **as_nobody)
    assert done.returncode == NOPERM and "run this as root" in done.stderr
    assert service("status").returncode == 0


def test_newcomer_follows_the_hint_and_finds_his_message(tmp_path):
    """quickstart.conf as it is, on another port and in another folder; then exactly what `postern run` says."""
    port = free_port()
    with open(os.path.join(ROOT, "etc/quickstart.conf")) as f:
        text = f.read()
    assert "port = 2525 " in text
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o700)
    tmp_path.chmod(0o700)   # a clone below a home that nobody else can enter
    (folder / "quickstart.conf").write_text(text.replace("port = 2525 ", f"port = {port} "))
    (folder / "quickstart.conf").chmod(0o644)
    shutil.copy(os.path.join(ROOT, "etc/quickstart.users"), folder)
    server = subprocess.Popen([program("postern"), "run", "-c", "etc/quickstart.conf"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        hint = ""
        while " ready " not in hint:
            line = server.stderr.readline()
            assert line != "", hint
            hint += line
        assert f"swaks --server 127.0.0.1:{port} --to you@localhost\n" in hint
        command = re.search(r"^  (bash -c .*)$", hint, re.M).group(1)
        said = subprocess.run(command, shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=30).stdout
        assert re.search(r"^250 2\.0\.0 ", said, re.M) and "\n221 " in said, said
        where = re.search(r"^It lands in (.*)\. Ctrl-C stops the server\.$", hint, re.M).group(1)
        deadline = time.monotonic() + 10
        while not (os.path.isdir(where) and os.listdir(where)) and time.monotonic() < deadline:
            time.sleep(0.05)
        (name,) = os.listdir(where)
        with open(os.path.join(where, name)) as f:
            assert "First message." in f.read()
        refused = subprocess.run(command.replace("you@localhost", "you@example.org"), shell=True, executable="/bin/bash", capture_output=True,
                                 text=True, timeout=30).stdout
        assert "550 5.7.1 " in refused
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0


# ---- options ----

SOURCES = ["lib", "master", "smtpd", "router", "qmgr", "delivery", "control", "logd", "cli"]
NOT_YET = {"users.userd", "users.amqp", "users.keyd"}    # of processes that are not part of the graph


def test_every_option_is_read_by_a_program():
    """A row of options.def that no program looks at would be a promise that nobody keeps."""
    source = ""
    for folder in SOURCES:
        for where, _, files in os.walk(os.path.join(ROOT, folder)):
            # lib/conf reads, checks and shows all options; socket.c answers a question of programs.
            source += "".join(open(os.path.join(where, f)).read() for f in files
                              if f.endswith(".c") and (not where.endswith("lib/conf") or f == "socket.c"))
    group = kind = ""
    unused = []
    for line in open(os.path.join(ROOT, "lib/conf/options.def")):
        if found := re.match(r"\s*(SECTION|BLOCK)_BEGIN\((\w+), ", line):
            kind, group = found.groups()
        elif re.match(r"\s*(SECTION|BLOCK)_END", line):
            kind = group = ""
        elif (found := re.match(r"\s*OPT_\w+\((\w+), ", line)):
            name = found.group(1)
            use = rf"\b{group}(\.|->){name}\b" if kind == "SECTION" else rf"(\.|->){name}\b"
            if not re.search(use, source):
                unused.append(f"{group}.{name}" if group else name)
    assert set(unused) <= NOT_YET
