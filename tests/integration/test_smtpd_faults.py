# SPDX-License-Identifier: ISC
"""smtpd when the processes around it are slow, silent, restarted or full, and when it is stopped or replaced."""
import socket
import time

import pytest

from tests.harness.bed import Bed
from tests.harness.postern import SLOW, wait_until
from tests.harness.smtp import Smtp, message

STRANGERS = {"relay_from": ["192.0.2.0/24"]}


@pytest.fixture
def make_bed():
    made = []

    def make(conf=None, workers=1):
        bed = Bed(conf, workers)
        made.append(bed)
        return bed

    yield make
    for bed in made:
        bed.close()


def ready(bed, **kw):
    c = bed.smtp(**kw)
    c.ehlo()
    return c


def to_the_dot(c, content=b"Subject: x\r\n\r\nhello\r\n", rcpt="b@cached.example"):
    c.mail("a@client.example")
    c.rcpt(rcpt)
    c.expect("DATA", 354)
    c.send(content + b".\r\n")


def silent_for(c, seconds):
    c.sock.settimeout(seconds)
    try:
        data = c.sock.recv(1)
    except (socket.timeout, TimeoutError):
        return True
    finally:
        c.sock.settimeout(20)
    raise AssertionError(f"unexpected: {data!r}")


def wait_for_mail_reply(bed, code):
    """What happens to the channels reaches smtpd a little later than a client's command may."""
    with ready(bed) as c:
        def ask():
            reply = c.cmd("MAIL FROM:<a@client.example>")
            c.expect("RSET", 250)
            return reply if reply.code == code else None
        return wait_until(ask, 10, f"MAIL answered {code}", 0.01)


# ---- qmgr ----

def test_worker_is_ready_only_when_it_knows_whether_mail_is_taken(make_bed):
    bed = make_bed()
    begin = len(bed.lines)
    bed.order("qmgr mute")
    bed.order("start")
    bed.wait("^inventory_end", begin=begin)         # everybody has said HELLO
    time.sleep(0.3 * SLOW)
    assert not bed.find("^ready ", begin)
    bed.order("qmgr speak")
    bed.wait("^ready ", begin=begin)


def test_message_is_handed_over_again_to_a_restarted_qmgr(make_bed):
    bed = make_bed()
    c = ready(bed)
    bed.order("qmgr hold")
    to_the_dot(c)
    first = bed.wait(r"^submit ").split()
    assert first[2] == "flags=0"
    bed.order("qmgr lose")
    assert silent_for(c, 0.2)
    bed.order("qmgr release")
    begin = len(bed.lines)
    bed.order("qmgr new")
    again = bed.wait(r"^submit ", begin=begin).split()
    assert again[1] == first[1] and again[2] == "flags=1" and again[3:] == first[3:]
    bed.wait(r"^inventory_end", begin=begin)
    lines = [x.split()[0] for x in bed.lines[begin:]]
    assert lines.index("submit") < lines.index("inventory_end")
    assert c.read_reply().qid == first[1]
    # And the next one goes as ever.
    assert c.send_mail("a@client.example", "b@cached.example", message())


def test_message_that_ends_while_qmgr_is_away_waits_for_it(make_bed):
    bed = make_bed()
    c = ready(bed)
    c.mail("a@client.example")
    c.rcpt("b@cached.example")
    c.expect("DATA", 354)
    bed.order("qmgr lose")
    wait_for_mail_reply(bed, 451)
    c.send(b"x\r\n.\r\n")
    assert silent_for(c, 0.2)
    begin = len(bed.lines)
    bed.order("qmgr new")
    assert "flags=0" in bed.wait(r"^submit ", begin=begin)
    assert c.read_reply().code == 250


def test_streamed_message_is_lost_with_its_qmgr_and_read_to_its_end(make_bed):
    bed = make_bed()
    c = ready(bed)
    c.mail("a@client.example")
    c.rcpt("b@cached.example")
    c.expect("DATA", 354)
    c.send((b"x" * 98 + b"\r\n") * 2000)
    bed.order("qmgr lose")
    bed.order("qmgr new")
    c.send((b"x" * 98 + b"\r\n") * 2000)
    assert silent_for(c, 0.2)
    c.send(b".\r\n")
    assert c.read_reply().code == 451
    assert c.send_mail("a@client.example", "b@cached.example", message())


def test_streamed_message_is_lost_between_its_end_and_stored(make_bed):
    bed = make_bed()
    c = ready(bed)
    bed.order("qmgr hold")
    to_the_dot(c, (b"x" * 98 + b"\r\n") * 2000)
    bed.wait(r"^submit .* flags=2 ")
    bed.order("qmgr lose")
    assert c.read_reply().code == 451


