# SPDX-License-Identifier: ISC
"""Dovecot's LMTP as the next hop, over TCP and over its Unix socket."""
import pytest

from tests.harness.load import body_sha
from tests.harness.peers import Dovecot
from tests.harness.postern import Postern, wait_until
from tests.harness.smtp import message

USERS = ["ann@tcp.example", "bob@tcp.example", "ann@unix.example", "bob@unix.example", "j\u00fcrgen@unix.example"]


class World:
    def __init__(self):
        self.server = Postern(start=False, mailboxes=("user",))
        try:
            self.dovecot = Dovecot(USERS)
            self.server.write_conf({
                'domain "tcp.example"': {"class": "lmtp", "next_hop": f"[127.0.0.1]:{self.dovecot.port}"},
                'domain "unix.example"': {"class": "lmtp", "next_hop": f"unix:{self.dovecot.socket}"},
                'domain "gone.example"': {"class": "lmtp", "next_hop": f"unix:{self.dovecot.path('gone.sock')}"},
                "retry": {"first": "500ms", "max": "500ms"},
            })
            self.server.start()
        except BaseException:
            self.close()
            raise

    def close(self):
        self.server.close()
        if hasattr(self, "dovecot"):
            self.dovecot.close()

    def send(self, rcpts, content, sender="user@local.example", **kw):
        with self.server.smtp() as c:
            c.ehlo()
            return c.send_mail(sender, rcpts, content, **kw)

    def found(self, user, subject):
        return [m for m in self.dovecot.maildir(user).messages() if f"Subject: {subject}\n".encode() in m]


@pytest.fixture(scope="module")
def world():
    w = World()
    yield w
    w.close()


@pytest.mark.parametrize("domain", ["tcp.example", "unix.example"])
@pytest.mark.parametrize("size", [100, 3000000])
def test_content_arrives_byte_for_byte(world, domain, size):
    content = message(f"bytes {size}", body=".dot\r\n..dots\r\n\u00fc\r\n", size=size)
    world.send(f"ann@{domain}", content, sender="a@client.example", mail_params="BODY=8BITMIME")
    got = wait_until(lambda: world.found(f"ann@{domain}", f"bytes {size}"), 20, "delivery")
    assert len(got) == 1 and body_sha(got[0]) == body_sha(content)
    assert b"Return-Path: <a@client.example>" in got[0]


@pytest.mark.parametrize("domain", ["tcp.example", "unix.example"])
def test_each_recipient_has_its_own_reply(world, domain):
    world.send([f"ann@{domain}", f"nobody@{domain}", f"bob+folder@{domain}"], message("replies"))
    for user in ("ann", "bob"):
        got = wait_until(lambda u=user: world.found(f"{u}@{domain}", "replies"), 20, f"delivery to {user}")
        assert len(got) == 1
    report = wait_until(lambda: [m for m in world.server.maildir("user").messages() if f"nobody@{domain}".encode() in m], 20, "report")[0]
    assert b"Status: 5.1.1" in report and f"ann@{domain}".encode() not in report.split(b"message/rfc822")[0].split(b"message/delivery-status")[1]


def test_a_hundred_messages_arrive_once_each(world):
    with world.server.smtp() as c:
        c.ehlo()
        for i in range(100):
            c.send_mail("a@client.example", ["ann@tcp.example", "ann@unix.example"], message(f"many {i}."))
    for user in ("ann@tcp.example", "ann@unix.example"):
        wait_until(lambda u=user: all(world.found(u, f"many {i}.") for i in range(100)), 30, "all of them", 0.2)
        assert all(len(world.found(user, f"many {i}.")) == 1 for i in range(100))


def test_socket_that_is_not_there_yet_defers(world):
    qid = world.send("ann@gone.example", message("gone"))
    world.server.wait_log(rf"deferred .*qid={qid}.*to=ann@gone.example")
    world.server.postern("queue", "delete", qid)


def test_mail_waits_for_dovecot(world):
    server = world.server
    with Dovecot(["late@late.example"]) as dovecot:
        server.write_conf({'domain "late.example"': {"class": "lmtp", "next_hop": f"[127.0.0.1]:{dovecot.port}"}})
        server.reload()
        dovecot.run("doveadm", "-c", dovecot.path("dovecot.conf"), "stop")
        dovecot.process.wait(10)
        qid = world.send("late@late.example", message("waits"))
        server.wait_log(rf"deferred .*qid={qid}")
        dovecot.start("dovecot", "-F", "-c", dovecot.path("dovecot.conf"))
        assert b"Subject: waits\n" in dovecot.maildir("late@late.example").wait(1)[0]
