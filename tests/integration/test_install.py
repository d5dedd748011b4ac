# SPDX-License-Identifier: ISC
"""What `make` does for a newcomer: no warnings, and an installation that runs from where it was put."""
import os
import re
import stat
import subprocess

import pytest

from tests.harness.postern import MODE, ROOT
from tests.harness.smtp import message

pytestmark = pytest.mark.skipif("POSTERN_BIN" in os.environ, reason="tests another build than that of this tree")


def make(*args):
    # As if called by hand, not by the make that runs the tests.
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    return subprocess.run(["make", f"MODE={MODE}", *args], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("args", [["check"], ["-j4", "check"], ["fuzz"]])
def test_make_has_nothing_to_warn_of(args):
    done = make("-n", *args)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr


def test_help_names_every_target_that_people_call():
    shown = make("help").stdout
    for target in ("run", "check", "check-system", "unit", "torture", "bench", "fuzz", "lint", "format", "install", "uninstall", "clean"):
        assert re.search(rf"\bmake {target}\b", shown), target


def test_installation_runs_from_where_it_was_put(make_server, tmp_path):
    root = tmp_path / "root"
    tmp_path.chmod(0o755)
    done = make("install", f"DESTDIR={root}")
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("man1/postern.1", "man5/postern.conf.5", "man8/postern.8"):
        assert (root / "usr/share/man" / page).is_file()
    for file in ("README.md", "LICENSE", "log.md", "postern.conf.sample", "fail2ban/filter.d/postern.conf"):
        assert (root / "usr/share/doc/postern" / file).is_file()
    binary = str(root / "usr/sbin/postern")
    for folder, _, names in os.walk(root):
        for name in names:
            mode = os.stat(os.path.join(folder, name)).st_mode
            assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH), name
    server = make_server(command=[binary, "run"])
    assert os.readlink(f"/proc/{server.master_pid}/exe").startswith(str(root))
    with server.smtp() as c:
        c.ehlo()
        c.send_mail("a@client.example", "user@local.example", message())
    assert server.maildir("user").wait(1)
    server.stop()
    # A second installation leaves the administrator's file alone; its removal too.
    mine = root / "etc/postern/postern.conf"
    mine.write_text("hostname = \"mine.example.org\"\n")
    assert make("install", f"DESTDIR={root}").returncode == 0
    assert mine.read_text() == "hostname = \"mine.example.org\"\n"
    assert make("uninstall", f"DESTDIR={root}").returncode == 0
    left = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    assert left == [str(mine)]