def test_no_mail_without_qmgr_and_its_reason_when_it_is_full(make_bed):
    bed = make_bed()
    bed.order("qmgr lose")
    assert wait_for_mail_reply(bed, 451).esc == "4.3.0"
    bed.order("qmgr state E_NOSPACE")
    bed.order("qmgr new")
    assert wait_for_mail_reply(bed, 452).esc == "4.3.1"
    bed.order("qmgr state 0")
    wait_for_mail_reply(bed, 250)


def test_refused_by_qmgr_is_told_to_the_client(make_bed):
    bed = make_bed()
    c = ready(bed)
    bed.order("qmgr refuse E_NOSPACE")
    to_the_dot(c)
    reply = c.read_reply()
    assert (reply.code, reply.esc) == (452, "4.3.1")
    bed.order("qmgr refuse 0")
    assert c.send_mail("a@client.example", "b@cached.example", message())


def test_commit_without_answer_is_deferred(make_bed):
    bed = make_bed({"timeouts": {"commit": "300ms"}})
    c = ready(bed)
    bed.order("qmgr hold")
    to_the_dot(c)
    assert c.read_reply().code == 451
    bed.order("qmgr release")       # late: nobody waits
    assert silent_for(c, 0.2)
    assert c.send_mail("a@client.example", "b@cached.example", message())


def test_client_that_leaves_before_the_250_leaves_its_message_committed(make_bed):
    bed = make_bed()
    c = ready(bed)
    bed.order("qmgr hold")
    to_the_dot(c)
    qid = bed.wait(r"^submit ").split()[1]
    c.close()
    time.sleep(0.1)
    assert not bed.find("^abort")
    bed.order("qmgr release")
    assert qid in bed.wait(r"^log received ")
    bed.wait(r"^log disconnect ")


def test_client_that_leaves_inside_a_stream_aborts_it(make_bed):
    bed = make_bed()
    c = ready(bed)
    c.mail("a@client.example")
    c.rcpt("b@cached.example")
    c.expect("DATA", 354)
    c.send(b"x" * 200000)
    time.sleep(0.1)
    c.close()
    bed.wait(r"^abort ")
    assert not bed.find("^submit")


def test_stream_without_credit_stops_its_client_only(make_bed):
    bed = make_bed()
    c = ready(bed)
    bed.order("qmgr credit hold")
    c.mail("a@client.example")
    c.rcpt("b@cached.example")
    c.expect("DATA", 354)
    c.sock.settimeout(1)
    sent = 0
    block = b"y" * 65534 + b"\r\n"
    with pytest.raises((socket.timeout, TimeoutError)):
        while sent < 60_000_000:
            sent += c.sock.send(block[sent % 65536:])
    assert sent < 30_000_000, "the server read on without credit"
    # Others go on.
    d = ready(bed)
    assert d.send_mail("a@client.example", "b@cached.example", message())
    bed.order("qmgr credit release")
    c.sock.settimeout(20)
    if sent % 65536:
        c.send(block[sent % 65536:])
        sent += 65536 - sent % 65536
    c.send(b".\r\n")
    assert c.read_reply().code == 250
    assert f"len={sent}" in bed.wait(r"^submit .* flags=2 ")


# ---- router ----

def test_recipient_without_verdict_is_deferred(make_bed):
    bed = make_bed({"timeouts": {"rcpt_check": "300ms"}})
    c = ready(bed)
    bed.order("router hold")
    c.mail("a@client.example")
    c.rcpt("b@local.example", code=451, esc="4.4.3")
    bed.order("router release")
    c.rcpt("b@local.example")


def test_restarted_router_is_asked_again(make_bed):
    bed = make_bed()
    c = ready(bed)
    bed.order("router hold")
    c.mail("a@client.example")
    c.send(b"RCPT TO:<b@local.example>\r\n")
    bed.wait(r"^check b@local.example")
    bed.order("router lose")
    bed.order("router release")
    bed.order("router new")
    assert c.read_reply().code == 250


def test_verdicts_are_kept_until_the_tables_change(make_bed):
    bed = make_bed()
    c = ready(bed)

    def asked(rcpt, code=250):
        begin = len(bed.lines)
        c.mail("a@client.example")
        c.rcpt(rcpt, code=code)
        c.expect("RSET", 250)
        bed.settle()
        return len(bed.find("^check ", begin))

    assert asked("b@local.example") == 1
    assert asked("b@local.example") == 1            # no time to live given
    assert asked("b@cached.example") == 1
    assert asked("b@CACHED.example") == 0
    assert asked("B@cached.example") == 1           # local parts differ by case
    assert asked("nouser@cached.example", 550) == 1
    assert asked("nouser@cached.example", 550) == 0
    assert asked("b@domain.example") == 1
    assert asked("c@domain.example") == 0           # the verdict was for the domain
    assert asked("c%d@domain.example") == 1         # not for the old tricks
    assert asked('"c d"@domain.example') == 1
    assert asked("c!d@domain.example") == 1
    bed.order("router epoch 5")
    wait_until(lambda: asked("b@cached.example") == 1, 10, "tables changed")
    bed.order("router lose")
    time.sleep(0.1 * SLOW)
    assert asked("b@cached.example") == 0           # still good
    assert asked("b@local.example", 451) == 0       # nobody to ask
    bed.order("router new")
    wait_until(lambda: asked("b@cached.example") == 1, 10, "another router")


