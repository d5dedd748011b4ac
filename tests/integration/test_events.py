# SPDX-License-Identifier: ISC
"""The event log: what `postern events` tells of each message, exactly once unless something crashed, never not at all."""
import json
import os
import subprocess
import time

import pytest

from tests.harness.nexthop import NextHop
from tests.harness.postern import IS_ROOT, Postern, StartFailed, program, wait_until

ON = {"events": {"max": "4M"}}


def events(server, *args):
    return [json.loads(line) for line in server.postern("events", *args).stdout.splitlines()]


def send(server, *to, body="hello"):
    with server.smtp() as c:
        c.ehlo()
        return c.send_mail("a@client.example", list(to), f"Subject: x\r\n\r\n{body}\r\n")


def by_name(found, name):
    return [e for e in found if e["event"] == name]


def keys(found):
    return [(e.get("id"), e["event"]) for e in found]


def test_a_delivered_message_is_received_and_delivered():
    with Postern(conf=ON) as server:
        qid = send(server, "user@local.example", "b@local.example")
        server.wait_log(rf"delivered .*qid={qid}", count=2)
        found = events(server)
        assert [e["event"] for e in found] == ["received", "delivered", "delivered"]
        assert [e["serial"] for e in found] == [1, 2, 3]
        received, first, second = found
        assert received["qid"] == qid and received["from"] == "a@client.example" and received["nrcpt"] == 2
        assert received["size"] > 0 and received["client"] == "127.0.0.1" and received["sid"]
        number = received["id"]
        assert sorted([first["id"], second["id"]]) == [f"{number}.0.1", f"{number}.1.1"]
        assert sorted([first["to"], second["to"]]) == ["b@local.example", "user@local.example"]
        assert first["transport"] == "maildir" and first["qid"] == qid and first["attempt"] == 1


def test_deferrals_and_bounces_are_told_with_the_reply_of_the_server():
    conf = {**ON, "retry": {"first": "100ms", "max": "200ms", "jitter": 0}}
    replies = ["450 4.2.1 not now", "550 5.1.1 nobody"]
    with NextHop() as hop, \
            Postern(conf={**conf, "relay_from": ["127.0.0.0/8"], "relay_host": f"[127.0.0.1]:{hop.port}"}) as server:
        hop.on["RCPT"] = lambda s, line: replies.pop(0) if replies else None
        qid = send(server, "x@far.example")
        server.wait_log(rf"bounced .*qid={qid}")
        found = [e for e in events(server) if e.get("qid") == qid]
        assert [e["event"] for e in found] == ["received", "deferred", "bounced"]
        assert found[1]["reply"] == 450 and found[1]["esc"] == "4.2.1" and "not now" in found[1]["text"]
        assert found[1]["id"].endswith(".0.1") and found[2]["id"].endswith(".0.2")
        assert found[2]["reply"] == 550
        # The report to the sender is a message of its own.
        wait_until(lambda: len(by_name(events(server), "received")) == 2, what="received of the report")


def test_hold_release_and_delete_are_told():
    with Postern(conf={**ON, "hold_incoming": True}) as server:
        qid = send(server, "user@local.example", "b@local.example")
        wait_until(lambda: len(by_name(events(server), "held")) == 2, what="held")
        server.postern("queue", "release", "rcpt=user@local.example")
        server.postern("queue", "delete", "rcpt=b@local.example")
        server.wait_log(rf"delivered .*qid={qid}")
        found = events(server)
        assert sorted(e["event"] for e in found) == ["deleted", "delivered", "held", "held", "received", "released"]
        assert by_name(found, "deleted")[0]["to"] == "b@local.example"


def test_the_cursor_moves_with_ack_only_and_survives_a_kill():
    with Postern(conf=ON) as server:
        qid = send(server, "user@local.example")
        server.wait_log(rf"delivered .*qid={qid}")
        assert len(events(server)) == 2
        assert len(events(server, "--ack")) == 2
        assert events(server) == []
        server.kill_all()
        server.start()
        qid = send(server, "user@local.example")
        server.wait_log(rf"delivered .*qid={qid}")
        assert [e["event"] for e in events(server)] == ["received", "delivered"]
        assert events(server)[0]["qid"] == qid
        assert events(server)[0]["serial"] == 3


def test_output_that_does_not_arrive_is_not_acknowledged():
    with Postern(conf=ON) as server:
        qid = send(server, "user@local.example")
        server.wait_log(rf"delivered .*qid={qid}")
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([program("postern"), "events", "--ack", "-c", server.conf_path], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=20, check=False)
        assert done.returncode == 74 and "No space" in done.stderr
        assert len(events(server)) == 2


