# SPDX-License-Identifier: ISC
"""delivery as an LMTP client: a reply for each recipient, over TCP and over a Unix socket that master connects."""
import os

import pytest

from tests.harness.bed_delivery import DeliveryBed
from tests.harness.nexthop import CLOSE, Reply

TIMEOUTS = {"timeouts": {k: "500ms" for k in ("connect", "greeting", "helo", "mail", "rcpt", "data_init", "data_end", "quit")}}
RCPTS = ["a@b.example", "b@b.example", "c@b.example"]


@pytest.fixture(scope="module")
def bed():
    with DeliveryBed(TIMEOUTS) as b:
        yield b


_sessions = iter(range(1, 100000))


@pytest.fixture
def session():
    return next(_sessions)


@pytest.fixture(params=["tcp", "unix"])
def lmtp(request, make_hop, tmp_path):
    return make_hop(lmtp=True, unix=str(tmp_path / "lmtp") if request.param == "unix" else None)


def test_each_recipient_has_a_reply(bed, session, lmtp):
    answers = {"a@b.example": None, "b@b.example": "452 4.2.2 quota", "c@b.example": "550 5.2.1 closed"}
    lmtp.on["DATA_END"] = lambda s, rcpt: answers[rcpt]
    relay = bed.up(session, lmtp)
    result = bed.deliver(session, "s@a.example", RCPTS)
    assert [(o.status, o.esc) for o in result.outcomes] == [("delivered", "2.0.0"), ("deferred", "4.2.2"), ("bounced", "5.2.1")]
    assert result.is_up and result.relay == relay
    assert lmtp.sessions[0].commands[0] == "LHLO me.test.example"
    if lmtp.unix:
        assert relay == lmtp.unix
    bed.close_session(session)


@pytest.mark.parametrize("extensions", [None, ["PIPELINING"], []], ids=["bdat", "pipelining", "sequential"])
def test_replies_go_to_the_accepted_ones(bed, session, make_hop, extensions):
    hop = make_hop(lmtp=True, extensions=extensions)
    hop.on["RCPT"] = lambda s, line: "550 5.1.1 none" if "<b@" in line else None
    hop.on["DATA_END"] = lambda s, rcpt: "250 2.0.0 saved " + rcpt
    bed.up(session, hop)
    result = bed.deliver(session, "s@a.example", RCPTS, content=b"x\r\n" * 40000)
    assert [o.text for o in result.outcomes] == ["saved a@b.example", "none", "saved c@b.example"]
    assert hop.wait(1)[0].content == b"Received: by bed\r\n" + b"x\r\n" * 40000


@pytest.mark.parametrize("extensions", [None, ["PIPELINING"], []], ids=["bdat", "pipelining", "sequential"])
def test_all_refused_then_the_next_message(bed, session, make_hop, extensions):
    hop = make_hop(lmtp=True, extensions=extensions)
    hop.on["RCPT"] = lambda s, line: "550 5.1.1 none" if "<a@" in line else None
    bed.up(session, hop)
    assert bed.deliver(session, "s@a.example", RCPTS[:1]).outcomes[0].status == "bounced"
    assert bed.deliver(session, "s@a.example", RCPTS[1:]).outcomes[1].status == "delivered"
    assert len(hop.sessions) == 1


def test_lost_between_the_replies(bed, session, lmtp):
    lmtp.on["DATA_END"] = lambda s, rcpt: Reply("250 2.0.0 saved", CLOSE) if rcpt.startswith("b@") else None
    bed.up(session, lmtp)
    result = bed.deliver(session, "s@a.example", RCPTS)
    assert [o.status for o in result.outcomes] == ["delivered", "delivered", "deferred"]
    assert result.outcomes[2].esc == "4.4.2" and "may have been delivered" in result.outcomes[2].text
    assert not result.is_up


def test_there_is_no_helo_in_lmtp(bed, session, lmtp):
    lmtp.on["LHLO"] = "500 5.5.1 what"
    assert bed.failed(session, lmtp)[:2] == (500, "5.5.1")


def test_a_socket_that_is_not_there(bed, session, tmp_path):
    path = str(tmp_path / "nothing")
    reply, esc, text = bed.failed(session, f"unix:{path}", lmtp=True)
    assert (reply, esc) == (451, "4.4.1") and text == f"{path}: No such file or directory"


def test_a_socket_then_a_host(bed, session, tmp_path, make_hop):
    hop = make_hop(lmtp=True)
    assert bed.up(session, f"unix:{tmp_path / 'nothing'}", hop).startswith("hop.example")


def test_a_path_too_long_for_a_socket(bed, session):
    assert bed.failed(session, "unix:/" + "x" * 200, lmtp=True)[:2] == (451, "4.4.1")
    assert os.path.exists(f"/proc/{bed.pid}")


def test_a_socket_of_the_transport_table(make_server, make_hop, tmp_path):
    """Named in lmtp_sockets it is used; one that is not named waits, says so, and goes when it is."""
    tmp_path.chmod(0o755)
    hop = make_hop(lmtp=True, unix=str(tmp_path / "lmtp"))
    server = make_server(start=False)
    server.write("transport", f"box.example lmtp:unix:{hop.unix}\n")
    server.write_conf({"transport": server.path("transport"), "retry": {"first": "500ms", "max": "500ms"}})
    server.start()
    server.wait_log(r"transport:1: only sockets that next_hop or lmtp_sockets name are used.*mail for it waits")
    with server.smtp() as c:
        c.ehlo()
        c.mail("a@client.example")
        c.rcpt("x@box.example", code=451, esc="4.3.5")
    server.write_conf({"transport": server.path("transport"), "lmtp_sockets": [hop.unix]})
    server.reload()
    with server.smtp() as c:
        c.ehlo()
        c.send_mail("a@client.example", ["x@box.example"], b"Subject: x\r\n\r\nhello\r\n")
    assert hop.wait(1)[0].rcpts == ["x@box.example"]
