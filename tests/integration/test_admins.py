# SPDX-License-Identifier: ISC
"""Who may steer the queue: root, and the group postern, by which a user is known as his own group or as a further one."""
import os
import shutil
import subprocess

import pytest

from tests.harness.postern import Postern, program
from tests.harness.smtp import message

GROUP, NOBODY = 70123, 65534


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server on a machine with the group postern, in a mount namespace of its own."""
    folder = tmp_path_factory.mktemp("etc")
    with open("/etc/group") as f:
        lines = [line for line in f if not line.startswith("postern:")]
    (folder / "group").write_text("".join(lines) + f"postern:x:{GROUP}:\n")
    mount = f"mount --bind {folder}/group /etc/group"
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode != 0:
        pytest.skip("needs root and a mount namespace")
    prefix = ["unshare", "-m", "sh", "-c", mount + ' && exec "$@"', "-"]
    with Postern(conf={"hold_incoming": True}, prefix=prefix) as s:
        shutil.copy(program("postern"), s.path("postern"))      # another user may not reach the build
        with s.smtp() as c:
            c.ehlo()
            s.qid = c.send_mail("a@client.example", ["user@local.example"], message())
        yield s


def listed(server, group, groups):
    return subprocess.run([server.path("postern"), "queue", "list", "--json", "-c", server.conf_path], user=NOBODY, group=group,
                          extra_groups=groups, capture_output=True, text=True, timeout=20)


@pytest.mark.root
@pytest.mark.parametrize("group, groups, is_admin", [
    (GROUP, [], True), (NOBODY, [GROUP], True), (NOBODY, [*range(80000, 80040), GROUP], True), (NOBODY, [], False),
    (NOBODY, [GROUP + 1], False)], ids=["own group", "further group", "last of many", "none", "another"])
def test_an_administrator_is_known_by_his_groups(server, group, groups, is_admin):
    done = listed(server, group, groups)
    assert done.returncode == 0, done.stderr
    assert (server.qid in done.stdout) == is_admin
