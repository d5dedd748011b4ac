# SPDX-License-Identifier: ISC
"""What tests must not leave behind: processes, mounts, loop devices, folders. Finds it, names it and takes it away."""
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 3
GIVE_UP_S = 10


# --- processes ----------------------------------------------------------------------------------

def adopt_orphans():
    """Processes that outlive their parent become our children, so that they are seen."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children():
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        fields = text[text.rindex(")") + 2:].split()
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def end_processes(grace_s=GRACE_S):
    """Ends what is still there after a moment of grace, and what becomes our child by that; a text for each."""
    told = {}
    deadline = time.monotonic() + grace_s
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    # What the kernel does not let go (a file system that hangs) is told, and not waited for.
    deadline = time.monotonic() + GIVE_UP_S
    while (left := children()) and time.monotonic() < deadline:
        for pid in left:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
            told[pid] = f"process {pid}: {command}"
        time.sleep(0.05)
    reap()
    return list(told.values())


# --- the folder of temporary files ---------------------------------------------------------------

PYTEST = "pytest"   # pytest keeps its folders for those who look into them after a failure


def make_folder():
    """Where the tests of one suite put all their files ($TMPDIR). Short: sockets are in it. Others may pass through."""
    folder = tempfile.mkdtemp(prefix="postern-")
    os.chmod(folder, 0o755)
    return folder


def mounts_below(folder):
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        where = line.split()[4].encode().decode("unicode_escape")
        if where.startswith(folder + "/"):
            found.append(where)
    return found[::-1]


def loops_below(folder):
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if backing.read_text().startswith(folder + "/"):
                found.append(f"/dev/{backing.parent.parent.name}")
        except OSError:
            continue
    return found


def remove_folder(folder):
    """Removes it with all that is in it and on it; a text for each thing that should not have been there any more."""
    told = []
    for where in mounts_below(folder):
        told.append(f"mount {where}")
        subprocess.run(["umount", "-l", where], stderr=subprocess.DEVNULL)
    # The kernel lets go of them a moment after the file system.
    deadline = time.monotonic() + GRACE_S
    while loops_below(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    for device in loops_below(folder):
        told.append(f"loop device {device}")
        subprocess.run(["losetup", "-d", device], stderr=subprocess.DEVNULL)
    told += [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name != PYTEST]
    shutil.rmtree(folder, ignore_errors=True)
    return told
