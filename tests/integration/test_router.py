# SPDX-License-Identifier: ISC
"""Where mail goes, seen from outside: what is accepted at RCPT, where it arrives, and what `postern route` says of it."""
import os
import threading
import time

import pytest

from tests.harness.dns import Dns
from tests.harness.nexthop import NextHop
from tests.harness.postern import SLOW, Postern, wait_until
from tests.harness.smtp import message

OURS = "a@client.example"


class World:
    """A server with a domain of each class, its next hops and its DNS."""

    def __init__(self):
        self.dns = Dns()
        self.hops = {name: NextHop(name=f"{name}.example") for name in ("relay", "smart", "sender", "moved", "mx1", "mx2")}
        self.tcp_lmtp = NextHop(lmtp=True, name="box.example")
        self.server = Postern(start=False, mailboxes=())
        self.socket = self.server.path("lmtp.sock")
        self.unix_lmtp = NextHop(lmtp=True, unix=self.socket, name="socket.example")
        os.chmod(self.socket, 0o777)
        port = {name: hop.port for name, hop in self.hops.items()}
        path = self.server.path
        write = self.server.write
        write("users", "user@local.example user/\n"
                       "\"quoted local\"@local.example quoted/\n"
                       "out@local.example ../out/\n"
                       "user@b\u00fccher.example umlaut/\n"
                       "@all.example %{rcpt.domain}/%{rcpt.local}/\n"
                       "postmaster@local.example postmaster/\n")
        write("known", "ann@known.example\n")
        write("transport", f"moved.example smtp:[127.0.0.1]:{port['moved']}\n"
                           f".moved.example smtp:[127.0.0.1]:{port['moved']}\n"
                           f"two.example smtp:two.example:{port['mx2']}\n"
                           "closed.example error:5.1.6 Moved to another planet\n"
                           "busy.example error:4.3.2 Not before tomorrow\n"
                           "hole.example discard:\n")
        write("senders", f"@sender.example [127.0.0.1]:{port['sender']}\n")
        write("aliases", "team@local.example user@local.example, ann@known.example,\n  out@remote.example\n"
                         "far@local.example out@remote.example\n"
                         "me@local.example me@local.example, user@local.example\n"
                         "ping@local.example pong@local.example\npong@local.example ping@local.example\n"
                         "@old.example @local.example\n")
        self.server.write_conf({
            "postmaster": "postmaster@local.example",
            "transport": path("transport"),
            "relay_host": f"[127.0.0.1]:{port['smart']}",
            "relay_host_by_sender": path("senders"),
            "relay_from": ["127.0.0.1"],
            "aliases": {"virtual": [path("aliases")], "delimiter": "+"},
            "resolver": {"servers": [self.dns.spec], "dnssec": False},
            "timeouts": {"dns": "2s"},
            "retry": {"first": "1s", "max": "1s"},
            'domain "b\u00fccher.example"': {"class": "virtual", "table": path("users"), "mailbox_base": path("mail")},
            'domain "all.example"': {"class": "virtual", "table": path("users"), "mailbox_base": path("mail")},
            'domain "relay.example"': {"class": "relay", "next_hop": f"[127.0.0.1]:{port['relay']}"},
            'domain "known.example"': {"class": "relay", "next_hop": f"[127.0.0.1]:{port['relay']}", "recipients": path("known")},
            'domain "box.example"': {"class": "lmtp", "next_hop": f"[127.0.0.1]:{self.tcp_lmtp.port}"},
            'domain "socket.example"': {"class": "lmtp", "next_hop": f"unix:{self.socket}"},
            'domain "void.example"': {"class": "discard"},
        })
        self.server.start()

    def close(self):
        self.server.close()
        for hop in [*self.hops.values(), self.tcp_lmtp, self.unix_lmtp]:
            hop.close()
        self.dns.close()

    def send(self, rcpt, sender=OURS, **kw):
        """Send one message with a subject of its own; (queue id, subject)."""
        subject = f"s{time.time_ns()}"
        with self.server.smtp() as c:
            c.ehlo()
            return c.send_mail(sender, rcpt, message(subject), **kw), subject

    def route(self, address, *args):
        return self.server.postern("route", *args, address).stdout