def test_follow_prints_what_comes():
    with Postern(conf=ON) as server:
        args = [program("postern"), "events", "--follow", "-c", server.conf_path]
        with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as follower:
            try:
                for _ in range(3):
                    qid = send(server, "user@local.example")
                    got = [json.loads(follower.stdout.readline()) for _ in range(2)]
                    assert [e["event"] for e in got] == ["received", "delivered"] and got[0]["qid"] == qid
            finally:
                follower.terminate()


def test_many_pages_come_in_order_without_a_gap():
    with Postern(conf=ON) as server:
        n = 400
        with server.smtp() as c:
            c.ehlo()
            for i in range(n):
                c.send_mail("a" * 60 + "@client.example", ["user@local.example"], f"Subject: {i}\r\n\r\nx\r\n")
        wait_until(lambda: len(by_name(events(server), "delivered")) == n, 60, "all delivered", 0.2)
        found = events(server, "--ack")
        assert [e["serial"] for e in found] == list(range(1, 2 * n + 1))
        assert len(set(keys(found))) == 2 * n


def test_without_the_block_nothing_is_written_and_the_command_says_how():
    with Postern() as server:
        qid = send(server, "user@local.example")
        server.wait_log(rf"delivered .*qid={qid}")
        done = server.postern("events", check=False)
        assert done.returncode == 78 and "events {" in done.stderr and "postern reload" in done.stderr
        assert not os.path.exists(os.path.join(server.spool, "queue", "events"))
        assert "events" not in server.stats()
        # Switched on while it runs, and off again.
        server.write_conf(ON)
        server.reload()
        qid = send(server, "user@local.example")
        server.wait_log(rf"delivered .*qid={qid}")
        wait_until(lambda: [e["event"] for e in events(server)] == ["received", "delivered"], what="events after reload")
        assert server.stats()["events"]["unread"] == 2
        assert "postern_events_unread 2\n" in server.postern("stats", "--prometheus").stdout
        server.write_conf({"events": None})
        server.reload()
        wait_until(lambda: server.postern("events", check=False).returncode == 78, what="off")


def test_a_bound_that_is_too_small_is_refused():
    with Postern(conf={"events": {"max": "64K"}}, start=False) as server:
        done = server.postern("check", check=False)
        assert done.returncode == 78 and "events.max" in done.stderr + done.stdout


def test_an_event_log_of_a_later_version_is_refused_and_left_alone():
    with Postern(conf=ON) as server:
        qid = send(server, "user@local.example")
        server.wait_log(rf"delivered .*qid={qid}")
        server.stop()
        path = os.path.join(server.spool, "queue", "events", "1.events")
        with open(path, "rb") as f:
            data = bytearray(f.read())
        data[8] = 9
        data[60:64] = crc32c(bytes(data[:60])).to_bytes(4, "little")
        with open(path, "wb") as f:
            f.write(data)
        with pytest.raises(StartFailed) as failed:
            server.start()
        assert "1.events was written by another version" in failed.value.output
        with open(path, "rb") as f:
            assert f.read() == bytes(data)


@pytest.mark.skipif(not IS_ROOT, reason="needs root to be somebody else")
def test_a_stranger_may_not_read_it():
    with Postern(conf=ON) as server:
        done = subprocess.run(["setpriv", "--reuid=70099", "--regid=70099", "--clear-groups", program("postern"), "events", "-c",
                               server.conf_path], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 77 and "group postern" in done.stderr


def test_a_server_killed_at_any_moment_tells_every_event():
    """The whole group is killed under load, again and again: each acknowledged message is received, each one delivered."""
    from tests.harness.load import Load
    with Postern(conf={**ON, "retry": {"first": "500ms", "max": "1s"}}) as server:
        load = Load(server.port, clients=5, seed=7, per_connection=10, pause=0.02).start()
        for i in range(6):
            time.sleep(0.15 + 0.07 * i)
            server.kill_all()
            server.start()
        load.stop()
        wait_until(lambda: not server.queue(), 60, "empty queue", 0.3)
        found = events(server)
        serials = [e["serial"] for e in found]
        assert serials == sorted(set(serials)) and not by_name(found, "lost")
        received = {e["id"] for e in by_name(found, "received")}
        delivered = {e["id"] for e in by_name(found, "delivered")}
        assert len(load.acked) > 30 and len(received) >= len(load.acked)
        assert {f"{number}.0.1" for number in received} == delivered
        twice = len(by_name(found, "received")) - len(received)
        print(f"{len(received)} received, {twice} of them twice, {len(load.acked)} acknowledged")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    return crc ^ 0xFFFFFFFF
