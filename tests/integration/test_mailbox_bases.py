# SPDX-License-Identifier: ISC
"""One mailbox agent writes below all mailbox bases: a file system that hangs below one of them holds up no other."""
import os
import shutil
import subprocess

import pytest

from tests.harness.maildir import Maildir
from tests.harness.postern import wait_until
from tests.harness.smtp import message

BOXES = 80              # more than the agent has sessions


def sh(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def why_not():
    if os.geteuid() != 0:
        return "needs root (mounts)"
    for tool in ("mkfs.ext4", "losetup", "fsfreeze"):
        if shutil.which(tool) is None:
            return f"{tool} is missing"
    return None


@pytest.fixture
def frozen(tmp_path):
    """A folder on a file system of its own; .freeze() makes every write below it wait until .thaw()."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)

    class Disk:
        path = str(tmp_path / "slow")

        def freeze(self):
            sh("fsfreeze", "-f", self.path)
            self.is_frozen = True

        def thaw(self):
            if self.is_frozen:
                sh("fsfreeze", "-u", self.path)
                self.is_frozen = False

    disk, image = Disk(), str(tmp_path / "image")
    disk.is_frozen = False
    os.mkdir(disk.path)
    sh("truncate", "-s", "32M", image)
    sh("mkfs.ext4", "-q", "-F", image)
    try:
        sh("mount", "-o", "loop", image, disk.path)
    except subprocess.CalledProcessError as e:
        pytest.skip(f"no loop device: {e.stderr.decode().strip()}")
    tmp_path.chmod(0o755)
    os.chmod(disk.path, 0o1777)
    yield disk
    disk.thaw()
    wait_until(lambda: subprocess.run(["umount", disk.path], stderr=subprocess.DEVNULL).returncode == 0, what="umount")


def test_a_base_that_hangs_holds_up_no_other(frozen, make_server):
    server = make_server(start=False, mailboxes=("user",))
    server.write("slow.users", "@slow.example %{rcpt.local}/\n")
    server.write_conf({'domain "slow.example"': {"class": "virtual", "table": server.path("slow.users"),
                                                 "mailbox_base": frozen.path + "/mail"}})
    server.start()
    try:
        with server.smtp() as c:
            c.ehlo()
            c.send_mail("a@client.example", ["first@slow.example"], message())
            Maildir(frozen.path + "/mail/first").wait(1)
            frozen.freeze()
            for i in range(BOXES):
                c.send_mail("a@client.example", [f"u{i}@slow.example"], message())
            for n in range(1, 11):
                c.send_mail("a@client.example", ["user@local.example"], message())
                server.maildir("user").wait(n, timeout=5)
        assert [b for b in os.listdir(frozen.path + "/mail") if b.startswith("u")] == []
    finally:
        frozen.thaw()       # the agent ends when its threads do

    def counts():
        return [len(Maildir(f"{frozen.path}/mail/u{i}").messages()) for i in range(BOXES)]

    wait_until(lambda: min(counts()) > 0, what="mail of the base that hung")
    server.wait_empty()
    assert set(counts()) == {1}
    assert server.log_lines("child_exit") == []
