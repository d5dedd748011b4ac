# SPDX-License-Identifier: ISC
"""Reads a Maildir as a mail reader would: tmp/ is nobody's business."""
import os
import time


class Maildir:
    def __init__(self, path):
        self.path = str(path)

    def files(self):
        """Paths of delivered messages, oldest first."""
        found = []
        for folder in ("new", "cur"):
            try:
                found += [os.path.join(self.path, folder, n) for n in os.listdir(os.path.join(self.path, folder))]
            except FileNotFoundError:
                pass
        return sorted(found, key=lambda p: (os.stat(p).st_mtime_ns, p))

    def messages(self):
        """Contents of delivered messages as bytes, oldest first."""
        return [open(p, "rb").read() for p in self.files()]

    def wait(self, count=1, timeout=20):
        """The messages, once there are at least so many."""
        end = time.monotonic() + timeout
        while True:
            if len(self.files()) >= count:
                return self.messages()
            if time.monotonic() > end:
                raise AssertionError(f"{self.path} has {len(self.files())} of {count} messages after {timeout} s")
            time.sleep(0.02)
