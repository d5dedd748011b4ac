# SPDX-License-Identifier: ISC
"""Power cuts: every message acknowledged before the cut is there afterwards.

The spool lies on ext4 (commit=300) in an image on a FUSE file system that logs each write and each flush (tests/tools/
faultfs.c). A cut is made from that log: everything up to the last flush before it, and of what came later any subset, each
write whole, absent or torn at 512 bytes. The server is started on the image, and its next hop must get every message whose
250 came before the cut.

POWER_RUNS= and POWER_CUTS= (default 5 runs of 20 cuts), SEED=.
"""
import mmap
import os
import random
import shutil
import struct
import subprocess
import tempfile

import pytest

from tests.harness import nexthop
from tests.harness.load import Load, tokens_of
from tests.harness.postern import IS_ROOT, ROOT, MODE, Postern, program, wait_until

RUNS = int(os.environ.get("POWER_RUNS", "5"))
CUTS = int(os.environ.get("POWER_CUTS", "20"))
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 30)
IMAGE_MIB = 96
FAULTFS = os.path.join(ROOT, "build", MODE, "tests", "tools", "faultfs")
WRITE, SYNC, TRUNCATE = 1, 2, 3


def why_not():
    if not IS_ROOT:
        return "needs root (mounts)"
    for path in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(path):
            return f"no {path}"
    for tool in ("mkfs.ext4", "losetup", "fusermount3"):
        if shutil.which(tool) is None:
            return f"no {tool}"
    if not os.path.exists(FAULTFS):
        return "faultfs is not built (libfuse3)"
    return None


pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"power cuts: {why_not()}")


def sh(*argv):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def unmount(where):
    """A process that was killed may be about to let go of it."""
    def is_gone():
        return not os.path.ismount(where) or subprocess.run(["umount", where], stderr=subprocess.DEVNULL).returncode == 0
    wait_until(is_gone, 20, f"umount {where}", interval=0.2)


