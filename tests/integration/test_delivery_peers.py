# SPDX-License-Identifier: ISC
"""delivery against real servers: what they make of our dialog, extensions, refusals and odd content."""
import itertools

import pytest

from tests.harness import peers
from tests.harness.bed_delivery import DeliveryBed

REFUSES_BAD = "check_recipient_access inline:{ { bad@b.example = 550 5.1.1 none } }"
CONTENTS = {
    "small": b"Subject: small\r\n\r\n.dot\r\n..\r\nend\r\n",
    "8-bit": "Subject: =?utf-8?q?x?=\r\n\r\njörg\r\n".encode(),
    "60 KiB": b"Subject: medium\r\n\r\n" + b"0123456789\r\n" * 5000,
    "2 MiB": b"Subject: large\r\n\r\n" + b".0123456789012345678901234567890123456789012345678901234567890\r\n" * 33000,
}


@pytest.fixture(scope="module")
def bed():
    with DeliveryBed() as b:
        yield b


_sessions = itertools.count(1)


@pytest.fixture
def session():
    return next(_sessions)


def body(content):
    return content.split(b"\r\n\r\n", 1)[1]


def send_all(bed, session, peer, rcpts):
    """One connection, every content; the results."""
    bed.up(session, f"peer=127.0.0.1:{peer.port}")
    results = []
    for name, content in CONTENTS.items():
        results.append(bed.deliver(session, "s@a.example", rcpts, content=content, timeout=30, body8=True,
                                   flags=1 if name == "8-bit" else 0))
        assert results[-1].is_up, results[-1]
    bed.close_session(session)
    return results


def check_arrived(hop, results, statuses):
    for r in results:
        assert [o.status for o in r.outcomes] == statuses, r
    messages = hop.wait(len(CONTENTS), timeout=40)
    assert sorted(body(m.content) for m in messages) == sorted(body(c) for c in CONTENTS.values())


@pytest.mark.root
def test_postfix_takes_everything(bed, session, hop):
    with peers.Postfix({"relayhost": f"[127.0.0.1]:{hop.port}",
                        "smtpd_recipient_restrictions": REFUSES_BAD}) as peer:
        results = send_all(bed, session, peer, ["r@b.example", "bad@b.example"])
        check_arrived(hop, results, ["delivered", "bounced"])
        assert not results[0].outcomes[0].is_nodsn      # it offers DSN


@pytest.mark.root
def test_postfix_refuses_all_then_takes_the_next(bed, session, hop):
    """BDAT went out with the commands; what Postfix answers to it must not be taken for the next message's."""
    with peers.Postfix({"relayhost": f"[127.0.0.1]:{hop.port}",
                        "smtpd_recipient_restrictions": REFUSES_BAD}) as peer:
        bed.up(session, f"peer=127.0.0.1:{peer.port}")
        for _ in range(3):
            assert bed.deliver(session, "s@a.example", ["bad@b.example"]).outcomes[0].esc == "5.1.1"
            assert bed.deliver(session, "s@a.example", ["good@b.example"]).outcomes[0].status == "delivered"
        assert len(hop.wait(3)) == 3


@pytest.mark.root
def test_postfix_without_chunking_and_pipelining(bed, session, hop):
    with peers.Postfix({"relayhost": f"[127.0.0.1]:{hop.port}", "smtpd_discard_ehlo_keywords": "chunking, pipelining"}) as peer:
        check_arrived(hop, send_all(bed, session, peer, ["r@b.example"]), ["delivered"])


@pytest.mark.root
def test_postfix_that_takes_less(bed, session):
    with peers.Postfix({"message_size_limit": "100000"}) as peer:
        bed.up(session, f"peer=127.0.0.1:{peer.port}")
        o = bed.deliver(session, "s@a.example", ["r@b.example"], content=CONTENTS["2 MiB"]).outcomes[0]
        assert (o.status, o.esc, o.reply) == ("bounced", "5.3.4", 0)


@pytest.mark.root
def test_opensmtpd(bed, session, hop):
    with peers.Opensmtpd(f'action "out" relay host "smtp://127.0.0.1:{hop.port}"\n'
                         'match from any for domain "b.example" action "out"') as peer:
        results = send_all(bed, session, peer, ["r@b.example", "r@refused.example"])
        check_arrived(hop, results, ["delivered", "bounced"])


@pytest.mark.root
@pytest.mark.parametrize("by", ["tcp", "unix"])
def test_dovecot_lmtp(bed, session, by):
    users = ["ann@box.example", "bob@box.example"]
    with peers.Dovecot(users) as peer:
        bed.up(session, f"dovecot=127.0.0.1:{peer.port}" if by == "tcp" else f"unix:{peer.socket}", lmtp=True)
        for content in CONTENTS.values():
            result = bed.deliver(session, "s@a.example", [users[0], "nobody@box.example", users[1]], content=content, body8=True,
                                 flags=1, timeout=30)
            assert [o.status for o in result.outcomes] == ["delivered", "bounced", "delivered"], result
            assert result.outcomes[1].esc == "5.1.1"
        only_bad = bed.deliver(session, "s@a.example", ["nobody@box.example"])
        assert only_bad.outcomes[0].status == "bounced" and only_bad.is_up
        assert bed.deliver(session, "s@a.example", users[:1]).outcomes[0].status == "delivered"
        for user in users:
            got = [m.split(b"\n\n", 1)[1] for m in peer.maildir(user).messages()]
            assert sorted(got)[-4:] and {body(c).replace(b"\r\n", b"\n") for c in CONTENTS.values()} <= set(got)


def test_smtp_sink_without_pipelining(bed, session):
    with peers.SmtpSink("-p") as peer:
        bed.up(session, f"sink=127.0.0.1:{peer.port}")
        assert bed.deliver(session, "s@a.example", ["r@b.example"], content=CONTENTS["2 MiB"], timeout=30).outcomes[0].status == "delivered"


def test_smtp_sink_that_hangs_up_at_the_dot(bed, session):
    with peers.SmtpSink("-Q", ".") as peer:
        bed.up(session, f"sink=127.0.0.1:{peer.port}")
        o = bed.deliver(session, "s@a.example", ["r@b.example"]).outcomes[0]
        assert (o.status, o.reply) == ("deferred", 421)
