# SPDX-License-Identifier: ISC
"""Postfix as the next hop and as a client. What it takes it hands on to a next hop of the tests, mail for local.example to the
server under test."""
import os
import threading

import pytest

from tests.harness.load import body_sha
from tests.harness.nexthop import NextHop
from tests.harness.peers import Postfix, source
from tests.harness.postern import Postern, wait_until
from tests.harness.smtp import Smtp, message

ALL_BYTES = bytes(b for b in range(1, 256) if b not in b"\r\n")


class World:
    def __init__(self):
        self.hop = NextHop(name="end.example")
        self.server = Postern(start=False, mailboxes=("user", "load"))
        try:
            self.postfix = Postfix({
                "relayhost": f"[127.0.0.1]:{self.hop.port}",
                "transport_maps": f"inline:{{ {{ local.example = smtp:[127.0.0.1]:{self.server.port} }} }}",
                "smtpd_recipient_restrictions": "check_recipient_access inline:{ { refused@hub.example = 550 5.1.1 gone } "
                                                "{ later@hub.example = 450 4.2.0 not now } }, permit_mynetworks, reject",
            })
            self.server.write_conf({'domain "hub.example"': {"class": "relay", "next_hop": f"[127.0.0.1]:{self.postfix.port}"},
                                    "retry": {"first": "1h"}})
            self.server.start()
        except BaseException:
            self.close()
            raise

    def close(self):
        self.server.close()
        if hasattr(self, "postfix"):
            self.postfix.close()
        self.hop.close()

    def at_end(self, subject):
        """Messages of this subject that came out of Postfix."""
        return [m for m in self.hop.messages if f"Subject: {subject}\r\n".encode() in m.content]

    def send(self, rcpts, content, sender="user@local.example", **kw):
        with self.server.smtp() as c:
            c.ehlo()
            return c.send_mail(sender, rcpts, content, **kw)


@pytest.fixture(scope="module")
def world():
    w = World()
    yield w
    w.close()


def lines_of_all_bytes(count):
    return b".leading dot\r\n..two\r\n\r\n" + (ALL_BYTES + b"\r\n" + b"x" * 990 + b"\r\n") * count


# -- as the next hop --

@pytest.mark.parametrize("count", [1, 60, 1000])
def test_content_arrives_byte_for_byte(world, count):
    content = message(f"bytes {count}") + lines_of_all_bytes(count)
    world.send("any@hub.example", content, mail_params="BODY=8BITMIME")
    taken = wait_until(lambda: world.at_end(f"bytes {count}"), 20, "message behind Postfix")
    assert len(taken) == 1 and body_sha(taken[0].content) == body_sha(content)


