# SPDX-License-Identifier: ISC
"""A network of its own, and file systems of its own to mount over: what happens there touches nobody else.

with Netns() as ns:
    ns.sh("ip addr add 192.0.2.1/24 dev lo")
    dns = ns.call(Dns)                          # sockets are made in the calling thread's network
    with ns.listen("192.0.2.1", 25):
        ns.run("/path/to/program", "argument")  # a CompletedProcess with text output

Needs root and iproute2; Netns.missing() says what is not there.
"""
import ctypes
import os
import shutil
import socket
import subprocess
import threading

CLONE_NEWNET = 0x40000000


class Netns:
    def __init__(self):
        # `cat` holds the namespaces until its input ends, also when this process is killed.
        self.process = subprocess.Popen(["unshare", "-n", "-m", "sh", "-c", "ip link set lo up && echo ready && exec cat"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.process.stdout.readline() != b"ready\n":
            why = self.process.stderr.read().decode().strip()
            self.close()
            raise OSError(why)
        self.pid = self.process.pid

    @staticmethod
    def missing():
        """Why there can be none, None: there can."""
        for name in ("unshare", "nsenter", "ip"):
            if shutil.which(name) is None:
                return f"no network namespace without {name} (util-linux, iproute2)"
        try:
            Netns().close()
        except OSError as e:
            return f"no network namespace here: {e}"
        return None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        self.process.stderr.close()

    def run(self, *args, timeout=60, **kw):
        """A program inside."""
        return subprocess.run(["nsenter", "-t", str(self.pid), "-n", "-m", "--", *args], timeout=timeout,
                              **{"capture_output": True, "text": True, **kw})

    def sh(self, script):
        """A shell script inside; it must succeed."""
        done = self.run("sh", "-ec", script)
        if done.returncode != 0:
            raise AssertionError(f"{script}: {done.stderr}")
        return done.stdout

    def call(self, function, *args):
        """What function(*args) returns, called by a thread inside the network (not the file systems)."""
        result = {}

        def inside():
            try:
                with open(f"/proc/{self.pid}/ns/net", "rb") as f:
                    if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
                result["value"] = function(*args)
            except BaseException as e:
                result["error"] = e

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if "error" in result:
            raise result["error"]
        return result["value"]

    def listen(self, address, port):
        """A socket that listens there; nobody accepts."""
        def make():
            s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, port))
            s.listen(16)
            return s
        return self.call(make)