@pytest.fixture(scope="module")
def world():
    w = World()
    yield w
    w.close()


def arrives(where, subject, timeout=15):
    """The message with this subject at a hop (a Message) or in a Maildir (bytes)."""
    wanted = f"Subject: {subject}".encode()

    def found():
        if isinstance(where, NextHop):
            return [m for m in where.messages if wanted in m.content]
        return [m for m in where.messages() if wanted in m]
    return wait_until(found, timeout, f"{subject} at {where}")[0]


# -- classes --

@pytest.mark.parametrize("rcpt,folder", [
    ("user@local.example", "user"),
    ("USER@Local.Example", "user"),
    ("user+detail@local.example", "user"),
    ("\"quoted local\"@local.example", "quoted"),
    ("\"user\"@local.example", "user"),
    ("\"\\us\\er+detail\"@local.example", "user"),
    ("anybody@all.example", "all.example/anybody"),
    ("Any.Body+x@all.example", "all.example/any.body"),
    ("user@xn--bcher-kva.example", "umlaut"),
    ("user@old.example", "user"),
    ("postmaster", "postmaster"),
])
def test_virtual_mail_arrives_in_its_maildir(world, rcpt, folder):
    _, subject = world.send(rcpt)
    content = arrives(world.server.maildir(folder), subject)
    assert b"Return-Path: <a@client.example>" in content


def test_domain_with_u_labels_is_ours_in_both_forms(world):
    subject = f"s{time.time_ns()}"
    with world.server.smtp() as c:
        c.ehlo()
        c.mail(OURS, "SMTPUTF8")
        c.rcpt("user@b\u00fccher.example")
        c.data(message(subject))
    arrives(world.server.maildir("umlaut"), subject)


@pytest.mark.parametrize("rcpt,hop", [
    ("any@relay.example", "relay"),
    ("ann@known.example", "relay"),
    ("any@moved.example", "moved"),
    ("any@deep.down.moved.example", "moved"),
    ("any@remote.example", "smart"),
    ("any@[192.0.2.77]", "smart"),
])
def test_relayed_mail_arrives_at_its_next_hop(world, rcpt, hop):
    _, subject = world.send(rcpt)
    taken = arrives(world.hops[hop], subject)
    assert taken.rcpts == [rcpt] and taken.sender == OURS


def test_smarthost_is_chosen_by_the_sender(world):
    _, subject = world.send("any@remote.example", sender="boss@sender.example")
    assert arrives(world.hops["sender"], subject).sender == "boss@sender.example"


@pytest.mark.parametrize("rcpt,hop", [("any@box.example", "tcp_lmtp"), ("any@socket.example", "unix_lmtp")])
def test_lmtp_mail_arrives_over_tcp_and_socket(world, rcpt, hop):
    _, subject = world.send(rcpt)
    taken = arrives(getattr(world, hop), subject)
    assert taken.rcpts == [rcpt] and taken.session.commands[0].startswith("LHLO ")


@pytest.mark.parametrize("rcpt", ["any@void.example", "any@hole.example"])
def test_discarded_mail_is_accepted_and_gone(world, rcpt):
    qid, _ = world.send(rcpt)
    wait_until(lambda: not [m for m in world.server.queue() if qid in str(m)], 10, "empty queue")
    assert "accepted, made durable and dropped" in world.route(rcpt)


# -- refused at RCPT --

@pytest.mark.parametrize("rcpt,code,esc", [
    ("nobody@local.example", 550, "5.1.1"),
    ("bob@known.example", 550, "5.1.1"),
    ("nobody@old.example", 550, "5.1.1"),
    ("out@local.example", 451, "4.3.5"),
    ("\"a/b\"@all.example", 550, "5.1.1"),
    ("\"\\\"user\\\"\"@local.example", 550, "5.1.1"),
    ("a/b@all.example", 550, "5.1.1"),
    ("ping@local.example", 554, "5.4.6"),
    ("any@closed.example", 550, "5.1.6"),
    ("any@busy.example", 450, "4.3.2"),
    ("user%remote.example@local.example", 550, "5.1.1"),
    ("\"user@remote.example\"@local.example", 550, "5.1.1"),
])
def test_refused_at_rcpt(world, rcpt, code, esc):
    with world.server.smtp() as c:
        c.ehlo()
        c.mail(OURS)
        c.rcpt(rcpt, code=code, esc=esc)


