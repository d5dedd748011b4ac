# SPDX-License-Identifier: ISC
"""What administrators see of the queue and do with it; mail that is held, copied, expanded, discarded."""
import json
import os
import shutil
import subprocess
import time

import pytest

from tests.harness.postern import IS_ROOT, program, wait_until
from tests.harness.ports import free_port
from tests.harness.smtp import message

SLOW_RETRY = {"first": "1h", "factor": 1, "max": "1h", "jitter": 0}


def relay(hop, name="hop.example"):
    return {f'domain "{name}"': {"class": "relay", "next_hop": f"[127.0.0.1]:{getattr(hop, 'port', hop)}"}}


def send(server, rcpts, sender="a@client.example", **kw):
    with server.smtp() as c:
        c.ehlo()
        return c.send_mail(sender, rcpts, kw.pop("content", None) or message(**kw.pop("msg", {})), **kw)


@pytest.fixture
def waiting(make_server, make_hop):
    """A server with three deferred messages; the hop takes mail when hop.on is cleared."""
    hop = make_hop()
    hop.on["RCPT"] = "450 4.2.1 mailbox busy"
    server = make_server({"retry": SLOW_RETRY, **relay(hop), **relay(hop, "other.example")})
    server.hop = hop
    server.qids = [send(server, ["u@hop.example", "v@hop.example"], sender="one@client.example"),
                   send(server, "w@other.example", sender="two@client.example", msg={"size": 5000}),
                   send(server, "x@hop.example", sender="two@client.example")]
    wait_until(lambda: len(server.log_lines(" deferred ")) == 4, 10, "all deferred")
    return server


def counts(server, *words):
    """What an order prints: "2 messages, 3 recipients ..." """
    out = server.postern("queue", *words).stdout
    words = out.split()
    return int(words[0]), int(words[2])


def test_list_has_the_fields_of_postqueue_and_more(waiting):
    item = next(m for m in waiting.queue() if m["queue_id"] == waiting.qids[0])
    assert item["queue_name"] == "deferred" and item["sender"] == "one@client.example"
    assert abs(item["arrival_time"] - time.time()) < 60 and item["message_size"] > 100 and item["forced_expire"] is False
    assert [r["address"] for r in item["recipients"]] == ["u@hop.example", "v@hop.example"]
    rcpt = item["recipients"][0]
    assert rcpt["delay_reason"] == "450 4.2.1 mailbox busy" and rcpt["attempts"] == 1
    assert 3000 < rcpt["next_due"] - time.time() < 3700
    assert rcpt["state"] == "deferred" and str(waiting.hop.port) in rcpt["site"]


@pytest.mark.parametrize("words,which", [
    (["sender=two@client.example"], [1, 2]), (["sender=TWO@*"], [1, 2]), (["sender=two"], []),
    (["rcpt=v@hop.example"], [0]), (["domain=other.example"], [1]), (["domain=*.example"], [0, 1, 2]),
    (["state=deferred"], [0, 1, 2]), (["state=held"], []), (["error=busy"], [0, 1, 2]), (["error=*4.2.1*"], [0, 1, 2]),
    (["error=unknown"], []), (["older=1h"], []), (["older=0"], [0, 1, 2]), (["domain=hop.example", "sender=two@*"], [2]),
])
def test_filters(waiting, words, which):
    assert [m["queue_id"] for m in waiting.queue(*words)] == [waiting.qids[i] for i in which]


def test_ids_limit_and_offset(waiting):
    ids = waiting.qids
    assert [m["queue_id"] for m in waiting.queue(ids[2], ids[0].lower())] == [ids[0], ids[2]]
    assert [m["queue_id"] for m in waiting.queue("--limit", "1", "--offset", "1")] == [ids[1]]
    assert [m["queue_id"] for m in waiting.queue("--limit", "2")] == ids[:2]


@pytest.mark.parametrize("word", ["state=odd", "older=soon", "nonsense=1"])
def test_a_bad_filter_is_named(waiting, word):
    done = waiting.postern("queue", "list", word, check=False)
    assert done.returncode != 0 and word.split("=")[0] in done.stderr


def test_show_and_cat(waiting):
    shown = waiting.postern("queue", "show", waiting.qids[1]).stdout
    assert "        deferred, site [127.0.0.1]:" in shown
    assert waiting.qids[1] in shown and "w@other.example" in shown and "450 4.2.1 mailbox busy" in shown
    raw = subprocess.run([program("postern"), "queue", "cat", waiting.qids[1], "-c", waiting.conf_path],
                         stdout=subprocess.PIPE, check=True, timeout=20).stdout
    assert raw.startswith(b"Received: ") and raw.count(b"0123456789" * 7) > 60
    missing = waiting.postern("queue", "show", "0" * 12 + "1", check=False)
    assert missing.returncode != 0 and "no such message" in missing.stderr


