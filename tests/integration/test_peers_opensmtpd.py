# SPDX-License-Identifier: ISC
"""OpenSMTPD as the next hop and as a client: it offers neither PIPELINING nor SMTPUTF8 nor CHUNKING. What it takes it hands on to a
next hop of the tests, mail for local.example to the server under test."""
import threading

import pytest

from tests.harness.load import body_sha
from tests.harness.nexthop import NextHop
from tests.harness.peers import Opensmtpd
from tests.harness.postern import Postern, wait_until
from tests.harness.smtp import Smtp, message


class World:
    def __init__(self):
        self.hop = NextHop(name="end.example")
        self.server = Postern(start=False, mailboxes=("user",))
        try:
            self.peer = Opensmtpd(f'table refused {{ "refused@hub.example" }}\n'
                                  f'action "postern" relay host "smtp://127.0.0.1:{self.server.port}"\n'
                                  f'action "end" relay host "smtp://127.0.0.1:{self.hop.port}"\n'
                                  'match from any for rcpt-to <refused> reject\n'
                                  'match from any for domain "local.example" action "postern"\n'
                                  'match from any for any action "end"')
            self.server.write_conf({'domain "hub.example"': {"class": "relay", "next_hop": f"[127.0.0.1]:{self.peer.port}"}})
            self.server.start()
        except BaseException:
            self.close()
            raise

    def close(self):
        self.server.close()
        if hasattr(self, "peer"):
            self.peer.close()
        self.hop.close()

    def at_end(self, subject):
        return [m for m in self.hop.messages if f"Subject: {subject}\r\n".encode() in m.content]

    def in_mailbox(self, text):
        return [m for m in self.server.maildir("user").messages() if text in m]


@pytest.fixture(scope="module")
def world():
    w = World()
    yield w
    w.close()


@pytest.mark.parametrize("size", [100, 100000, 3000000])
def test_content_arrives_byte_for_byte(world, size):
    content = message(f"bytes {size}", body=".dot\r\n..dots\r\n\u00fc\r\n", size=size)
    with world.server.smtp() as c:
        c.ehlo()
        c.send_mail("a@client.example", "any@hub.example", content, mail_params="BODY=8BITMIME")
    taken = wait_until(lambda: world.at_end(f"bytes {size}"), 20, "message behind OpenSMTPD")
    assert len(taken) == 1 and body_sha(taken[0].content) == body_sha(content)


def test_many_messages_arrive_once_each(world):
    wanted = {f"many {i}.{j}" for i in range(4) for j in range(10)}

    def client(i):
        with world.server.smtp() as c:
            c.ehlo()
            for j in range(10):
                c.send_mail("a@client.example", f"r{j}@hub.example", message(f"many {i}.{j}", size=3000))
    threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait_until(lambda: all(world.at_end(s) for s in wanted), 25, "all of them")
    assert all(len(world.at_end(s)) == 1 for s in wanted)


def test_refused_recipient_is_returned_and_the_other_one_goes(world):
    with world.server.smtp() as c:
        c.ehlo()
        c.send_mail("user@local.example", ["good@hub.example", "refused@hub.example"], message("fates"))
    assert wait_until(lambda: world.at_end("fates"), 20, "message behind OpenSMTPD")[0].rcpts == ["good@hub.example"]
    report = wait_until(lambda: world.in_mailbox(b"refused@hub.example"), 20, "report")[0]
    assert b"multipart/report" in report and b"Action: failed" in report and b"Diagnostic-Code: smtp; 550" in report


def test_mail_that_needs_smtputf8_is_returned(world):
    with world.server.smtp() as c:
        c.ehlo()
        c.mail("user@local.example", "SMTPUTF8")
        c.rcpt("k\u00e4the@hub.example")
        c.data(message("needs utf8"))
    report = wait_until(lambda: world.in_mailbox("k\u00e4the@hub.example".encode()), 20, "report")[0]
    assert b"Status: 5.6.7" in report


def test_mail_of_opensmtpd_arrives_byte_for_byte(world):
    content = message("from opensmtpd", body=".dot\r\n..dots\r\n", size=200000)
    with Smtp(world.peer.port) as c:
        c.ehlo()
        c.mail("b@client.example")
        c.rcpt("user@local.example")
        c.data(content)
    got = wait_until(lambda: world.in_mailbox(b"Subject: from opensmtpd\n"), 20, "delivery")
    assert len(got) == 1 and body_sha(got[0]) == body_sha(content)
    assert got[0].startswith(b"Return-Path: <b@client.example>\n") and b"opensmtpd.example" in got[0]


def test_opensmtpd_returns_what_is_refused(world):
    with Smtp(world.peer.port) as c:
        c.ehlo()
        c.mail("back@client.example")
        c.rcpt("nobody@local.example")
        c.data(message("refused"))
    report = wait_until(lambda: [m for m in world.hop.messages if m.rcpts == ["back@client.example"]], 20, "OpenSMTPD's report")[0]
    assert report.sender == "" and b"550 5.1.1" in report.content