def test_source_route_is_dropped_and_its_mailbox_counts(world):
    subject = f"s{time.time_ns()}"
    with world.server.smtp() as c:
        c.ehlo()
        c.mail(OURS)
        c.rcpt("@remote.example,@other.example:user@local.example")
        c.rcpt("@local.example:nobody@local.example", code=550)
        c.data(message(subject))
    arrives(world.server.maildir("user"), subject)
    assert subject.encode() not in b"".join(m.content for m in world.hops["smart"].messages)


def test_strangers_reach_what_is_ours_and_nothing_else(make_server, make_hop):
    hop = make_hop()
    server = make_server(start=False)
    server.write("aliases", "far@local.example out@remote.example\n")
    server.write_conf({"relay_from": ["192.0.2.0/24"], "relay_host": f"[127.0.0.1]:{hop.port}",
                       "aliases": {"virtual": [server.path("aliases")]},
                       'domain "relay.example"': {"class": "relay", "next_hop": f"[127.0.0.1]:{hop.port}"}})
    server.start()
    with server.smtp() as c:
        c.ehlo()
        for rcpt in ("any@remote.example", "any%remote.example@remote2.example", "any@[192.0.2.1]", "any@[127.0.0.1]",
                     "any@mx.test.example", "any@sub.local.example", "\"any@local.example\"@remote.example",
                     "@local.example:any@remote.example"):
            c.mail("spammer@stranger.example")
            c.rcpt(rcpt, code=550, esc="5.7.1")
            c.expect("RSET", 250)
        c.send_mail("x@stranger.example", ["far@local.example", "any@relay.example"], message("ours"))
    wait_until(lambda: sorted(r for m in hop.messages for r in m.rcpts) == ["any@relay.example", "out@remote.example"], 15, "both")


# -- aliases --

def test_alias_of_many_reaches_each_once(world):
    _, subject = world.send("team@local.example")
    arrives(world.server.maildir("user"), subject)
    assert arrives(world.hops["relay"], subject).rcpts == ["ann@known.example"]
    assert arrives(world.hops["smart"], subject).rcpts == ["out@remote.example"]


def test_alias_of_one_is_rewritten(world):
    _, subject = world.send("far@local.example")
    assert arrives(world.hops["smart"], subject).rcpts == ["out@remote.example"]


def test_alias_that_names_itself_goes_to_its_own_mailbox_or_is_returned(world):
    """me@ has no mailbox: its own copy is returned to the sender, the other one arrives."""
    _, subject = world.send("me@local.example", sender="user@local.example")
    arrives(world.server.maildir("user"), subject)
    report = wait_until(lambda: [m for m in world.server.maildir("user").messages()
                                 if subject.encode() in m and b"multipart/report" in m], 15, "failure report")[0]
    assert b"Final-Recipient: rfc822; me@local.example" in report and b"Status: 5.4.6" in report


def test_same_person_twice_gets_one_copy(world):
    qid, subject = world.send(["user@local.example", "team@local.example"])
    arrives(world.hops["relay"], subject)
    arrives(world.hops["smart"], subject)
    wait_until(lambda: not [m for m in world.server.queue() if qid in str(m)], 10, "all delivered")
    assert len([m for m in world.server.maildir("user").messages() if subject.encode() in m]) == 1
    for hop in ("relay", "smart"):
        assert len([m for m in world.hops[hop].messages if subject.encode() in m.content]) == 1


# -- DNS and next hops --

def test_next_host_is_tried_when_the_best_does_not_answer(world):
    world.dns.mx("two.example", (10, "dead.two.example"), (20, "live.two.example"))
    world.dns.a("dead.two.example", "127.0.0.3")
    world.dns.a("live.two.example", "127.0.0.1")
    _, subject = world.send("any@two.example")
    assert arrives(world.hops["mx2"], subject).rcpts == ["any@two.example"]