def test_cat_of_a_large_message_is_complete(make_server):
    server = make_server({"hold_incoming": True})
    content = message(size=9000000)
    qid = send(server, "user@local.example", content=content)
    raw = subprocess.run([program("postern"), "queue", "cat", qid, "-c", server.conf_path], stdout=subprocess.PIPE,
                         check=True, timeout=60).stdout
    assert raw.endswith(content)


def test_hold_release_flush_and_delete_print_exact_counts(waiting):
    hop, ids = waiting.hop, waiting.qids
    assert counts(waiting, "hold", "sender=two@*") == (2, 2)
    assert {m["queue_id"]: m["state"] for m in waiting.queue()} == {ids[0]: "deferred", ids[1]: "held", ids[2]: "held"}
    assert waiting.stats()["queue"]["held"] == 2
    hop.on.clear()
    assert counts(waiting, "flush") == (1, 2)
    assert hop.wait(1)[0].rcpts == ["u@hop.example", "v@hop.example"]
    waiting.wait_log(rf"removed qid={ids[0]}")
    time.sleep(0.3)
    assert len(hop.messages) == 1, "held mail was sent"
    assert counts(waiting, "delete", ids[1]) == (1, 1)
    assert counts(waiting, "release") == (1, 1)
    assert hop.wait(2)[1].rcpts == ["x@hop.example"]
    waiting.wait_empty()
    for event in ("held", "released", "deleted"):
        assert waiting.log_lines(rf" {event} qid=")
    waiting.wait_log(rf"removed qid={ids[2]}")


def test_retry_of_one_message_tries_only_that(waiting):
    waiting.hop.on.clear()
    assert counts(waiting, "retry", waiting.qids[1]) == (1, 1)
    assert waiting.hop.wait(1)[0].rcpts == ["w@other.example"]
    wait_until(lambda: len(waiting.queue()) == 2, 10, "the others wait on")


def test_flush_ends_the_pause_of_a_dead_site(make_server, make_hop):
    port = free_port()
    server = make_server({"retry": SLOW_RETRY, **relay(port)})
    for i in range(3):
        send(server, f"u{i}@hop.example")
    server.wait_log("suspended ")
    wait_until(lambda: len(server.log_lines(" deferred ")) == 3, 10, "all wait")
    hop = make_hop(port=port)
    assert counts(server, "flush") == (3, 3)
    hop.wait(3)
    server.wait_empty()


def test_delete_of_a_recipient_that_is_being_sent_takes_effect(make_server, make_hop):
    import threading
    hop, go = make_hop(), threading.Event()
    hop.on["RCPT"] = lambda s, line: go.wait(10) and "450 4.2.0 later"
    server = make_server({"retry": SLOW_RETRY, **relay(hop)})
    qid = send(server, "u@hop.example")
    wait_until(lambda: any(c.startswith("RCPT") for s in hop.sessions for c in s.commands), 10, "RCPT")
    assert server.queue()[0]["state"] == "active"
    assert counts(server, "delete", qid) == (1, 1)
    go.set()
    server.wait_empty()
    server.wait_log(rf"removed qid={qid}")


def test_counts_are_exact_right_after_a_restart(waiting):
    before = waiting.stats()["queue"]
    assert (before["messages"], before["recipients"], before["deferred"]) == (3, 4, 4)
    assert before["bytes"] == sum(m["message_size"] for m in waiting.queue())
    waiting.kill_all()
    waiting.start()
    assert waiting.stats()["queue"] == before
    waiting.stop()
    waiting.start()
    assert waiting.stats()["queue"] == before


def test_a_long_list_comes_in_pages(make_server):
    server = make_server({"hold_incoming": True})
    with server.smtp() as c:
        c.ehlo()
        ids = [c.send_mail("a@client.example", ["user@local.example", "b@local.example"], message()) for _ in range(300)]
    assert [m["queue_id"] for m in server.queue()] == ids
    assert counts(server, "delete", "sender=a@client.example") == (300, 600)
    assert server.stats()["queue"]["messages"] == 0


# --- hold_incoming, bcc_always, discard, aliases ---

def test_hold_incoming_holds_until_release(make_server):
    server = make_server({"hold_incoming": True})
    qid = send(server, "user@local.example")
    server.wait_log(rf"held qid={qid}")
    server.kill_all()
    server.start()
    assert [m["state"] for m in server.queue()] == ["held"]
    server.write_conf({"hold_incoming": False})
    server.reload()
    send(server, "b@local.example")
    server.maildir("b").wait(1)
    assert server.maildir("user").files() == []
    assert counts(server, "release") == (1, 1)
    server.maildir("user").wait(1)
    server.wait_empty()


