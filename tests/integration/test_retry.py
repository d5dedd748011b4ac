# SPDX-License-Identifier: ISC
"""When mail is tried, over how many connections, and when it is given up."""
import os
import re
import signal
import socket
import threading
import time

import pytest

from tests.harness.nexthop import CLOSE, HANG
from tests.harness.ports import free_port
from tests.harness.postern import wait_until
from tests.harness.smtp import message

RETRY = {"first": "300ms", "factor": 2, "max": "1s", "jitter": 0}


def relay(hop, name="hop.example"):
    """Configuration of a domain that goes to this hop (or port)."""
    return {f'domain "{name}"': {"class": "relay", "next_hop": f"[127.0.0.1]:{getattr(hop, 'port', hop)}"}}


def send(server, rcpts, sender="a@client.example", **kw):
    with server.smtp() as c:
        c.ehlo()
        return c.send_mail(sender, rcpts, kw.pop("content", None) or message(**kw.pop("msg", {})), **kw)


def fields(line):
    return dict(re.findall(r'(\w+)=("[^"]*"|\S*)', line))


# --- retries ---

def test_refused_for_now_is_tried_again_until_it_is_taken(make_server, make_hop):
    hop = make_hop()
    tries = []

    def rcpt(session, line):
        tries.append(time.monotonic())
        return "451 4.3.0 not yet" if len(tries) < 4 else None

    hop.on["RCPT"] = rcpt
    server = make_server({"retry": RETRY, **relay(hop)})
    qid = send(server, "u@hop.example")
    hop.wait(1)
    server.wait_log(rf"delivered .*qid={qid} .*attempt=4\b")
    lines = server.log_lines(rf" deferred .*qid={qid}")
    assert [fields(x)["attempt"] for x in lines] == ["1", "2", "3"]
    first = fields(lines[0])
    assert first["to"] == "u@hop.example" and first["reply"] == "451" and first["esc"] == "4.3.0"
    assert "not yet" in first["text"] and f"[127.0.0.1]:{hop.port}" in first["relay"]
    gaps = [b - a for a, b in zip(tries, tries[1:])]
    assert gaps[0] >= 0.29 and gaps[1] >= 0.59 and gaps[2] >= 0.99
    server.wait_log(rf"removed qid={qid}")
    assert server.queue() == []