# ---- limits per client ----

def test_connections_per_client_are_counted_over_all_workers(make_bed):
    bed = make_bed({**STRANGERS, "limits": {"connections_per_client": 3}}, workers=2)
    held = [bed.smtp() for _ in range(3)]
    for _ in range(4):
        refused = bed.smtp(greet=False)
        reply = refused.read_reply()
        assert (reply.code, reply.esc) == (421, "4.7.0")
        assert refused.is_closed()
    # Another address is another client.
    other = Smtp(bed.port, source=("127.0.0.2", 0))
    assert other.banner.code == 220
    held.pop().close()
    bed.wait(r"^log disconnect .*", count=5)
    assert bed.smtp().banner.code == 220


def test_prefix_makes_one_client_of_a_network(make_bed):
    bed = make_bed({**STRANGERS, "limits": {"connections_per_client": 1, "client_ipv4_prefix": 24}})
    held = bed.smtp()
    assert Smtp(bed.port, source=("127.0.0.9", 0), greet=False).read_reply().code == 421
    assert Smtp(bed.port, source=("127.0.1.9", 0)).banner.code == 220
    held.close()


def test_trusted_clients_have_no_limit_per_client(make_bed):
    bed = make_bed({"limits": {"connections_per_client": 1, "connection_rate": "1/h", "message_rate": "1/h"}})
    held = [ready(bed) for _ in range(4)]
    for c in held:
        c.send_mail("a@client.example", "b@cached.example", message())


def test_connections_are_limited_in_all(make_bed):
    bed = make_bed({"limits": {"connections": 4}}, workers=2)
    held = [bed.smtp() for _ in range(4)]
    refused = bed.smtp(greet=False).read_reply()
    assert (refused.code, refused.esc) == (421, "4.3.2")
    held[0].close()
    time.sleep(0.2 * SLOW)
    assert bed.smtp().banner.code == 220


def test_rates_of_strangers(make_bed):
    bed = make_bed({**STRANGERS, "limits": {"connection_rate": "4/h", "message_rate": "2/h", "recipient_rate": "3/h"}}, workers=2)
    c = ready(bed)
    c.send_mail("a@client.example", "b@cached.example", message())
    d = ready(bed)
    d.mail("a@client.example")
    d.rcpt("b@cached.example")
    d.rcpt("c@cached.example")
    d.rcpt("d@cached.example", code=450, esc="4.7.1")
    c.mail("a@client.example", code=450, esc="4.7.1")
    ready(bed)
    ready(bed)
    assert bed.smtp(greet=False).read_reply().code == 421


# ---- time ----

def test_who_talks_before_the_greeting_is_refused(make_bed):
    bed = make_bed({"greet_delay": "400ms"})
    early = bed.smtp(greet=False)
    early.send(b"EHLO x\r\nMAIL FROM:<a@b>\r\n")
    reply = early.read_reply()
    assert reply.code == 554
    assert early.is_closed()
    t = time.monotonic()
    patient = bed.smtp()
    assert time.monotonic() - t > 0.35
    patient.ehlo()
    assert len(bed.find(r"^log reject .*stage=CONNECT")) == 1


def test_silent_clients_are_told_421(make_bed):
    bed = make_bed({"timeouts": {"command": "300ms", "line": "300ms", "data": "300ms"}})
    c = bed.smtp()
    assert c.read_reply().code == 421 and c.is_closed()
    c = bed.smtp()
    c.send(b"EHL")
    time.sleep(0.2)
    c.send(b"O")
    assert c.read_reply().code == 421 and c.is_closed()
    c = ready(bed)
    c.mail("a@client.example")
    c.rcpt("b@cached.example")
    c.expect("DATA", 354)
    c.send(b"half a mess")
    assert c.read_reply().code == 421 and c.is_closed()


