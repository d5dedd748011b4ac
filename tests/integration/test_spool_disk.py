# SPDX-License-Identifier: ISC
"""The disk of the spool: full, it takes no mail and says so; with room again mail flows, and nobody had to do anything."""
import os
import subprocess

import pytest

from tests.harness.postern import wait_until
from tests.harness.smtp import message

MIB = 1 << 20


def mount(*args):
    if subprocess.run(["mount", *args], capture_output=True).returncode != 0:
        pytest.skip("cannot mount here")


@pytest.fixture
def disk(tmp_path):
    """A small disk, mounted."""
    path = tmp_path / "disk"
    tmp_path.chmod(0o755)
    path.mkdir()
    mount("-t", "tmpfs", "-o", "size=48m,mode=755", "none", str(path))
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def mail_reply(server):
    with server.smtp() as c:
        c.ehlo()
        return c.cmd("MAIL FROM:<a@client.example>")


@pytest.mark.root
def test_a_full_disk_refuses_at_mail_and_takes_mail_again_by_itself(make_server, disk):
    server = make_server({"directories": {"spool": str(disk / "spool")}, "hold_incoming": True})

    def send():
        with server.smtp() as c:
            c.ehlo()
            return c.send_mail("a@client.example", ["user@local.example"], message())

    qids = [send()]
    free = os.statvfs(disk)
    with open(disk / "filler", "wb") as f:
        try:
            os.posix_fallocate(f.fileno(), 0, free.f_bavail * free.f_bsize - MIB // 4)
        except OSError as e:
            pytest.skip(f"no way to fill the disk: {e}")
    wait_until(lambda: mail_reply(server).code != 250, 30, "refusal")
    refusal = mail_reply(server)
    assert (refusal.code, refusal.esc) == (452, "4.3.1")
    server.wait_log(r"no mail is taken: .*free")
    pids = server.pids("qmgr")
    os.unlink(disk / "filler")
    wait_until(lambda: mail_reply(server).code == 250, 60, "mail is taken again")
    assert server.pids("qmgr") == pids, "without a restart"
    qids.append(send())
    assert sorted(m["queue_id"] for m in server.queue()) == sorted(qids)


@pytest.mark.root
def test_a_disk_that_is_read_only_at_the_start_is_told_and_waited_for(make_server, disk):
    server = make_server({"directories": {"spool": str(disk / "spool")}})
    server.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    server.start(wait=False)
    wait_until(lambda: "Read-only file system" in server.output(), 20, "the reason")
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    server.wait_log(r": ready version=", timeout=60, count=2)
    assert mail_reply(server).code == 250
