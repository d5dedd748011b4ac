# SPDX-License-Identifier: ISC
"""No 250 before the fdatasync that covers its message: seen from outside, with strace."""
import os
import re
import shutil
import subprocess

import pytest

from tests.harness.load import Load
from tests.harness.postern import IS_ROOT, Postern, program, wait_until

MESSAGES = 1000
LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")
TRACED = "pwrite64,pwritev,pwritev2,fdatasync,fsync,write,writev,sendto,sendmsg"


def why_not():
    if not IS_ROOT:
        return "needs root (the processes let nobody else of their user look into them)"
    if shutil.which("strace") is None:
        return "strace is not installed"
    return None


def parse(path):
    """Events (name, begin, end, text, fd) in order of begin; begin and end are line numbers. An injected result does not
    count as the call."""
    events, open_calls = [], {}
    with open(path, errors="replace") as f:
        for n, line in enumerate(f):
            m = LINE.match(line)
            if not m:
                continue
            pid, resumed, name, rest = m.groups()
            if resumed:
                e = open_calls.pop((pid, resumed), None)
                if e is not None:
                    e["end"], e["text"] = n, e["text"] + rest
                continue
            e = {"name": name, "begin": n, "end": n, "text": rest}
            if rest.rstrip().endswith("<unfinished ...>"):
                open_calls[pid, name] = e
                e["end"] = None
            events.append(e)
    for e in events:
        m = re.match(r"(\d+)", e["text"])
        e["fd"] = int(m.group(1)) if m else -1
        e["ok"] = e["end"] is not None and "INJECTED" not in e["text"] and not re.search(r"= -1 E", e["text"])
    return events


def violations(events, acked):
    """Tokens whose 250 was on its way before their record was synced."""
    writes = [e for e in events if e["name"].startswith("pwrite") and e["ok"]]
    syncs = [e for e in events if e["name"] in ("fdatasync", "fsync") and e["ok"]]
    sends = [e for e in events if e["name"] in ("write", "writev", "sendto", "sendmsg")]
    covered = {}        # token -> line at which it is durable
    for w in writes:
        tokens = re.findall(r"load-([0-9a-f]{32})@", w["text"])
        if tokens:
            done = min((s["end"] for s in syncs if s["fd"] == w["fd"] and s["begin"] > w["end"]), default=None)
            for t in tokens:
                if done is not None:
                    covered[t] = min(done, covered.get(t, done))
    said = {}
    for s in sends:
        # The id alone also stands in what the server's processes tell each other, beside bytes of any value.
        for qid in re.findall(r"250 2\.0\.0 Queued as ([0-9A-HJKMNP-TV-Z]{13})\b", s["text"]):
            said.setdefault(qid, s["begin"])
    bad = []
    for token, ack in acked.items():
        assert ack.qid in said, f"strace has not seen the 250 of {ack.qid}"
        if token not in covered or covered[token] >= said[ack.qid]:
            bad.append(token)
    return bad


def run_traced(inject=None):
    out = None
    argv = ["strace", "-f", "-q", "-s", "100000", "-e", "trace=" + TRACED, "-e", "signal=none"]
    if inject:
        argv += ["-e", "inject=" + inject]
    with Postern(conf={"hold_incoming": True}, start=False) as server:
        out = server.path("strace.out")
        server.command = argv + ["-o", out, program("postern"), "run"]
        server.start(timeout=60)
        # Small messages: all of a record is in the trace.
        load = Load(server.port, clients=20, sizes=(200, 1000), weights=(1, 1)).start()
        wait_until(lambda: len(load.acked) >= MESSAGES, 120, f"{MESSAGES} messages")
        load.stop()
        server.kill_all()
        return violations(parse(out), load.acked), len(load.acked)


@pytest.mark.skipif(why_not() is not None, reason=f"order of syncs: {why_not()}")
def test_no_250_before_the_sync_that_covers_its_record():
    bad, n = run_traced()
    assert n >= MESSAGES
    assert bad == [], f"{len(bad)} of {n} messages had their 250 too early"


@pytest.mark.skipif(why_not() is not None, reason=f"order of syncs: {why_not()}")
def test_the_order_test_fails_when_the_sync_is_taken_out():
    bad, n = run_traced(inject="fdatasync:retval=0:syscall=getpid")
    assert len(bad) == n
