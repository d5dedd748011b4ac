# SPDX-License-Identifier: ISC
"""A folder of programs in which every child but logd is tests/tools/testchild: the real master, the real frame and
sandbox of each kind, and a child that does next to nothing. For the tests of master alone."""
import os
import shutil
import tempfile

from .postern import build_dir, program

STAND_INS = ("smtpd", "router", "qmgr", "delivery", "control")


def make_stub():
    """Path of a new folder for Postern(libexec=...); the caller removes it."""
    folder = tempfile.mkdtemp(prefix="postern-test-")
    os.chmod(folder, 0o755)
    for name in ("master", "logd"):
        shutil.copy(program(name), folder)
    for name in STAND_INS:
        shutil.copy(os.path.join(build_dir(), "tests/tools/testchild"), os.path.join(folder, name))
    return folder