def test_many_messages_arrive_once_each(world):
    wanted = {f"many {i}.{j}" for i in range(5) for j in range(20)}

    def client(i):
        with world.server.smtp() as c:
            c.ehlo()
            for j in range(20):
                c.send_mail("a@client.example", f"r{j}@hub.example", message(f"many {i}.{j}", size=3000))
    threads = [threading.Thread(target=client, args=(i,)) for i in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait_until(lambda: all(world.at_end(s) for s in wanted), 20, "all of them")
    assert all(len(world.at_end(s)) == 1 for s in wanted)


def test_each_recipient_has_its_own_fate(world):
    qid = world.send(["good@hub.example", "refused@hub.example", "later@hub.example"], message("fates"))
    taken = wait_until(lambda: world.at_end("fates"), 20, "message behind Postfix")
    assert [m.rcpts for m in taken] == [["good@hub.example"]]
    world.server.wait_log(rf"deferred .*qid={qid}.*to=later@hub.example.*450.*4\.2\.0")
    world.server.wait_log(rf"bounced .*qid={qid}.*to=refused@hub.example.*550.*5\.1\.1")
    report = wait_until(lambda: [m for m in world.server.maildir("user").messages() if b"refused@hub.example" in m], 20, "report")[0]
    assert b"Status: 5.1.1" in report and b"dns; [127.0.0.1]" in report.replace(b"dns; 127.0.0.1", b"dns; [127.0.0.1]")
    assert b"gone" in report and b"later@hub.example" not in report
    world.server.postern("queue", "delete", qid)


def test_dsn_parameters_reach_the_end(world):
    world.send("asked@hub.example", message("dsn"), mail_params="RET=HDRS ENVID=QQ+2B1",
               rcpt_params="NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first@origin.example")
    taken = wait_until(lambda: world.at_end("dsn"), 20, "message behind Postfix")[0]
    assert "RET=HDRS" in taken.mail_params and "ENVID=QQ+2B1" in taken.mail_params
    assert "ORCPT=rfc822;first@origin.example" in taken.rcpt_params[0]
    assert "SUCCESS" in taken.rcpt_params[0] and "DELAY" in taken.rcpt_params[0]


def test_utf8_mail_passes(world):
    content = message("grün") + "Grüße\r\n".encode()
    with world.server.smtp() as c:
        c.ehlo()
        c.mail("jürgen@client.example", "SMTPUTF8 BODY=8BITMIME")
        c.rcpt("käthe@hub.example")
        c.data(content)
    taken = wait_until(lambda: [m for m in world.hop.messages if "käthe@hub.example" in m.rcpts], 20, "message behind Postfix")[0]
    assert taken.sender == "jürgen@client.example" and "SMTPUTF8" in taken.mail_params
    assert body_sha(taken.content) == body_sha(content)


def test_null_sender_passes(world):
    world.send("any@hub.example", message("null"), sender="")
    assert wait_until(lambda: world.at_end("null"), 20, "message behind Postfix")[0].sender == ""


# -- as a client --

def test_mail_of_postfix_arrives_byte_for_byte(world):
    content = message("from postfix") + lines_of_all_bytes(100)
    with Smtp(world.postfix.port) as c:
        c.ehlo()
        c.mail("b@client.example", "BODY=8BITMIME")
        c.rcpt("user@local.example")
        c.data(content)
    got = wait_until(lambda: [m for m in world.server.maildir("user").messages() if b"Subject: from postfix\n" in m], 20, "delivery")
    assert len(got) == 1 and body_sha(got[0]) == body_sha(content)
    assert got[0].startswith(b"Return-Path: <b@client.example>\n")
    assert b"from postfix.example" in got[0]


def test_postfix_returns_what_is_refused(world):
    with Smtp(world.postfix.port) as c:
        c.ehlo()
        c.mail("back@client.example")
        c.rcpt("nobody@local.example")
        c.rcpt("user@local.example")
        c.data(message("half refused"))
    wait_until(lambda: [m for m in world.server.maildir("user").messages() if b"half refused" in m], 20, "delivery")
    report = wait_until(lambda: [m for m in world.hop.messages if m.rcpts == ["back@client.example"]], 20, "Postfix's report")[0]
    assert report.sender == "" and b"550 5.1.1" in report.content and b"nobody@local.example" in report.content


def test_load_through_postfix_arrives_complete(world):
    source(world.postfix.port, "-d", sessions=10, messages=200, size=4000, rcpt="load@local.example")
    world.server.maildir("load").wait(200, timeout=40)
    wait_until(lambda: world.postfix.queue_size() == 0, 20, "Postfix's queue")
    assert len(world.server.maildir("load").files()) == 200


def test_mail_waits_in_postfix_while_the_server_is_away(world):
    world.server.stop()
    with Smtp(world.postfix.port) as c:
        c.ehlo()
        c.mail("b@client.example")
        c.rcpt("user@local.example")
        c.data(message("waited"))
    wait_until(lambda: "status=deferred" in world.postfix.output(), 20, "Postfix to defer")
    world.server.start()
    wait_until(lambda: world.postfix.run("postqueue", "-c", world.postfix.path("etc"), "-f").returncode == 0, 10, "postqueue -f")
    wait_until(lambda: [m for m in world.server.maildir("user").messages() if b"Subject: waited\n" in m], 20, "delivery")
