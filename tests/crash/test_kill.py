# SPDX-License-Identifier: ISC
"""kill -9 of single processes and of the whole server under load from 20 clients: nothing acknowledged is lost.

40 rounds in the short run; KILL_ROUNDS= and SEED= for more (make torture). Sets are compared (token and SHA-256 of each
acknowledged message), not counts. Duplicates are printed and bounded: a killed delivery or mailbox process may have handed
over what it could not report, and a whole group up to 50 ms of completions (crash table of the queue). The event log is
compared, too: none may be missing.
"""
import json
import os
import random
import time

import pytest

from tests.harness import nexthop
from tests.harness.load import Load, tokens_of
from tests.harness.postern import SLOW, Postern, wait_until

ROUNDS = int(os.environ.get("KILL_ROUNDS", "40"))
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 30)
KINDS = ["smtpd", "router", "qmgr", "delivery", "mailbox", "control", "logd"]
# Copies that one kill may leave: what was in flight at that moment.
DUPLICATES_PER_KILL = 200


def drain(server, count_found, acked, seconds):
    """Wait until all that was acknowledged has arrived, or nothing moves any more."""
    end = time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        found = count_found()
        if all(t in found for t in acked):
            return
        server.postern("queue", "flush", check=False)
        time.sleep(0.3)


def one_round(server, rng, kind):
    time.sleep(rng.uniform(0.05, 0.3))
    if kind == "group":
        server.kill_all()
        server.start()
        return
    pids = server.pids(kind)
    if not pids:
        wait_until(lambda: server.pids(kind), 60, f"{kind} back")
        pids = server.pids(kind)
    server.kill(kind, index=rng.randrange(len(pids)))


def check(load, found, kills):
    lost = load.missing(found)
    damaged = load.damaged(found)
    duplicates = load.duplicates(found)
    print(f"seed {SEED}: {kills} kills, {len(load.acked)} acknowledged, {len(lost)} lost, {len(damaged)} damaged, "
          f"{duplicates} duplicates; refused: {dict(load.refused)}")
    assert lost == []
    assert damaged == []
    assert duplicates <= kills * DUPLICATES_PER_KILL
    assert len(load.acked) > 10 * kills, "the load did not get through between the kills"


def check_events(server, load):
    """No event is missing: each message that there ever was is received and delivered; repeated ones have the same id."""
    found = [json.loads(line) for line in server.postern("events", timeout=60).stdout.splitlines()]
    received = {e["id"] for e in found if e["event"] == "received"}
    delivered = {e["id"] for e in found if e["event"] == "delivered"}
    print(f"{len(found)} events, {len(received)} messages")
    assert not [e for e in found if e["event"] == "lost"]
    assert [e["serial"] for e in found] == sorted({e["serial"] for e in found})
    assert len(received) >= len(load.acked)
    assert delivered >= {f"{number}.0.1" for number in received}


def test_maildir_nothing_is_lost_when_processes_are_killed():
    rng = random.Random(SEED)
    with Postern(conf={"retry": {"first": "500ms", "max": "1s"}, "events": {"max": "64M"}}) as server:
        load = Load(server.port, seed=SEED, per_connection=10, pause=0.05).start()
        rounds = (KINDS + ["group"]) * (ROUNDS // 2 // (len(KINDS) + 1) + 1)
        rounds = rounds[:ROUNDS // 2]
        rng.shuffle(rounds)
        for kind in rounds:
            one_round(server, rng, kind)
        load.stop()
        wait_until(lambda: len(server.pids("qmgr")) == 1 and len(server.pids("mailbox")) == 1, 90, "processes back")
        drain(server, lambda: tokens_of(server.maildir("user").messages()), load.acked, 60)
        check(load, tokens_of(server.maildir("user").messages()), len(rounds))
        wait_until(lambda: not server.queue(), 60, "empty queue", 0.3)
        check_events(server, load)


def test_relay_nothing_is_lost_when_processes_are_killed():
    rng = random.Random(SEED + 1)
    with nexthop.NextHop() as hop, \
            Postern(conf={"retry": {"first": "500ms", "max": "1s"}, "relay_from": ["127.0.0.0/8"],
                          "relay_host": f"[127.0.0.1]:{hop.port}"}) as server:
        load = Load(server.port, clients=20, rcpt="x@far.example", seed=SEED + 1, per_connection=10, pause=0.02).start()
        kinds = ["smtpd", "qmgr", "delivery", "router", "group"]
        rounds = (kinds * (ROUNDS // 2 // len(kinds) + 1))[:ROUNDS - ROUNDS // 2]
        rng.shuffle(rounds)
        for kind in rounds:
            one_round(server, rng, kind)
        load.stop()
        drain(server, lambda: tokens_of(m.content for m in list(hop.messages)), load.acked, 60)
        check(load, tokens_of(m.content for m in hop.messages), len(rounds))


def test_master_killed_takes_its_children_along_and_nothing_is_lost():
    with Postern() as server:
        load = Load(server.port, clients=5, seed=SEED + 2).start()
        wait_until(lambda: len(load.acked) > 50, 30, "load")
        server.kill("master")
        wait_until(lambda: not server.left_over(), 20, "children gone")
        load.stop()
        server.process.wait()
        server.process = None
        server.start()
        drain(server, lambda: tokens_of(server.maildir("user").messages()), load.acked, 60)
        check(load, tokens_of(server.maildir("user").messages()), 1)
