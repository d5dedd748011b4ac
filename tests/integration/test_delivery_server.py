# SPDX-License-Identifier: ISC
"""delivery in the whole server: what its restarts, and those of the queue, mean for mail on its way."""
import threading
import time

import pytest

from tests.harness.nexthop import CLOSE, HANG, Reply
from tests.harness.postern import SLOW


def conf_for(hop, **over):
    conf = {'domain "relay.example"': {"class": "relay", "next_hop": f"[127.0.0.1]:{hop.port}"}, "workers": {"delivery": "1"},
            "retry": {"first": "1s"}}
    conf.update(over)
    return conf


def send(server, *rcpts, content=b"Subject: x\r\n\r\nhello\r\n"):
    with server.smtp() as c:
        c.ehlo()
        return c.send_mail("a@client.example", list(rcpts), content)


@pytest.fixture
def slow_hop(make_hop):
    """Its answer to the end of a message comes when .go is set."""
    hop = make_hop(extensions=["PIPELINING"])
    hop.go, hop.at_end = threading.Event(), threading.Event()

    def end(session, line):
        hop.at_end.set()
        hop.go.wait(60)

    hop.on["DATA_END"] = end
    yield hop
    hop.go.set()


def test_the_queue_dies_while_the_next_hop_thinks(make_server, slow_hop):
    """delivery tells the new queue what runs and what came of it: nothing is sent twice."""
    server = make_server(conf_for(slow_hop))
    qid = send(server, "r@relay.example")
    assert slow_hop.at_end.wait(20)
    old = server.pids("qmgr")[0]
    server.kill("qmgr")
    server.wait_new_pid("qmgr", old)
    time.sleep(0.5)
    slow_hop.go.set()
    server.wait_log(f"delivered .*qid={qid}")
    server.wait_empty()
    time.sleep(1.5)
    assert len(slow_hop.messages) == 1 and len(slow_hop.sessions) == 1


def test_the_queue_dies_between_the_answer_and_its_commit(make_server, make_hop):
    hop = make_hop()
    server = make_server(conf_for(hop))
    hop.on["DATA_END"] = lambda s, line: (server.kill("qmgr"), None)[1] if not hop.messages else None
    old = server.pids("qmgr")[0]
    qid = send(server, "r@relay.example")
    server.wait_new_pid("qmgr", old)
    server.wait_log(f"delivered .*qid={qid}")
    server.wait_empty()
    time.sleep(1.5)
    assert len(hop.messages) == 1


def test_delivery_dies_in_mid_transaction(make_server, slow_hop):
    server = make_server(conf_for(slow_hop))
    qid = send(server, "r@relay.example")
    assert slow_hop.at_end.wait(20)
    old = server.pids("delivery")[0]
    server.kill("delivery")
    slow_hop.go.set()
    server.wait_new_pid("delivery", old)
    server.wait_log(f"delivered .*qid={qid}", timeout=30)
    server.wait_empty()


def test_the_mailbox_agent_dies_again_and_again(make_server):
    server = make_server()
    sent = 0
    for _ in range(3):
        old = server.pids("mailbox")[0]
        for _ in range(10):
            send(server, "user@local.example", content=b"Subject: %d\r\n\r\nx\r\n" % sent)
            sent += 1
        server.kill("mailbox")
        server.wait_new_pid("mailbox", old)
    server.wait_empty(40)
    got = {m.split(b"Subject: ")[1].split(b"\n")[0] for m in server.maildir("user").messages()}
    assert got == {b"%d" % i for i in range(sent)}


def test_a_connection_that_the_server_closed_costs_no_time(make_server, make_hop):
    """Idle connections that went stale: the message goes over a new one at once, not after the wait of a failure."""
    hop = make_hop()
    hop.on["DATA_END"] = lambda s, line: Reply("250 2.0.0 ok", CLOSE)
    server = make_server(conf_for(hop, retry={"first": "1h"}, timeouts={"idle": "10s"}))
    for i in range(5):
        send(server, "r@relay.example")
        hop.wait(i + 1, 10 * SLOW)
    server.wait_empty()
    assert not server.log_lines("deferred")


def test_a_hop_that_ends_each_connection_with_421_gets_all(make_server, make_hop):
    hop = make_hop()
    hop.on["MAIL"] = lambda s, line: Reply("421 4.4.2 one is enough", CLOSE) if s.commands.count("QUIT") or \
        len([c for c in s.commands if c.startswith("MAIL")]) > 1 else None
    server = make_server(conf_for(hop, retry={"first": "1h"}))
    for _ in range(20):
        send(server, "r@relay.example")
    hop.wait(20, 30 * SLOW)
    server.wait_empty()


def test_stop_while_a_next_hop_hangs(make_server, make_hop):
    hop = make_hop(extensions=["PIPELINING"])
    hop.on["DATA_END"] = HANG
    server = make_server(conf_for(hop, timeouts={"stop": "2s"}))
    send(server, "r@relay.example")
    hop.wait_sessions(1)
    time.sleep(0.3)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 6 * SLOW
    hop.on.clear()
    server.start()
    hop.wait(1, 30 * SLOW)
    server.wait_empty()


def test_reload_loses_nothing(make_server, slow_hop):
    server = make_server(conf_for(slow_hop))
    first = send(server, "r@relay.example")
    assert slow_hop.at_end.wait(20)
    server.reload()
    second = send(server, "q@relay.example")
    time.sleep(0.3)
    slow_hop.go.set()
    for qid in (first, second):
        server.wait_log(f"delivered .*qid={qid}")
    server.wait_empty()
    assert len(slow_hop.messages) == 2