class Disk:
    """An ext4 file system on a logged disk."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="postern-power-")
        self.cuts = 0
        os.chmod(self.dir, 0o755)
        for d in ("real", "fuse", "mnt", "cut"):
            os.mkdir(f"{self.dir}/{d}")
        image = f"{self.dir}/real/disk"
        with open(image, "wb") as f:
            f.truncate(IMAGE_MIB << 20)
        sh("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", image)
        shutil.copyfile(image, f"{self.dir}/base")
        self.fuse = subprocess.Popen([FAULTFS, f"{self.dir}/real", f"{self.dir}/fuse", self.log_path()],
                                     stdout=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: os.path.exists(f"{self.dir}/fuse/disk"), 10, "faultfs")
        sh("mount", "-o", "loop,commit=300", f"{self.dir}/fuse/disk", self.spool())
        os.chmod(self.spool(), 0o755)

    def log_path(self):
        return f"{self.dir}/log"

    def spool(self):
        return f"{self.dir}/mnt"

    def mark(self):
        """How far the log is now."""
        return os.stat(self.log_path()).st_size

    def read_log(self):
        """Events (end position, kind, offset, data)."""
        events, at = [], 0
        with open(self.log_path(), "rb") as f:
            data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        while at + 20 <= len(data):
            kind, n, off, name_n = struct.unpack_from("<IIQI", data, at)
            body = at + 20 + name_n
            end = body + (n if kind == WRITE else 0)
            if end > len(data):
                break
            events.append((end, kind, off, data[body:end]))
            at = end
        return events

    def make_cut(self, events, upto, rng):
        """Image of the disk as a cut after events[:upto] leaves it."""
        # A name of its own: where the last one is still mounted (in a mount namespace that was made meanwhile), mount would
        # take its loop device for this one.
        self.cuts += 1
        image = f"{self.dir}/cut/disk{self.cuts}"
        shutil.copyfile(f"{self.dir}/base", image)
        flushes = [i for i in range(upto) if events[i][1] == SYNC]
        stable = flushes[-1] if flushes else 0
        style = rng.choice(("none", "all", "some", "torn"))
        with open(image, "r+b") as f:
            for i in range(upto):
                _, kind, off, data = events[i]
                if kind != WRITE:
                    continue
                if i > stable:
                    data = survive(data, style, rng)
                if data:
                    f.seek(off)
                    f.write(data)
        return image

    def close(self):
        unmount(self.spool())
        # Lazily: a mount namespace made meanwhile (peers have some) may still hold the file system above it.
        sh("umount", "-l", f"{self.dir}/fuse")
        try:
            self.fuse.wait(10)
        except subprocess.TimeoutExpired:
            self.fuse.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def survive(data, style, rng):
    """What is left of a write that was not flushed: a prefix of whole sectors, so that a torn write is a torn write."""
    if style == "none" or (style != "all" and rng.random() < 0.5):
        return b""
    if style != "torn":
        return data
    return data[:rng.randrange(0, len(data) // 512 + 1) * 512]


def conf(disk_spool, hop_port):
    return {"directories": {"spool": disk_spool}, "relay_from": ["127.0.0.0/8"],
            "relay_host": f"[127.0.0.1]:{hop_port}", "retry": {"first": "500ms", "max": "1s", "jitter": 0},
            "limits": {"segment_size": "1M", "min_free": "0"}}


def record(disk, seed, seconds=2.0, command=None):
    """Run the server on the disk under load, with a next hop that takes about half; the load with its acknowledgements."""
    rng = random.Random(seed)
    with nexthop.NextHop() as hop:
        hop.on["DATA_END"] = lambda s, line: "451 4.3.0 later" if rng.random() < 0.5 else None
        with Postern(conf=conf(disk.spool(), hop.port), command=command) as server:
            load = Load(server.port, clients=8, rcpt="x@far.example", seed=seed, sizes=(200, 3000, 12000, 90000),
                        mark=disk.mark, pause=0.01).start()
            try:
                wait_until(lambda: len(load.acked) >= 400, seconds * 20, "400 messages")
            finally:
                load.stop()
            server.kill_all()
        # Now it is over: what is delivered after this look at the next hop would seem to be lost.
        return load, tokens_of(m.content for m in list(hop.messages))


def after_cut(disk, image, load, acked, delivered):
    """Start the server on the cut image; the tokens that are lost."""
    where = f"{disk.dir}/cut/mnt"
    os.makedirs(where, exist_ok=True)
    sh("mount", "-o", "loop", image, where)
    try:
        with nexthop.NextHop() as hop, Postern(conf=conf(where, hop.port)) as server:

            def left():
                found = tokens_of(m.content for m in list(hop.messages))
                # What had left before the cut need not be there any more.
                return [t for t in load.missing(found, acked) if t not in delivered]

            for _ in range(100):
                if not left():
                    break
                server.postern("queue", "flush", check=False)
                try:
                    wait_until(lambda: not left(), 0.5, "rest")
                except AssertionError:
                    if not server.queue():
                        break
            lost = left()
            found = tokens_of(m.content for m in list(hop.messages))
            assert load.damaged(found) == []
            server.kill_all()
            return lost
    finally:
        unmount(where)
        os.unlink(image)


def cuts(disk, load, delivered, rng, n):
    """Lost tokens of n cuts at random points of the log."""
    events = disk.read_log()
    first = next(i for i, e in enumerate(events) if e[0] >= min(a.mark for a in load.acked.values()))
    lost = []
    for _ in range(n):
        upto = rng.randrange(first, len(events) + 1)
        position = events[upto - 1][0]
        acked = {t: a for t, a in load.acked.items() if a.mark <= position}
        lost += after_cut(disk, disk.make_cut(events, upto, rng), load, acked, delivered)
    return lost


@pytest.mark.parametrize("run", range(RUNS))
def test_acknowledged_messages_survive_power_cuts(run):
    seed = SEED + run
    rng = random.Random(seed)
    disk = Disk()
    try:
        load, delivered = record(disk, seed)
        lost = cuts(disk, load, delivered, rng, CUTS)
        print(f"seed {seed}: {CUTS} cuts, {len(load.acked)} acknowledged, {len(lost)} lost")
        assert lost == []
    finally:
        disk.close()


def test_the_power_test_fails_when_the_sync_is_taken_out():
    """fdatasync of the commit does nothing (strace answers in its place): then cuts must lose messages."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    disk = Disk()
    try:
        command = ["strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:retval=0:syscall=getpid",
                   program("postern"), "run"]
        load, delivered = record(disk, SEED, seconds=6, command=command)
        lost = after_cut(disk, cut_to_flush(disk, disk.read_log()), load, load.acked, delivered)
        assert lost, "no message was lost without syncs: the test proves nothing"
    finally:
        disk.close()


def cut_to_flush(disk, events):
    """Only what was flushed."""
    class Nothing(random.Random):
        def choice(self, seq):
            return "none"

    return disk.make_cut(events, len(events), Nothing())