def test_bcc_always_copies_every_message_once(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = "550 5.1.1 no"
    server = make_server({"bcc_always": "b@local.example", **relay(hop)})
    send(server, "user@local.example", msg={"subject": "first"})
    send(server, ["user@local.example", "b@local.example"], msg={"subject": "second"})
    server.maildir("user").wait(2)
    server.wait_empty()
    assert len(server.maildir("b").files()) == 2
    # Reports of the server itself are not copied.
    send(server, "x@hop.example", sender="user@local.example", msg={"subject": "third"})
    server.maildir("user").wait(3)
    server.wait_empty()
    assert len(server.maildir("b").files()) == 3


def test_discard_takes_and_drops(make_server):
    server = make_server({'domain "null.example"': {"class": "discard"}})
    qid = send(server, ["x@null.example", "user@local.example"])
    server.wait_log(rf"discarded .*qid={qid}")
    server.maildir("user").wait(1)
    server.wait_log(rf"removed qid={qid}")
    server.wait_empty()


@pytest.fixture
def with_aliases(make_server):
    def make(text, conf=None, **kw):
        server = make_server({"aliases": {"virtual": ["virtual"]}, **(conf or {})}, start=False, **kw)
        server.write("virtual", text)
        return server.start()
    return make


def test_an_alias_becomes_its_members_once_each(with_aliases, make_hop):
    hop = make_hop()
    server = with_aliases("list@local.example user@local.example, b@local.example, r@hop.example\n"
                          "both@local.example list@local.example, user@local.example\n", relay(hop))
    qid = send(server, ["list@local.example", "both@local.example", "b@local.example"])
    server.maildir("user").wait(1)
    server.maildir("b").wait(1)
    hop.wait(1)
    server.wait_log(rf"expanded qid={qid}")
    server.wait_log(rf"removed qid={qid}")
    assert len(server.maildir("user").files()) == len(server.maildir("b").files()) == len(hop.messages) == 1
    text = server.maildir("user").messages()[0]
    assert b"X-Original-To: " in text and b"Delivered-To: user@local.example" in text
    server.wait_empty()


def test_an_alias_to_itself_reaches_the_mailbox(with_aliases):
    server = with_aliases("user@local.example user@local.example, b@local.example\n")
    send(server, "user@local.example")
    server.maildir("user").wait(1)
    server.maildir("b").wait(1)
    server.wait_empty()
    assert len(server.maildir("user").files()) == 1


def test_aliases_in_a_circle_reach_the_mailbox_or_fail(with_aliases):
    server = with_aliases("one@local.example two@local.example, b@local.example\n"
                          "two@local.example one@local.example, b@local.example\n"
                          "user@local.example b@local.example, three@local.example\n"
                          "three@local.example user@local.example, b@local.example\n")
    send(server, "user@local.example")
    server.maildir("user").wait(1)
    server.maildir("b").wait(1)
    server.wait_empty()
    qid = send(server, "one@local.example", sender="user@local.example")
    server.wait_log(rf"bounced .*qid={qid} .*esc=5.4.6")
    # The report to <user> goes through its alias, too.
    server.maildir("user").wait(2)
    server.maildir("b").wait(3)
    server.wait_empty()
    assert len(server.maildir("user").files()) == 2 and len(server.maildir("b").files()) == 3


def test_children_of_an_alias_survive_a_kill(with_aliases, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = lambda s, line: "450 4.2.0 later" if "<r@" in line else None
    server = with_aliases("list@local.example user@local.example, r@hop.example, s@hop.example\n",
                          {"retry": SLOW_RETRY, **relay(hop)})
    send(server, "list@local.example")
    server.maildir("user").wait(1)
    server.wait_log(r"deferred .*to=r@hop\.example orig=list@local\.example")
    server.wait_log(r"delivered .*to=s@hop\.example")
    server.kill_all()
    hop.on.clear()
    server.write("virtual", "list@local.example b@local.example\n")
    server.start()
    assert [r["address"] for m in server.queue() for r in m["recipients"]] == ["r@hop.example"]
    server.postern("queue", "flush")
    hop.wait(2)
    server.wait_empty()
    assert len(server.maildir("user").files()) == 1 and server.maildir("b").files() == []


def test_delivered_to_of_this_mailbox_is_a_loop(make_server):
    server = make_server()
    qid = send(server, "user@local.example", sender="b@local.example", msg={"extra": "Delivered-To: user@local.example\r\n"})
    server.wait_log(rf"bounced .*qid={qid} .*esc=5.4.6")
    assert b"5.4.6" in server.maildir("b").wait(1)[0]
    assert server.maildir("user").files() == []


# --- who may see what ---

@pytest.mark.skipif(not IS_ROOT, reason="needs root to become another user")
def test_others_see_only_their_own_mail(waiting):
    def drop():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    binary = shutil.copy(program("postern"), waiting.path("postern"))      # another user may not reach the build
    done = subprocess.run([binary, "queue", "list", "--json", "-c", waiting.conf_path], preexec_fn=drop,
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stdout == ""
    done = subprocess.run([binary, "queue", "delete", waiting.qids[0], "-c", waiting.conf_path], preexec_fn=drop,
                          capture_output=True, text=True, timeout=20)
    assert done.returncode != 0
    assert len(waiting.queue()) == 3


# --- many, and little memory ---

def test_an_alias_with_many_members(with_aliases, make_hop):
    hop = make_hop()
    members = [f"m{i}@hop.example" for i in range(700)]
    server = with_aliases("list@local.example " + ", ".join(members) + "\n", relay(hop))
    send(server, "list@local.example")
    wait_until(lambda: sum(len(m.rcpts) for m in hop.messages) >= 700, 30, "all members")
    server.wait_empty()
    assert sorted(r for m in hop.messages for r in m.rcpts) == sorted(members)
    assert len(hop.messages) < 100, "recipients of one message for one site share transactions"


def test_memory_for_recipients_is_bounded(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = lambda s, line: time.sleep(0.05)
    server = make_server({"limits": {"queue_memory": "1M"}, 'site "default"': {"connections": 2},
                          "domain \"other.example\"": {"class": "relay", "next_hop": f"[127.0.0.1]:{hop.port}"}, **relay(hop)})
    names = [[f"u{m}.{i}@hop.example" for i in range(500)] for m in range(40)]
    with server.smtp() as c:
        c.ehlo()
        for rcpts in names:
            c.pipeline(["MAIL FROM:<a@client.example>"] + [f"RCPT TO:<{r}>" for r in rcpts])
            c.data(message())
            assert server.stats()["delivery"]["in_memory"] <= 1048576 // 72
    stats = server.stats()
    assert stats["queue"]["recipients"] > 15000, "the hop was too fast for this test"
    assert stats["delivery"]["in_memory"] < 15000
    hop.on.clear()
    wait_until(lambda: sum(len(m.rcpts) for m in hop.messages) >= 20000, 60, "all recipients")
    server.wait_empty()
    got = [r for m in hop.messages for r in m.rcpts]
    assert len(got) == 20000 and set(got) == {r for rcpts in names for r in rcpts}


def test_what_is_in_memory_counts_too(make_server, make_hop):
    from tests.harness.nexthop import HANG
    hop = make_hop()
    hop.on["CONNECT"] = HANG
    server = make_server(relay(hop))
    content = message()
    send(server, ["u@hop.example", "v@hop.example"], content=content)
    stats = server.stats()["queue"]
    assert (stats["messages"], stats["recipients"], stats["deferred"]) == (1, 2, 0)
    assert len(content) < stats["bytes"] < len(content) + 500
    item = server.queue()[0]
    assert item["state"] == "active" and item["message_size"] == stats["bytes"]
    assert server.stats()["queue"] == stats


# --- stop, damage ---

def test_a_stop_lets_what_is_being_sent_finish(make_server, make_hop):
    hop = make_hop()
    hop.on["DATA_END"] = lambda s, line: time.sleep(1)
    server = make_server({'site "default"': {"connections": 1}, **relay(hop)})
    send(server, "u@hop.example")
    for i in range(3):
        send(server, f"v{i}@hop.example")
    wait_until(lambda: any(c.startswith(("DATA", "BDAT")) for s in hop.sessions for c in s.commands), 10, "under way")
    assert server.stop() == 0
    taken = len(hop.messages)
    assert 1 <= taken < 4
    hop.on.clear()
    server.start()
    hop.wait(4)
    server.wait_empty()
    assert sorted(r for m in hop.messages for r in m.rcpts) == ["u@hop.example"] + [f"v{i}@hop.example" for i in range(3)]


@pytest.mark.parametrize("size", [200000, 4000000])
def test_damaged_content_is_held_and_never_sent(make_server, make_hop, size):
    hop = make_hop()
    server = make_server({"hold_incoming": True, **relay(hop)})
    qid = send(server, "u@hop.example", msg={"size": size})
    server.wait_log(rf"held qid={qid}")
    server.stop()
    import glob
    damaged = 0
    for path in glob.glob(os.path.join(server.spool, "queue", "segments", "*")):
        if not path.endswith((".seg", ".big")):
            continue
        with open(path, "r+b") as f:
            text = f.read()
            at = text.rfind(b"0123456789" * 7 + b"\r\n" + b"0123456789" * 7)
            if at > 0:
                f.seek(at)
                f.write(b"X")
                damaged += 1
    assert damaged == 1
    server.write_conf({"hold_incoming": False})
    server.start()
    if server.queue()[0]["state"] == "held":
        server.postern("queue", "release", qid)
    wait_until(lambda: server.queue()[0]["state"] == "corrupt", 20, "held as damaged")
    time.sleep(0.5)
    assert hop.messages == []
