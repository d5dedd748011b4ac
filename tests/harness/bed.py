# SPDX-License-Identifier: ISC
"""smtpd alone, with everyone around it played by tests/tools/bed_smtpd: for faults that real siblings make only by chance.

with Bed({"timeouts": {"commit": "500ms"}}) as bed:
    bed.order("qmgr hold")
    with bed.smtp() as c: ...
    bed.wait(r"^submit ")
"""
import os
import re
import shutil
import subprocess
import tempfile
import threading

from .ports import free_port, give_back
from .postern import SLOW, build_dir, merge, program, render_conf, wait_until
from .smtp import Smtp


class Bed:
    def __init__(self, conf=None, workers=1):
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix="postern-bed-")
        self.conf = merge({"hostname": "mx.test.example", "log": {"level": "debug"}}, conf or {})
        path = os.path.join(self.dir, "postern.conf")
        with open(path, "w") as f:
            f.write(render_conf(self.conf))
        self.lines = []
        self.process = subprocess.Popen(
            [os.path.join(build_dir(), "tests/tools/bed_smtpd"), program("smtpd"), path, str(self.port), str(workers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.wait(r"^ready ", count=workers)
            # Two: the second is there when the queue's state has arrived.
            self.wait(r"^inventory_end", count=workers)
        except BaseException:
            self.close()
            raise

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.process.poll() is None:
            try:
                self.process.stdin.close()
            except OSError:
                pass
            try:
                self.process.wait(5 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()
        give_back(self.port)
        shutil.rmtree(self.dir, ignore_errors=True)

    def order(self, text):
        """Give an order and wait until it was carried out."""
        begin = len(self.lines)
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        self.wait("^done " + re.escape(text) + "$", begin=begin)

    def settle(self):
        """Wait until all that was said so far is read."""
        self.order("settle")

    def find(self, pattern, begin=0):
        return [x for x in list(self.lines)[begin:] if re.search(pattern, x)]

    def wait(self, pattern, timeout=10, begin=0, count=1):
        """Wait for `count` lines that match; the last of them."""
        try:
            return wait_until(lambda: self.find(pattern, begin)[count - 1:], timeout, f"line /{pattern}/")[-1]
        except AssertionError as e:
            raise AssertionError(f"{e}\n" + "\n".join(self.lines[-40:])) from None

    def smtp(self, **kw):
        return Smtp(self.port, **kw)
