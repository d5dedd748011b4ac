# SPDX-License-Identifier: ISC
"""delivery as an SMTP client: every answer and every silence of a next hop, with the queue played by a bed."""
import os
import re
import signal
import socket
import threading
import time

import pytest

from tests.harness.bed_delivery import DeliveryBed
from tests.harness.nexthop import CLOSE, HANG, RESET, NextHop, Reply
from tests.harness.ports import free_port, give_back
from tests.harness.postern import SLOW

SHORT = f"{1000 * min(SLOW, 3)}ms"
TIMEOUTS = {"timeouts": {k: SHORT for k in ("connect", "greeting", "helo", "mail", "rcpt", "data_init", "data_block", "data_end", "quit")}}
NO_CHUNKING = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"]
SEQUENTIAL = ["SIZE 52428800", "8BITMIME"]
BODY = b"Subject: x\r\n\r\n.dot\r\n..two\r\nend\r\n"
TRACE = b"Received: by bed\r\n"


@pytest.fixture(scope="module")
def bed():
    """Patient: a busy machine is no fault of the next hop."""
    with DeliveryBed() as b:
        yield b


@pytest.fixture(scope="module")
def hasty():
    with DeliveryBed(TIMEOUTS) as b:
        yield b


_sessions = iter(range(1, 100000))


@pytest.fixture
def session():
    return next(_sessions)


def deliver(bed, session, hop, rcpts=("r@b.example",), sender="s@a.example", **kw):
    bed.up(session, hop)
    return bed.deliver(session, sender, list(rcpts), **kw)


# ---- what goes over the wire ----

