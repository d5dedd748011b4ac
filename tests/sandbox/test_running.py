# SPDX-License-Identifier: ISC
"""Inside each running process of a running server: what it is, what it holds, and that forbidden acts fail there."""
import os
import re
import shutil
import socket
import subprocess

import pytest

from tests.harness.postern import IS_ROOT, MODE, USERS, build_dir, program
from tests.harness.stub import make_stub

KINDS = ["logd", "qmgr", "router", "smtpd", "delivery", "mailbox", "control"]
USER_OF = {"logd": "log"}
INJECT = os.path.join(build_dir(), "tests/tools/inject")
REFUSED = {"EPERM", "EACCES", "ENOENT", "ENOSYS"}

pytestmark = [pytest.mark.root, pytest.mark.skipif(MODE == "cov", reason="MODE=cov runs without seccomp, Landlock and chroot")]


@pytest.fixture(scope="module")
def libexec():
    """The real programs; stand-ins while one of them is missing."""
    if all(os.path.exists(program(p)) for p in ("postern", "master", "logd", "qmgr", "router", "smtpd", "delivery", "control")):
        yield None
        return
    folder = make_stub()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(make_server, libexec):
    return make_server(conf={"workers": {"smtpd": 1, "delivery": 1}}, libexec=libexec)


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(re.findall(r"^(\w+):[ \t]*(.*)$", f.read(), re.M))


@pytest.mark.parametrize("kind", KINDS)
def test_process_has_given_up_everything(server, kind):
    pid = server.pids(kind)[0]
    user = USERS[USER_OF.get(kind, kind)]
    status = status_of(pid)
    assert status["Uid"].split() == [user] * 4 and status["Gid"].split() == [user] * 4 and status["Groups"] == ""
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[caps], 16) == 0
    # Not dumpable: its own /proc entries belong to root.
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    with open(f"/proc/{pid}/limits") as f:
        limits = f.read()
    assert re.search(r"Max core file size\s+0\s+0", limits)


def test_every_process_has_a_user_of_its_own(server):
    users = [status_of(server.pids(kind)[0])["Uid"].split()[0] for kind in KINDS]
    assert len(set(users)) == len(KINDS) and "0" not in users


@pytest.mark.parametrize("kind", KINDS)
def test_root_of_a_process_is_its_folder(server, kind):
    want = {"logd": "/", "qmgr": server.path("spool/queue"), "control": server.path("spool/drop")}.get(kind, server.path("run/empty"))
    assert os.readlink(f"/proc/{server.pids(kind)[0]}/root") == want


@pytest.mark.parametrize("kind", KINDS)
def test_process_holds_no_file_that_is_not_its_own(server, kind):
    may = {"qmgr": server.path("spool/queue"), "mailbox": server.path("mail"), "logd": server.stderr_path,
           "router": server.path("users")}.get(kind)
    pid, wrong = server.pids(kind)[0], []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        is_plain = target.startswith(("socket:", "anon_inode:", "pipe:", "/dev/null", "/memfd:postern-counters"))
        if fd != "2" and not is_plain and not (may and target.startswith(may)):
            wrong.append(f"{fd}: {target}")
    assert not wrong


def acts(server, kind):
    """What is tried: (act, argument). Sockets of the Internet are what two kinds are for."""
    segments = server.segments()
    out = [("open", "/etc/passwd"), ("open", segments[0] if segments else server.spool), ("exec", "/bin/true"), ("fork", ""),
           ("ptrace", str(server.pids("qmgr" if kind != "qmgr" else "router")[0])), ("setuid", "0"),
           ("kill", str(server.master_pid)), ("chroot", "/"), ("socket", str(int(socket.AF_UNIX)))]
    if kind not in ("router", "delivery"):
        out.append(("socket", str(int(socket.AF_INET))))
    return out


def inject(pid, act, arg):
    done = subprocess.run([INJECT, str(pid), act, arg], capture_output=True, text=True, timeout=60)
    if done.returncode == 77:
        pytest.skip("not for this processor")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("number", range(10))
def test_forbidden_act_fails_in_each_running_process(server, number):
    """One act in all kinds at once; the server lives on."""
    wrong, tried = [], 0
    for kind in KINDS:
        pid = server.pids(kind)[0]
        assert inject(pid, "getpid", "") == "possible"      # the process can be made to act
        todo = acts(server, kind)
        if number >= len(todo):
            continue
        act, arg = todo[number]
        got = inject(pid, act, arg)
        tried += 1
        if got == "SIGSYS":
            server.wait_new_pid(kind, pid)
            server.wait_log(rf"child_exit name={kind} .*child={pid} signal=SIGSYS")
        elif got not in REFUSED:
            wrong.append(f"{kind}: {act} {arg}: {got}")
    assert tried and not wrong
    assert IS_ROOT and server.process.poll() is None