def test_drops_of_data_are_too_slow(make_bed):
    bed = make_bed({"timeouts": {"data": "500ms"}, "limits": {"min_data_rate": 1000}})
    c = ready(bed)
    c.mail("a@client.example")
    c.rcpt("b@cached.example")
    c.expect("DATA", 354)
    t = time.monotonic()
    with pytest.raises(OSError):
        for _ in range(100):
            c.send(b"x\r\n")
            time.sleep(0.05)
            c.sock.setblocking(False)
            try:
                assert c.sock.recv(3) == b"421"
                raise OSError
            except BlockingIOError:
                pass
            finally:
                c.sock.setblocking(True)
    assert time.monotonic() - t < 3 * SLOW


def test_client_that_reads_no_replies_is_cut(make_bed):
    bed = make_bed({"timeouts": {"write": "500ms"}, "limits": {"junk_commands": 100000}})
    c = bed.smtp()
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.sock.settimeout(5)
    with pytest.raises(OSError):
        for _ in range(100000):
            c.sock.send(b"HELP\r\n" * 1000)
    bed.wait(r"^log disconnect ")


# ---- the shape of the connection ----

def test_a_whole_session_in_one_write(make_bed):
    bed = make_bed()
    c = bed.smtp()
    mail = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<b@local.example>\r\nRCPT TO:<nouser@local.example>\r\nDATA\r\nx\r\n.\r\n"
    c.send(b"EHLO c\r\n" + 50 * mail + b"QUIT\r\n")
    assert c.read_reply().code == 250
    for _ in range(50):
        assert [c.read_reply().code for _ in range(5)] == [250, 250, 550, 354, 250]
    assert c.read_reply().code == 221 and c.is_closed()


def test_who_has_sent_all_and_shut_down_still_gets_its_replies(make_bed):
    bed = make_bed()
    c = bed.smtp()
    bed.order("qmgr hold")
    c.send(b"EHLO c\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@local.example>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n")
    c.sock.shutdown(socket.SHUT_WR)
    bed.wait("^submit ")
    bed.order("qmgr release")
    assert [c.read_reply().code for _ in range(6)] == [250, 250, 250, 354, 250, 250]
    assert c.is_closed()


def test_last_words_arrive_at_a_client_that_still_sends(make_bed):
    bed = make_bed({"limits": {"errors": 3}})
    for _ in range(5):
        c = bed.smtp()
        c.send(b"WHAT\r\n" * 20000)
        assert [c.read_reply().code for _ in range(4)] == [500, 500, 500, 421]
        assert c.is_closed()


def test_http_is_cut(make_bed):
    bed = make_bed()
    c = bed.smtp()
    c.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nEHLO x\r\nMAIL FROM:<a@b>\r\n")
    assert c.read_reply().code == 502
    assert c.is_closed()


# ---- stop, replace, crash ----

def test_stop_finishes_transactions_and_refuses_the_rest(make_bed):
    bed = make_bed()
    idle, busy = ready(bed), ready(bed)
    busy.mail("a@client.example")
    busy.rcpt("b@cached.example")
    bed.order("stop 10000")
    assert idle.read_reply().code == 421 and idle.is_closed()
    busy.expect("DATA", 354)
    busy.send(b"x\r\n.\r\n")
    assert busy.read_reply().code == 250
    assert busy.read_reply().code == 421 and busy.is_closed()
    assert bed.wait(r"^exit ").endswith(" 0")


def test_stop_ends_when_the_grace_ends(make_bed):
    bed = make_bed()
    c = ready(bed)
    c.mail("a@client.example")
    t = time.monotonic()
    bed.order("stop 3000")
    assert bed.wait(r"^exit ").endswith(" 0")
    assert time.monotonic() - t < 3.5 * SLOW


def test_idle_worker_stops_at_once(make_bed):
    bed = make_bed(workers=2)
    bed.order("stop 10000")
    bed.wait(r"^exit \d+ 0", timeout=2, count=2)


def test_replaced_worker_keeps_its_sessions(make_bed):
    bed = make_bed()
    c = ready(bed)
    bed.order("replace 20000")
    assert silent_for(c, 0.3)
    bed.order("start")
    bed.wait(r"^ready ", count=2)
    d = ready(bed)
    for x in (c, d, c):
        assert x.send_mail("a@client.example", "b@cached.example", message())
    assert not bed.find("^exit")
    c.quit()
    assert bed.wait(r"^exit ").endswith(" 0")
    d.quit()


def test_worker_that_is_killed_takes_its_sessions_only(make_bed):
    bed = make_bed(workers=2)
    sessions = [ready(bed) for _ in range(20)]
    bed.order("kill 0")
    bed.wait(r"^exit ")
    for c in sessions:
        try:
            assert c.cmd("NOOP").code == 250
        except OSError:
            pass            # it was the dead one's
    assert ready(bed).send_mail("a@client.example", "b@cached.example", message())