@pytest.mark.parametrize("extensions", [None, NO_CHUNKING, SEQUENTIAL, []], ids=["bdat", "pipelining", "sequential", "bare"])
@pytest.mark.parametrize("size", [0, 3, 34, 65000, 300000, 3000000])
def test_content_arrives_byte_for_byte(bed, session, make_hop, extensions, size):
    hop = make_hop(extensions=extensions)
    content = (BODY * (size // len(BODY) + 1))[:size]
    content = content[:-2] + b"\r\n" if size > 1 else content
    content = content.replace(b"\r\r\n", b"x\r\n")
    result = deliver(bed, session, hop, content=content, timeout=30)
    assert [o.status for o in result.outcomes] == ["delivered"]
    assert result.is_up
    assert hop.wait(1)[0].content == TRACE + content
    bed.close_session(session)


@pytest.mark.parametrize("extensions", [None, NO_CHUNKING], ids=["bdat", "data"])
@pytest.mark.parametrize("size", [1, 70000], ids=["small", "streamed"])
def test_no_bare_newline_leaves_the_server(bed, session, make_hop, extensions, size):
    hop = make_hop(extensions=extensions)
    evil = b"x\n.\nMAIL FROM:<evil@x.example>\n\r.\r\r\n.\r\n\n.\r\n" * (size // 40 + 1)
    result = deliver(bed, session, hop, content=evil + b"end\r\n", timeout=30)
    assert result.outcomes[0].status == "delivered"
    content = hop.wait(1)[0].content
    assert len(hop.messages) == 1
    assert not re.search(rb"[^\r]\n|\r[^\n]", content)
    assert content.endswith(b"end\r\n")
    assert content.replace(b"\r\n", b"\n").count(b"\n.\n") == 4 * (size // 40 + 1)
    bed.close_session(session)


def test_parameters_are_passed_on(bed, session, hop):
    result = deliver(bed, session, hop, body8=True, notify=6, ret=2, envid="Q+2B1", orcpt="rfc822;o@c.example")
    assert not result.outcomes[0].is_nodsn
    m = hop.wait(1)[0]
    assert m.mail_params == "SIZE=42 BODY=8BITMIME RET=HDRS ENVID=Q+2B1"
    assert m.rcpt_params == ["NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o@c.example"]


def test_without_dsn_it_is_said(bed, session, make_hop):
    result = deliver(bed, session, make_hop(extensions=SEQUENTIAL), notify=2, envid="x")
    assert result.outcomes[0].status == "delivered" and result.outcomes[0].is_nodsn


def test_utf8_address_goes_to_a_hop_with_smtputf8(bed, session, hop):
    result = deliver(bed, session, hop, rcpts=["jörg@b.example"], utf8=True)
    assert result.outcomes[0].status == "delivered"
    assert hop.wait(1)[0].rcpts == ["jörg@b.example"] and "SMTPUTF8" in hop.messages[0].mail_params


@pytest.mark.parametrize("options,rcpt,esc", [({"flags": 1}, "r@b.example", "5.6.3"), ({"utf8": True}, "jörg@b.example", "5.6.7")])
def test_what_the_hop_cannot_take_is_returned(bed, session, make_hop, options, rcpt, esc):
    hop = make_hop(extensions=["PIPELINING"])
    result = deliver(bed, session, hop, rcpts=[rcpt], **options)
    assert (result.outcomes[0].status, result.outcomes[0].esc) == ("bounced", esc)
    assert result.is_up
    assert [c for c in hop.sessions[0].commands if not c.startswith("EHLO")] == []


def test_too_large_for_the_hop_is_returned_unsent(bed, session, make_hop):
    hop = make_hop(extensions=["SIZE 1000"])
    result = deliver(bed, session, hop, content=b"x" * 998 + b"\r\n")
    assert (result.outcomes[0].status, result.outcomes[0].esc) == ("bounced", "5.3.4")


def test_one_connection_serves_many_messages(bed, session, hop):
    bed.up(session, hop)
    jobs = [bed.job(session, "s@a.example", [f"r{i}@b.example"]) for i in range(2)]
    for _ in range(20):
        bed.result(jobs.pop(0))
        jobs.append(bed.job(session, "s@a.example", ["r@b.example"]))
    for j in jobs:
        assert bed.result(j).outcomes[0].status == "delivered"
    assert len(hop.messages) == 22 and len(hop.sessions) == 1
    bed.close_session(session)
    assert hop.sessions[0].commands[-1] == "QUIT"


def test_reset_after_a_failed_transaction(bed, session, hop):
    hop.on["RCPT"] = lambda s, line: "550 5.1.1 none" if "bad" in line else None
    bed.up(session, hop)
    assert bed.deliver(session, "s@a.example", ["bad@b.example"]).outcomes[0].status == "bounced"
    assert bed.deliver(session, "t@a.example", ["good@b.example"]).outcomes[0].status == "delivered"
    assert "RSET" in hop.sessions[0].commands
    assert hop.wait(1)[0].sender == "t@a.example" and hop.messages[0].rcpts == ["good@b.example"]


@pytest.mark.parametrize("extensions", [None, NO_CHUNKING, SEQUENTIAL], ids=["bdat", "pipelining", "sequential"])
def test_each_recipient_has_a_result_of_its_own(bed, session, make_hop, extensions):
    hop = make_hop(extensions=extensions)
    answers = {"perm": "550 5.1.1 none", "temp": "450-4.2.0 not\r\n450 4.2.0 now"}
    hop.on["RCPT"] = lambda s, line: next((v for k, v in answers.items() if k in line), None)
    result = deliver(bed, session, hop, rcpts=["a@b.example", "perm@b.example", "temp@b.example", "z@b.example"])
    assert [(o.status, o.esc) for o in result.outcomes] == [
        ("delivered", "2.0.0"), ("bounced", "5.1.1"), ("deferred", "4.2.0"), ("delivered", "2.0.0")]
    assert result.outcomes[2].text == "not now"
    assert hop.wait(1)[0].rcpts == ["a@b.example", "z@b.example"]


def test_a_thousand_recipients(bed, session, hop):
    rcpts = [f"r{i}@b.example" for i in range(1000)]
    result = deliver(bed, session, hop, rcpts=rcpts, timeout=30)
    assert [o.status for o in result.outcomes] == ["delivered"] * 1000
    assert hop.wait(1)[0].rcpts == rcpts


def test_limits_of_the_server_are_kept(bed, session, make_hop):
    hop = make_hop(extensions=["PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=1"])
    result = deliver(bed, session, hop, rcpts=["a@b.example", "b@b.example", "c@b.example"])
    assert [(o.status, o.is_untried) for o in result.outcomes] == [("delivered", False), ("delivered", False), ("deferred", True)]
    assert not result.is_up
    bed.wait(f"^session {session} closed")


# ---- faults ----

STAGES = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DATA_END"]
FAULTS = {
    "hangs": HANG, "closes": CLOSE, "resets": RESET, "421": Reply("421 4.3.2 bye", CLOSE), "garbage": b"\x00\xffwhat\r\n",
    "no code": "ok", "endless line": b"250-" + b"x" * 300000, "endless lines": b"250-x\r\n" * 2000, "354": "354 what",
}


@pytest.mark.parametrize("stage,fault", [(s, f) for s in STAGES for f in FAULTS if (s, f) != ("DATA", "354")])
def test_every_fault_at_every_stage_defers(hasty, session, make_hop, stage, fault):
    hop = make_hop(extensions=NO_CHUNKING)
    hop.on[stage] = FAULTS[fault]
    if stage in ("CONNECT", "EHLO"):
        reply, esc, text = hasty.failed(session, hop, timeout=20)
        assert reply in (421, 451) and esc[0] == "4", text
    else:
        hasty.up(session, hop)
        result = hasty.deliver(session, "s@a.example", ["r@b.example"], timeout=20)
        assert result.outcomes[0].status == "deferred" and result.outcomes[0].esc[0] == "4"
        assert not result.outcomes[0].is_untried
        assert not result.is_up
        hasty.wait(f"^session {session} closed")
    assert not hop.messages or stage == "DATA_END"


@pytest.mark.parametrize("stage,fault", [("MAIL", CLOSE), ("MAIL", Reply("421 4.4.2 enough", CLOSE)), ("RCPT", CLOSE), ("MAIL", HANG)])
def test_a_second_message_is_innocent_of_a_stale_connection(hasty, session, make_hop, stage, fault):
    hop = make_hop(extensions=NO_CHUNKING)
    hop.on[stage] = lambda s, line: fault if s.hop.messages else None
    hasty.up(session, hop)
    assert hasty.deliver(session, "s@a.example", ["r@b.example"]).outcomes[0].status == "delivered"
    result = hasty.deliver(session, "s@a.example", ["r@b.example"])
    assert result.outcomes[0].status == "deferred" and result.outcomes[0].is_untried and not result.is_up


def test_a_lost_reply_to_the_dot_is_told_as_doubtful(bed, session, make_hop):
    hop = make_hop(extensions=NO_CHUNKING)
    hop.on["DATA_END"] = CLOSE
    result = deliver(bed, session, hop)
    assert result.outcomes[0].esc == "4.4.2" and "may have been delivered" in result.outcomes[0].text


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA_END"])
def test_a_reset_that_comes_with_a_reply_is_told_as_what_it_is(bed, session, make_hop, stage):
    """The loop tells of both at once, and has no name for the error. Delivery sleeps until both are there."""
    pid = bed.pid
    awake = threading.Timer(0.3, os.kill, (pid, signal.SIGCONT))
    hop = make_hop(extensions=SEQUENTIAL)

    def answer(_, line):
        os.kill(pid, signal.SIGSTOP)
        awake.start()
        return Reply(b"250-2.0.0 half a reply\r\n", RESET)

    hop.on[stage] = answer
    outcome = deliver(bed, session, hop).outcomes[0]
    awake.join()
    assert outcome.status == "deferred" and outcome.text.startswith("Connection reset"), outcome.text


def test_a_hop_that_does_not_read_is_given_up(hasty, session):
    """The window of the socket fills up in the middle of the message."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1)
    stop = threading.Event()

    def serve():
        c, _ = sock.accept()
        c.sendall(b"220 slow\r\n")
        c.recv(1000)
        c.sendall(b"250-slow\r\n250 PIPELINING\r\n")
        c.recv(1000)
        c.sendall(b"250 a\r\n250 b\r\n354 c\r\n")
        stop.wait(30)
        c.close()

    threading.Thread(target=serve, daemon=True).start()
    hasty.up(session, f"slow=127.0.0.1:{sock.getsockname()[1]}")
    result = hasty.deliver(session, "s@a.example", ["r@b.example"], content=b"x" * 70 * 100000 + b"\r\n", timeout=20)
    stop.set()
    sock.close()
    assert result.outcomes[0].status == "deferred" and "timed out while sending" in result.outcomes[0].text


def test_a_reply_before_the_end_of_the_message(bed, session):
    """No: final. Yes: a lie."""
    for reply, status in ((b"552 5.3.4 too big\r\n", "bounced"), (b"250 2.0.0 got it\r\n", "deferred")):
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(1)

        def serve():
            c, _ = sock.accept()
            c.sendall(b"220 hasty\r\n")
            c.recv(1000)
            c.sendall(b"250-hasty\r\n250 PIPELINING\r\n")
            c.recv(1000)
            c.sendall(b"250 a\r\n250 b\r\n354 c\r\n")
            c.recv(10000)
            c.sendall(reply)
            time.sleep(1)
            c.close()

        threading.Thread(target=serve, daemon=True).start()
        s = next(_sessions)
        bed.up(s, f"hasty=127.0.0.1:{sock.getsockname()[1]}")
        result = bed.deliver(s, "s@a.example", ["r@b.example"], content=b"x" * 70 * 100000 + b"\r\n", timeout=20)
        sock.close()
        assert result.outcomes[0].status == status
        assert not result.is_up


# ---- hosts and addresses ----

def closed_port():
    port = free_port()
    give_back(port)
    return port


def test_all_hosts_are_tried_in_order(bed, session, make_hop):
    seen = []
    hops = []
    for i, greeting in enumerate(["554 5.7.1 not you", "421 4.3.2 busy", None]):
        h = make_hop(name=f"mx{i}.example")
        h.on["CONNECT"] = lambda s, line, i=i, g=greeting: (seen.append(i), g)[1]
        hops.append(h)
    relay = bed.up(session, f"dead=127.0.0.1:{closed_port()}", *hops)
    assert seen == [0, 1, 2] and relay == f"mx2.example[127.0.0.1]:{hops[2].port}"
    result = bed.deliver(session, "s@a.example", ["r@b.example"])
    assert result.relay == relay and result.outcomes[0].status == "delivered"


def test_ehlo_refused_then_helo(bed, session, hop):
    hop.on["EHLO"] = "502 5.5.1 what"
    assert deliver(bed, session, hop).outcomes[0].status == "delivered"
    assert [c.split()[0] for c in hop.sessions[0].commands][:3] == ["EHLO", "HELO", "MAIL"]


def test_an_address_that_does_not_answer(hasty, session, hop):
    """A port whose backlog is full drops what comes."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    fillers = []
    for _ in range(3):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        fillers.append(s)
    begin = time.monotonic()
    relay = hasty.up(session, f"full=127.0.0.1:{port}", hop)
    assert relay.startswith("hop.example") and 0.9 < time.monotonic() - begin < 5 * SLOW
    for s in fillers + [full]:
        s.close()


def test_all_reasons_are_told(bed, session, make_hop):
    h = make_hop(name="mx1")
    h.on["CONNECT"] = "554 5.7.1 listed"
    dead = closed_port()
    reply, esc, text = bed.failed(session, h, f"mx2=127.0.0.1:{dead}")
    assert (reply, esc) == (451, "4.4.1")
    assert f"mx1[127.0.0.1]:{h.port}: listed" in text and f"mx2[127.0.0.1]:{dead}: Connection refused" in text


def test_refused_for_good_by_all(bed, session, make_hop):
    hops = [make_hop(name=f"mx{i}") for i in range(2)]
    for h in hops:
        h.on["CONNECT"] = "554 5.7.1 listed"
    assert bed.failed(session, *hops)[:2] == (554, "5.7.1")


def test_no_address_at_all(bed, session):
    assert bed.failed(session, "mx=none:25")[:2] == (451, "4.4.1")


def test_ipv6(bed, session, make_hop):
    if not os.path.exists("/proc/net/if_inet6") or not open("/proc/net/if_inet6").read():
        pytest.skip("no IPv6 on this host")
    hop = make_hop(host="::1")
    assert bed.up(session, f"v6=::1:{hop.port}") == f"v6[::1]:{hop.port}"
    assert bed.deliver(session, "s@a.example", ["r@b.example"]).outcomes[0].status == "delivered"


def own_address():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.connect(("192.0.2.1", 9))
        return s.getsockname()[0]
    except OSError:
        return None
    finally:
        s.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "own"])
def test_this_machine_is_not_connected_to_unasked(bed, session, make_hop, address):
    if address == "own":
        address = own_address()
        if address is None or address.startswith("127."):
            pytest.skip("no address but loopback")
    hop = make_hop(host="0.0.0.0")
    reply, esc, text = bed.failed(session, f"mx={address}:{hop.port}", flags="-")
    assert (reply, esc) == (554, "5.4.6") and "this machine" in text
    time.sleep(0.05)
    assert all(not s.commands for s in hop.sessions)


def test_required_tls_is_not_skipped(bed, session, hop):
    assert bed.failed(session, hop, flags="local,tls")[:2] == (451, "4.7.4")
    assert not hop.sessions


# ---- the queue's side ----

def test_a_job_for_a_session_that_is_gone_comes_back(bed, session, hop):
    bed.up(session, hop)
    bed.close_session(session)
    result = bed.deliver(session, "s@a.example", ["r@b.example"])
    assert result.outcomes[0].is_untried and not result.is_up


def test_an_idle_connection_that_the_server_closes(bed, session, hop):
    bed.up(session, hop)
    hop.sessions[0].sock.shutdown(socket.SHUT_RDWR)
    bed.wait(f"^session {session} closed")


def test_jobs_before_the_session_is_up(bed, session, make_hop):
    hop = make_hop(delay=0.2)
    bed.open(session, hop)
    jobs = [bed.job(session, "s@a.example", ["r@b.example"]) for _ in range(2)]
    assert [bed.result(j).outcomes[0].status for j in jobs] == ["delivered"] * 2


def test_jobs_of_a_session_that_fails_come_back(bed, session, make_hop):
    hop = make_hop(delay=0.2)
    hop.on["CONNECT"] = "451 4.3.0 no"
    bed.open(session, hop)
    job = bed.job(session, "s@a.example", ["r@b.example"])
    assert bed.result(job).outcomes[0].is_untried
    bed.wait(f"^session {session} failed 451 4.3.0")


def test_damaged_content_is_never_ended(bed, session, make_hop):
    hop = make_hop(extensions=NO_CHUNKING)
    bed.up(session, hop)
    bed.order("data hold")
    job = bed.job(session, "s@a.example", ["r@b.example"], content=b"x\r\n" * 60000)
    time.sleep(0.1)
    bed.order(f"abort {job}")
    bed.order("data release")
    result = bed.result(job)
    assert result.outcomes[0].status == "deferred" and not result.is_up
    time.sleep(0.1)
    assert not hop.messages


def test_a_result_is_kept_until_it_is_acknowledged(hop):
    with DeliveryBed() as bed:
        bed.order("ack none")
        bed.up(1, hop)
        job = bed.job(1, "s@a.example", ["r@b.example"])
        bed.result(job)
        bed.order("qmgr lose")
        bed.order("qmgr new")
        again = bed.result(job, count=2)
        assert again.session == 0 and not again.is_up and again.outcomes[0].status == "delivered"
        bed.wait("^inventory_end", count=2)
        bed.order(f"ack {job}")
        bed.order("qmgr lose")
        begin = len(bed.lines)
        bed.order("qmgr new")
        bed.wait("^inventory_end", begin=begin)
        assert not bed.find(f"^result {job} ", begin)
        # The idle connection of the lost qmgr was ended.
        assert hop.sessions[0].commands[-1] == "QUIT"


def test_what_runs_when_the_queue_restarts_is_told_and_ends(make_hop):
    hop = make_hop(extensions=NO_CHUNKING)
    go = threading.Event()
    hop.on["DATA_END"] = lambda s, line: (go.wait(20), None)[1]
    with DeliveryBed() as bed:
        bed.up(1, hop)
        job = bed.job(1, "s@a.example", ["r@b.example", "q@b.example"])
        waiting = bed.job(1, "s@a.example", ["w@b.example"])
        time.sleep(0.2)
        bed.order("qmgr lose")
        begin = len(bed.lines)
        bed.order("qmgr new")
        bed.wait("^inventory_end", begin=begin)
        assert bed.find("^running ", begin) == [f"running {job} 0 1"]
        go.set()
        result = bed.result(job)
        assert [o.status for o in result.outcomes] == ["delivered"] * 2 and result.session == 0
        assert not bed.find(f"^result {waiting} ") and not bed.find("^session 1 closed")


def test_half_a_message_when_the_queue_restarts_is_not_sent(make_hop):
    hop = make_hop(extensions=NO_CHUNKING)
    with DeliveryBed() as bed:
        bed.up(1, hop)
        bed.order("data hold")
        job = bed.job(1, "s@a.example", ["r@b.example"], content=b"x\r\n" * 60000)
        time.sleep(0.1)
        bed.order("qmgr lose")
        bed.order("qmgr new")
        bed.wait("^inventory_end", count=2)
        time.sleep(0.1)
        assert not hop.messages and not bed.find("^running |^result ")
        assert job


def test_stop_finishes_what_runs(make_hop):
    hop = make_hop(extensions=NO_CHUNKING)
    go = threading.Event()
    hop.on["DATA_END"] = lambda s, line: (go.wait(20), None)[1]
    with DeliveryBed() as bed:
        bed.up(1, hop)
        bed.up(2, hop)
        jobs = [bed.job(1, "s@a.example", ["r@b.example"]) for _ in range(2)]
        time.sleep(0.2)
        bed.order("stop 10000")
        bed.wait("^session 2 closed")
        assert bed.result(jobs[1]).outcomes[0].is_untried
        go.set()
        assert bed.result(jobs[0]).outcomes[0].status == "delivered"
        bed.wait("^session 1 closed")
        bed.wait("^exit 0")


def test_stop_is_bounded(make_hop):
    hop = make_hop(extensions=NO_CHUNKING)
    hop.on["DATA_END"] = HANG
    with DeliveryBed() as bed:
        bed.up(1, hop)
        job = bed.job(1, "s@a.example", ["r@b.example"])
        time.sleep(0.2)
        begin = time.monotonic()
        bed.order("stop 1500")
        result = bed.result(job)
        assert result.outcomes[0].status == "deferred" and "stopping" in result.outcomes[0].text
        bed.wait("^exit 0")
        assert time.monotonic() - begin < 2.5 * SLOW


def test_after_stop_nothing_begins(hop):
    with DeliveryBed() as bed:
        bed.up(1, hop)
        hop.on["QUIT"] = HANG
        bed.order("stop 3000")
        bed.order(f"open 2 smtp local x=127.0.0.1:{hop.port}")
        bed.wait("^session 2 closed")
        assert bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0].is_untried
