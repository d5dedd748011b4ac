# SPDX-License-Identifier: ISC
"""From inside the sandbox of each kind of process every forbidden act is tried, one process for each try."""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from tests.harness.postern import IS_ROOT, MODE, build_dir

PROBE = os.path.join(build_dir(), "tests/tools/probe")
UID = 70004
NOBODY = 65534

# What a kind is for, and so may do. Landlock, where the kernel has it, takes some of it away again.
ALLOWED = {
    "logd": set(),
    "qmgr": {"thread"},
    "router": {"thread", "socket_tcp", "socket_tcp6", "socket_udp", "connect", "socket_connect", "sendto", "fastopen",
               "socketpair", "bind", "bind_port"},
    "smtpd": set(),
    "delivery": {"socket_tcp", "socket_tcp6", "connect", "socket_connect"},
    "mailbox": {"thread"},
    "control": set(),
}
# Possible without Landlock of that version only.
NEEDS_LANDLOCK = {
    "mailbox": {"openat2_out": 2, "unlink_out": 2, "rename_out": 2, "link_in": 2, "mkdirat_out": 2},
    "router": {"bind": 4, "bind_port": 4},
}
# With a chroot ".." of its own root is that root: nothing outside is touched.
STAYS_INSIDE = {"qmgr": {"mkdirat_out"}}
# Errors that say no. Anything else means that the call went through and found fault with its arguments.
REFUSED = {"EPERM", "EACCES", "ENOENT", "ENOSYS", "EXDEV", "EAGAIN"}


def landlock_version():
    return ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)


LANDLOCK = landlock_version()


@pytest.fixture(scope="module")
def world():
    """A folder, a process of the same user, a port with somebody listening."""
    if MODE in ("asan", "tsan", "cov"):
        pytest.skip(f"MODE={MODE} relaxes the sandbox (docs/testing.md)")
    if not os.path.exists(PROBE):
        pytest.fail(f"{PROBE} is not built: make tests")
    folder = tempfile.mkdtemp(prefix="postern-test-")
    os.chmod(folder, 0o755)
    for name in ("work", "empty"):
        os.mkdir(os.path.join(folder, name))
    probe = shutil.copy(PROBE, folder)      # another user may not reach the build
    os.chmod(probe, 0o755)
    listener = socket.create_server(("127.0.0.1", 0))
    yield folder, probe, listener
    listener.close()
    shutil.rmtree(folder)


def make_victim(folder, uid):
    """What a process must not reach beside its folder; its user could by its rights alone."""
    for name in ("stolen", "probe-link", "probe-fifo"):
        path = os.path.join(folder, "work", name)
        if os.path.lexists(path):
            os.unlink(path)
    for name in ("postern-probe", "work/postern-probe"):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    with open(os.path.join(folder, "victim"), "w") as f:
        f.write("another message\n")
    if IS_ROOT:
        for path in ("", "work", "victim"):
            os.chown(os.path.join(folder, path), uid, uid)


def attempt(world, kind, act, uid, user, sibling):
    folder, probe, listener = world
    make_victim(folder, user if user is not None else uid)
    who = {"user": user, "group": user, "extra_groups": []} if user is not None and IS_ROOT else {}
    done = subprocess.run([probe, kind, act, str(uid), folder, str(sibling), str(listener.getsockname()[1])],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **who)
    if done.returncode == -signal.SIGSYS:
        return "SIGSYS"
    if done.returncode == 0:
        return "possible"
    if done.returncode == 1:
        return done.stdout.strip()
    return f"status {done.returncode}: {done.stdout}{done.stderr}"


def all_acts():
    return subprocess.run([PROBE, "list"], capture_output=True, text=True, check=True).stdout.split()


def check_kind(world, kind, uid, user):
    who = user if user is not None else uid
    as_user = {"user": who, "group": who, "extra_groups": []} if IS_ROOT else {}
    sibling = subprocess.Popen(["sleep", "600"], **as_user)
    try:
        # The probe itself works: a process that does nothing forbidden lives.
        assert attempt(world, kind, "nothing", uid, user, sibling.pid) == "possible"
        wrong = []
        for act in all_acts():
            got = attempt(world, kind, act, uid, user, sibling.pid)
            may = act in ALLOWED[kind] or (uid != -1 and act in STAYS_INSIDE.get(kind, ()))
            needs = NEEDS_LANDLOCK.get(kind, {}).get(act)
            if needs is not None:
                may = LANDLOCK < needs
            if act == "stray":
                ok = got == "EBADF"
            elif may:
                ok = got == "possible"
            else:
                ok = got == "SIGSYS" or got in REFUSED
            if not ok:
                wrong.append(f"{act}: {got}, should be {'possible' if may else 'refused'}")
        assert not wrong
        assert sibling.poll() is None
    finally:
        sibling.kill()
        sibling.wait()


@pytest.mark.root
@pytest.mark.parametrize("kind", ALLOWED)
def test_forbidden_acts_fail_with_an_own_user(world, kind):
    check_kind(world, kind, UID, None)


@pytest.mark.parametrize("kind", ALLOWED)
def test_forbidden_acts_fail_without_root(world, kind):
    if LANDLOCK < 2 and kind in ("qmgr", "mailbox"):
        pytest.skip("without root and without Landlock the file system stays open to this kind")
    check_kind(world, kind, -1, NOBODY if IS_ROOT else None)


@pytest.mark.root
def test_root_is_refused_as_a_user(world):
    folder, probe, listener = world
    done = subprocess.run([probe, "smtpd", "nothing", "0", folder, "1", "1"], capture_output=True, text=True)
    assert done.returncode == 78
    assert "must not run as root" in done.stderr