def test_mail_waits_for_dns_and_goes_when_it_is_back(make_server, make_hop):
    hop = make_hop()
    with Dns() as dns:
        dns.fail("later.example", "servfail")
        server = make_server(start=False)
        server.write("transport", f"later.example smtp:later.example:{hop.port}\n")
        server.write_conf({"transport": server.path("transport"), "retry": {"first": "500ms", "max": "500ms"},
                           "resolver": {"servers": [dns.spec], "dnssec": False}, "timeouts": {"dns": "2s"}})
        server.start()
        with server.smtp() as c:
            c.ehlo()
            qid = c.send_mail(OURS, "any@later.example", message("waits"))
        server.wait_log(rf"deferred .*qid={qid}.*4\.4\.3")
        assert qid in str(server.queue()) and not hop.messages
        dns.mx("later.example", (10, "mx.later.example"))
        dns.a("mx.later.example", "127.0.0.1")
        dns.fail("later.example", None)
        hop.wait(1)
        server.wait_empty()


@pytest.mark.parametrize("domain,status", [("none.example", "5.1.2"), ("null.example", "5.1.10"), ("empty.example", "5.4.4"),
                                            ("loop.example", "5.4.6"), ("self.example", "5.4.4")])
def test_domain_that_takes_no_mail_is_returned_to_the_sender(make_server, domain, status):
    with Dns() as dns:
        dns.mx("null.example", (0, "."))
        dns.txt("empty.example", "no address here")
        dns.mx("loop.example", (10, "mx.test.example"))
        dns.a("self.example", "127.0.0.1", "::1")
        server = make_server({"resolver": {"servers": [dns.spec], "dnssec": False}, "timeouts": {"dns": "2s"}})
        with server.smtp() as c:
            c.ehlo()
            c.send_mail("user@local.example", f"any@{domain}", message("comes back"))
        report = server.maildir("user").wait(1)[0]
        assert b"multipart/report" in report and f"Status: {status}".encode() in report
        assert f"any@{domain}".encode() in report
        server.wait_empty()


def test_slow_dns_of_one_domain_delays_no_other(make_server, make_hop):
    hop = make_hop()
    with Dns() as dns:
        dns.fail("silent.example", "silent")
        dns.mx("quick.example", (10, "mx.quick.example"))
        dns.a("mx.quick.example", "127.0.0.1")
        server = make_server(start=False)
        server.write("transport", f"quick.example smtp:quick.example:{hop.port}\n")
        server.write_conf({"transport": server.path("transport"), "resolver": {"servers": [dns.spec], "dnssec": False},
                           "timeouts": {"dns": "30s"}})
        server.start()
        with server.smtp() as c:
            c.ehlo()
            for i in range(20):
                c.send_mail(OURS, f"any{i}@silent.example", message("waits"))
            t = time.monotonic()
            c.send_mail(OURS, "any@quick.example", message("goes"))
        hop.wait(1)
        assert time.monotonic() - t < 3 * SLOW
        assert len(server.queue()) == 20


# -- tables that change --

def test_changed_table_is_used_and_a_broken_one_is_not(make_server):
    server = make_server(mailboxes=("user",))

    def rcpt(address):
        with server.smtp() as c:
            c.ehlo()
            c.mail(OURS)
            return c.cmd(f"RCPT TO:<{address}>").code

    assert rcpt("new@local.example") == 550
    server.write("users", "user@local.example user/\nnew@local.example new/\n")
    wait_until(lambda: rcpt("new@local.example") == 250, 10, "the new table")
    begin = server.log_size()
    server.write("users", "new@local.example one/\nnew@local.example two/\n")
    line = server.wait_log(r"users:2: this key stands in the table twice", begin=begin)
    assert "stays in use" in line
    assert rcpt("user@local.example") == 250
    os.remove(server.path("users"))
    server.wait_log(r"users.*stays in use", begin=begin, count=2)
    assert rcpt("user@local.example") == 250
    server.write("users", "last@local.example last/\n")
    wait_until(lambda: rcpt("user@local.example") == 550 and rcpt("last@local.example") == 250, 10, "the last table")


def test_table_that_is_missing_at_the_start_defers(make_server):
    server = make_server(start=False)
    os.remove(server.path("users"))
    server.start()
    with server.smtp() as c:
        c.ehlo()
        c.mail(OURS)
        c.rcpt("user@local.example", code=451, esc="4.3.0")
    server.write("users", "user@local.example user/\n")

    def taken():
        with server.smtp() as c:
            c.ehlo()
            c.mail(OURS)
            return c.cmd("RCPT TO:<user@local.example>").code == 250
    wait_until(taken, 10, "the table")