def test_the_state_of_a_retry_survives_a_restart(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = "450 4.2.0 later"
    server = make_server({"retry": {**RETRY, "first": "3s", "max": "3s"}, **relay(hop)})
    qid = send(server, "u@hop.example")
    server.wait_log(rf"deferred .*qid={qid}")
    before = server.queue()[0]["recipients"][0]
    server.kill_all()
    server.start()
    after = server.queue()[0]["recipients"][0]
    assert after["attempts"] == before["attempts"] == 1
    assert "450 4.2.0" in after["delay_reason"] and after["next_due"] == before["next_due"]
    hop.on.clear()
    hop.wait(1)
    server.wait_log(rf"delivered .*qid={qid} .*attempt=2\b")


def test_expires_only_after_an_attempt_that_was_made_later(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = "450 4.2.0 later"
    server = make_server({"retry": {**RETRY, "first": "700ms", "max": "700ms", "expire": "1500ms"}, **relay(hop)})
    start = time.monotonic()
    qid = send(server, "u@hop.example", sender="b@local.example")
    line = server.wait_log(rf"expired .*qid={qid}")
    assert time.monotonic() - start >= 1.5
    assert int(fields(line)["delay_ms"]) >= 1500 and fields(line)["esc"] == "4.2.0"
    text = server.maildir("b").wait(1)[0]
    assert b"u@hop.example" in text and b"Action: failed" in text and b"Status: 4.2.0" in text
    server.wait_empty()


def test_null_sender_has_a_shorter_life_and_no_report(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = "450 4.2.0 later"
    server = make_server({"retry": {**RETRY, "expire": "1h", "bounce_expire": "1s"}, "postmaster": "b@local.example",
                          **relay(hop)})
    qid = send(server, "u@hop.example", sender="")
    server.wait_log(rf"expired .*qid={qid}")
    server.wait_log(rf"unreported qid={qid}")
    server.wait_log(rf"removed qid={qid}")
    time.sleep(0.3)
    assert server.maildir("b").files() == [] and server.queue() == []


def test_soft_bounce_keeps_what_was_refused_for_good(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = "550 5.1.1 no such user"
    server = make_server({"retry": {**RETRY, "first": "1h", "max": "1h"}, "soft_bounce": True, **relay(hop)})
    qid = send(server, "u@hop.example")
    server.wait_log(rf"deferred .*qid={qid} .*reply=550 esc=5.1.1")
    assert server.queue()[0]["state"] == "deferred"


@pytest.mark.parametrize("answer", ["451 4.7.1 greylisted", "550 5.1.1 unknown"])
def test_each_recipient_has_its_own_fate(make_server, make_hop, answer):
    hop = make_hop()
    hop.on["RCPT"] = lambda s, line: answer if "<x@" in line else None
    server = make_server({"retry": {**RETRY, "first": "1h", "max": "1h"}, **relay(hop)})
    qid = send(server, ["u@hop.example", "x@hop.example", "v@hop.example"], sender="b@local.example")
    assert hop.wait(1)[0].rcpts == ["u@hop.example", "v@hop.example"]
    server.wait_log(rf"delivered .*qid={qid} .*to=u@")
    server.wait_log(rf"delivered .*qid={qid} .*to=v@")
    if answer.startswith("4"):
        server.wait_log(rf"deferred .*qid={qid} .*to=x@")
        item = server.queue()[0]
        assert [r["address"] for r in item["recipients"]] == ["x@hop.example"]
    else:
        server.wait_log(rf"bounced .*qid={qid} .*to=x@")
        assert b"<x@hop.example>" in server.maildir("b").wait(1)[0]
        server.wait_empty()


# --- connections ---

def test_recipients_of_one_message_for_one_site_share_a_transaction(make_server, make_hop):
    hop = make_hop()
    server = make_server({'site "default"': {"recipients_per_message": 10}, **relay(hop), **relay(hop, "also.example")})
    names = [f"u{i}@hop.example" for i in range(25)] + ["w@also.example"]
    send(server, names)
    wait_until(lambda: sum(len(m.rcpts) for m in hop.messages) == 26, 20, "all recipients")
    assert sorted(r for m in hop.messages for r in m.rcpts) == sorted(names)
    assert all(len(m.rcpts) <= 10 for m in hop.messages) and len(hop.messages) <= 4


def test_a_connection_is_used_again_and_closed_when_idle(make_server, make_hop):
    hop = make_hop()
    server = make_server({'site "default"': {"connections": 1}, "timeouts": {"idle": "500ms"}, **relay(hop)})
    for i in range(5):
        send(server, f"u{i}@hop.example")
    hop.wait(5)
    assert len(hop.sessions) == 1
    wait_until(lambda: "QUIT" in hop.sessions[0].commands, 5, "QUIT of the idle connection")


def test_messages_per_connection_and_connections_are_limits(make_server, make_hop):
    hop = make_hop()
    most = [0]
    lock = threading.Lock()
    open_now = set()

    def connect(session, line):
        with lock:
            open_now.add(session)
            most[0] = max(most[0], len([s for s in open_now if "QUIT" not in s.commands]))

    def slow(session, line):
        time.sleep(0.02)

    hop.on["CONNECT"], hop.on["DATA_END"] = connect, slow
    server = make_server({'site "default"': {"connections": 3, "messages_per_connection": 4}, **relay(hop)})
    with server.smtp() as c:
        c.ehlo()
        for i in range(40):
            c.send_mail("a@client.example", f"u{i}@hop.example", message())
    hop.wait(40)
    assert most[0] <= 3
    taken = {}
    for m in hop.messages:
        taken[m.session] = taken.get(m.session, 0) + 1
    assert max(taken.values()) <= 4 and len(taken) >= 10


def test_message_rate_spreads_messages_out(make_server, make_hop):
    hop = make_hop()
    server = make_server({'site "default"': {"message_rate": "4/s"}, **relay(hop)})
    with server.smtp() as c:
        c.ehlo()
        for i in range(10):
            c.send_mail("a@client.example", f"u{i}@hop.example", message())
    messages = hop.wait(10)
    # Four at once, the other six at 4/s.
    assert messages[-1].at - messages[0].at >= 1.3


def test_a_large_message_goes_in_pieces(make_server, make_hop):
    hop = make_hop()
    server = make_server(relay(hop))
    content = message(size=3000000)
    send(server, "u@hop.example", content=content)
    assert hop.wait(1)[0].content.endswith(content[-2000000:])


# --- sites that do not work ---

def test_a_dead_site_holds_up_nobody(make_server, make_hop):
    good, dead = make_hop(), free_port()
    hang = make_hop()
    hang.on["CONNECT"] = HANG
    server = make_server({"retry": {**RETRY, "first": "1h", "max": "1h"}, "limits": {"sessions": 8},
                          **relay(good), **relay(dead, "dead.example"), **relay(hang, "hang.example")})
    with server.smtp() as c:
        c.ehlo()
        for i in range(30):
            c.send_mail("a@client.example", f"u{i}@dead.example", message())
            c.send_mail("a@client.example", f"u{i}@hang.example", message())
        start = time.monotonic()
        for i in range(30):
            c.send_mail("a@client.example", f"u{i}@hop.example", message())
    good.wait(30)
    assert time.monotonic() - start < 5
    # One connection found out that it is dead; the others wait with that reason.
    server.wait_log(r"suspended .*site=\S*" + str(dead))
    wait_until(lambda: len(server.log_lines(r" deferred .*@dead\.example")) == 30, 10, "lines of all that wait")
    assert len(server.log_lines(r"suspended .*" + str(dead))) == 1
    items = server.queue("domain=dead.example")
    assert len(items) == 30 and all("4.4.1" in r["delay_reason"] for m in items for r in m["recipients"])


def test_a_site_that_comes_back_is_found_by_one_probe(make_server, make_hop):
    port = free_port()
    server = make_server({"retry": {"first": "1500ms", "factor": 1, "max": "1500ms", "jitter": 0}, **relay(port)})
    for i in range(20):
        send(server, f"u{i}@hop.example")
    server.wait_log("suspended ")
    wait_until(lambda: server.stats()["delivery"]["in_memory"] == 0, 10, "waiting recipients are rows")
    hop = make_hop(port=port)
    start = time.monotonic()
    hop.wait(20)
    assert time.monotonic() - start < 10
    server.wait_empty()


def test_new_mail_for_a_suspended_site_waits_without_a_connection(make_server):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.close()        # refuses from now on
    port = listener.getsockname()[1] if listener.fileno() >= 0 else free_port()
    server = make_server({"retry": {**RETRY, "first": "1h", "max": "1h"}, **relay(port)})
    send(server, "u@hop.example")
    server.wait_log("suspended ")
    qid = send(server, "v@hop.example")
    server.wait_log(rf"deferred .*qid={qid} .*esc=4.4.1")
    assert server.stats()["queue"]["deferred"] == 2
    assert len(server.log_lines("suspended ")) == 1
    assert server.stats()["delivery"]["sessions_opened"] == 1


def test_a_server_that_closes_at_once_is_not_called_in_a_circle(make_server, make_hop):
    hop = make_hop()
    hop.on["MAIL"] = CLOSE
    server = make_server({"retry": {**RETRY, "first": "5s", "max": "5s"}, **relay(hop)})
    qid = send(server, "u@hop.example")
    server.wait_log(rf"deferred .*qid={qid}")
    time.sleep(1)
    assert len(hop.sessions) <= 3


# --- processes that die ---

@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGABRT])
def test_a_delivery_process_that_dies_loses_nothing(make_server, make_hop, sig):
    hop = make_hop()
    hop.on["DATA_END"] = HANG
    server = make_server({"workers": {"delivery": 1}, **relay(hop)})
    qids = {send(server, f"u{i}@hop.example", msg={"subject": f"s{i}"}) for i in range(4)}
    hop.wait_sessions(1)
    wait_until(lambda: any("DATA" in s.commands or any(c.startswith("BDAT") for c in s.commands) for s in hop.sessions),
               10, "a message under way")
    hop.on.clear()
    server.kill("delivery", sig)
    wait_until(lambda: len({m.rcpts[0] for m in hop.messages}) == 4, 20, "all messages")
    for qid in qids:
        server.wait_log(rf"delivered .*qid={qid}")
    server.wait_empty()


def test_a_restarted_qmgr_delivers_nothing_twice(make_server, make_hop):
    hop = make_hop()
    go = threading.Event()
    hop.on["DATA_END"] = lambda s, line: go.wait(10) and None
    server = make_server(relay(hop))
    qid = send(server, ["u@hop.example", "v@hop.example"])
    wait_until(lambda: any(any(c.startswith(("DATA", "BDAT")) for c in s.commands) for s in hop.sessions), 10, "under way")
    pid = server.kill("qmgr")
    server.wait_new_pid("qmgr", pid)
    time.sleep(0.5)
    go.set()
    server.wait_log(rf"delivered .*qid={qid} .*to=u@")
    server.wait_log(rf"delivered .*qid={qid} .*to=v@")
    server.wait_empty()
    time.sleep(0.5)
    assert len(hop.messages) == 1


def test_a_message_that_crashes_delivery_three_times_alone_is_held(make_server, make_hop):
    hop = make_hop()
    hop.on["DATA_END"] = lambda s, line: HANG if "evil" in [c for c in s.commands if c.startswith("MAIL")][-1] else None
    server = make_server({"workers": {"delivery": 1}, **relay(hop)})
    qid = send(server, "u@hop.example", sender="evil@client.example")

    def under_way():
        return [s for s in hop.sessions if s.commands and not s.is_gone() and s.commands[-1].startswith(("DATA", "BDAT")) and
                "evil" in [c for c in s.commands if c.startswith("MAIL")][-1]]

    for crash in range(4):
        wait_until(under_way, 20, f"message under way after {crash} crashes")
        # Mail of others goes on all the time.
        send(server, f"v{crash}@hop.example")
        wait_until(lambda: len(hop.messages) > crash, 20, "mail of others")
        gone = under_way()
        # The newest process is the one for it alone.
        os.kill(server.pids("delivery")[-1], signal.SIGABRT)
        wait_until(lambda: not any(s in gone for s in under_way()), 20, "the process is gone")
    server.wait_log(rf"held .*qid={qid}")
    server.wait_log("crashed a delivery process 3 times alone")
    assert [(m["queue_id"], m["state"]) for m in server.queue()] == [(qid, "held")]
    hop.on.clear()
    server.postern("queue", "release", qid)
    server.wait_log(rf"delivered .*qid={qid}")
    server.wait_empty()
    wait_until(lambda: len(server.pids("delivery")) == 1, 10, "the process for it alone is stopped")


def test_a_delivery_process_that_does_not_tell_its_inventory_is_killed(make_server, make_hop):
    hop = make_hop()
    hop.on["DATA_END"] = HANG
    server = make_server({"workers": {"delivery": 1}, **relay(hop)})
    qid = send(server, "u@hop.example")
    wait_until(lambda: any(c.startswith(("DATA", "BDAT")) for s in hop.sessions for c in s.commands), 10, "under way")
    stopped = server.pids("delivery")[0]
    os.kill(stopped, signal.SIGSTOP)
    pid = server.kill("qmgr")
    server.wait_new_pid("qmgr", pid)
    hop.on.clear()
    server.wait_new_pid("delivery", stopped, 20)
    server.wait_log(rf"delivered .*qid={qid}", 20)
    server.wait_empty()


def test_a_newcomer_does_not_wait_behind_sites_that_hang(make_server, make_hop):
    good = make_hop()
    silent = socket.create_server(("0.0.0.0", 0))
    port = silent.getsockname()[1]
    # Sites of their own by another address of the loopback network.
    sites = {f'domain "h{i}.example"': {"class": "relay", "next_hop": f"[127.0.1.{i + 1}]:{port}"} for i in range(40)}
    server = make_server({"limits": {"sessions": 8}, "timeouts": {"greeting": "1s"}, "retry": {"first": "1h"},
                          **relay(good), **sites})
    for i in range(40):
        send(server, f"u@h{i}.example")
    wait_until(lambda: server.stats()["delivery"]["sessions"] == 2, 10, "a quarter of all connections hangs")
    start = time.monotonic()
    send(server, "u@hop.example")
    good.wait(1)
    # Two at a time, a second each: in the order of arrival it would be 20 seconds.
    assert time.monotonic() - start < 6
    # Now it is known, and its mail needs no share of first contacts.
    start = time.monotonic()
    for i in range(20):
        send(server, f"u{i}@hop.example")
    good.wait(21)
    assert time.monotonic() - start < 3
    silent.close()