def test_killed_router_comes_back_with_its_tables(make_server):
    server = make_server()
    pid = server.kill("router")
    server.wait_new_pid("router", pid)

    def taken():
        with server.smtp() as c:
            c.ehlo()
            c.mail(OURS)
            code = c.cmd("RCPT TO:<user@local.example>").code
            assert code in (250, 451)
            return code == 250
    wait_until(taken, 10, "the router")
    with server.smtp() as c:
        c.ehlo()
        c.send_mail(OURS, "user@local.example", message("after"))
    server.maildir("user").wait(1)


def test_first_clients_are_served_however_early_they_come(make_server):
    """The port is bound before router and qmgr can be asked: clients wait for these, and are not told 451."""
    server = make_server(start=False)
    replies = []

    def client():
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                with server.smtp() as c:
                    c.ehlo()
                    replies.extend(r.code for r in c.pipeline(["MAIL FROM:<a@client.example>", "RCPT TO:<user@local.example>"]))
                    return
            except OSError:
                time.sleep(0.001)
    for _ in range(3):
        threads = [threading.Thread(target=client) for _ in range(8)]
        for t in threads:
            t.start()
        server.start()
        for t in threads:
            t.join()
        server.stop()
    assert replies == [250] * 48


# -- postern route --

@pytest.mark.parametrize("address,says", [
    ("user@local.example", ["domain local.example has class virtual", "the address is listed: user/", "Maildir user/ below"]),
    ("x@all.example", ["the domain (catch-all) is listed", "Maildir all.example/x/ below"]),
    ("x@relay.example", ["domain relay.example has class relay", "next_hop: by SMTP to [127.0.0.1]:", "site [127.0.0.1]:"]),
    ("x@box.example", ["domain box.example has class lmtp", "by LMTP to [127.0.0.1]:"]),
    ("x@socket.example", ["by LMTP to unix:", "site unix:"]),
    ("x@remote.example", ["remote.example is no domain of this server", "smarthost (relay_host): by SMTP to [127.0.0.1]:"]),
    ("x@sub.moved.example", ["transport table: smtp:[127.0.0.1]:"]),
    ("x@closed.example", ["refused, 5.1.6 Moved to another planet"]),
    ("team@local.example", ["alias in ", "becomes 3 addresses"]),
    ("ping@local.example", ["refused: 554 5.4.6 Alias loop"]),
    ("postmaster", ["postmaster without domain: postmaster@local.example", "Maildir postmaster/"]),
    ("no-address", ["refused: 553 5.1.3"]),
])
def test_route_says_each_step_in_plain_words(world, address, says):
    out = world.route(address)
    assert out.startswith(" 1. ")
    for text in says:
        assert text in out, out


def test_route_takes_the_sender_into_account_and_sends_nothing(world):
    before = sum(len(h.sessions) for h in world.hops.values())
    assert f"[127.0.0.1]:{world.hops['sender'].port}" in world.route("x@remote.example", "--from", "x@sender.example")
    assert f"[127.0.0.1]:{world.hops['smart'].port}" in world.route("x@remote.example", "--from", "x@other.example")
    assert sum(len(h.sessions) for h in world.hops.values()) == before


def test_a_broken_table_at_start_stands_in_the_log(make_server):
    """Also where the log is a file that nobody has open before the server runs."""
    server = make_server(start=False)
    server.write("users", "user@local.example user/\nuser@local.example twice/\n")
    log = server.path("mail.log")
    server.write_conf({"log": {"to": log}})
    server.start()
    wait_until(lambda: os.path.exists(log) and "users:2: this key stands in the table twice" in open(log).read(), what="warning")
    with server.smtp() as c:
        c.ehlo()
        c.mail("a@client.example")
        c.rcpt("user@local.example", code=451, esc="4.3.0")
    server.write("users", "user@local.example user/\n")
    with server.smtp() as c:
        c.ehlo()
        wait_until(lambda: c.cmd("RSET") and c.cmd("MAIL FROM:<a@client.example>") and
                   c.cmd("RCPT TO:<user@local.example>").code == 250, what="table taken")
