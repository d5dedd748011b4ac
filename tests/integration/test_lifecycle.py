# SPDX-License-Identifier: ISC
"""The whole server through crashes of its parts, reloads and stops: mail goes on."""
import os
import re
import shutil
import signal
import threading
import time

import pytest

from tests.harness.postern import SLOW, build_dir, wait_until
from tests.harness.smtp import Smtp, message

KINDS = ["logd", "qmgr", "router", "smtpd", "delivery", "mailbox", "control"]
ONE_EACH = {"workers": {"smtpd": 1, "delivery": 1}}


def ask(c, line):
    """A command that may hear 451 for a moment, while a part is restarting."""
    reply = c.cmd(line)
    for _ in range(100 * SLOW):
        if reply.code != 451:
            break
        time.sleep(0.05)
        reply = c.cmd(line)
    c.check(line, reply, 250)


def send(server, subject):
    with server.smtp() as c:
        c.ehlo()
        ask(c, "MAIL FROM:<a@client.example>")
        ask(c, "RCPT TO:<user@local.example>")
        return c.data(message(subject)).qid


def subjects(server):
    return sorted(re.search(rb"^Subject: (.*)\r$", m, re.M).group(1).decode() for m in
                  (text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for text in server.maildir("user").messages()))


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV], ids=["kill", "segv"])
@pytest.mark.parametrize("kind", KINDS)
def test_mail_flows_after_a_crash_of(make_server, kind, sig):
    server = make_server(conf=ONE_EACH, env={"ASAN_OPTIONS": "handle_segv=0", "TSAN_OPTIONS": "handle_segv=0"})
    send(server, "before")
    old = server.kill(kind, sig)
    server.wait_new_pid(kind, old)
    server.wait_log(rf"child_exit name={kind} .*child={old} signal={sig.name} next_ms=0")
    send(server, "after")
    # What was in flight may come twice.
    wait_until(lambda: set(subjects(server)) == {"after", "before"}, 20, "both messages")


def test_reloads_under_load_lose_and_refuse_nothing(make_server):
    server = make_server()
    problems, acknowledged, is_over = [], [], threading.Event()

    def client(number):
        count = 0
        while not is_over.is_set():
            count += 1
            subject = f"{number}-{count}"
            try:
                with server.smtp() as c:
                    c.ehlo()
                    c.send_mail("a@client.example", "user@local.example", message(subject))
                    acknowledged.append(subject)
            except Exception as e:      # noqa: BLE001: any trouble of a client is what this test is about
                problems.append(f"{subject}: {e!r}")

    threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for i in range(5):
        server.write_conf({"hop_limit": 50 + i})
        assert "result=done" in server.reload()
        time.sleep(0.1)
    is_over.set()
    for t in threads:
        t.join()
    assert not problems and len(acknowledged) > 20
    server.maildir("user").wait(len(acknowledged))
    assert subjects(server) == sorted(acknowledged)


def test_session_goes_on_over_a_reload(make_server):
    server = make_server(conf=ONE_EACH)
    with server.smtp() as c:
        c.ehlo()
        c.mail("a@client.example")
        old = server.pids("smtpd")
        assert "result=done" in server.reload()
        c.rcpt("user@local.example")
        assert c.data(message("over")).qid
    server.maildir("user").wait(1)
    wait_until(lambda: not set(old) & set(server.pids()), 10, "old worker gone after its last connection")


def test_stop_finishes_a_transaction_in_flight(make_server):
    server = make_server(conf=ONE_EACH)
    idle = server.smtp()
    idle.ehlo()
    c = server.smtp()
    c.ehlo()
    c.mail("a@client.example")
    c.rcpt("user@local.example")
    c.expect("DATA", 354)
    c.send(b"Subject: half\r\n\r\none half\r\n")
    time.sleep(0.1)
    server.send_signal(signal.SIGTERM)
    assert idle.read_reply().code == 421 and idle.is_closed()
    c.send(b"other half\r\n.\r\n")
    assert c.read_reply().code == 250
    assert server.process.wait(20 * SLOW) == 0
    server.start()
    assert server.maildir("user").wait(1)


def test_stop_does_not_wait_for_ever_for_a_client(make_server):
    server = make_server(conf={"timeouts": {"stop": "1s"}})
    c = server.smtp()
    c.ehlo()
    c.mail("a@client.example")
    c.rcpt("user@local.example")
    c.expect("DATA", 354)
    t = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - t < 6 * SLOW
    assert not server.left_over()


def test_restart_keeps_what_is_queued(make_server):
    server = make_server(conf={"hold_incoming": True})
    send(server, "kept")
    server.restart()
    assert len(server.queue()) == 1
    server.write_conf({"hold_incoming": False})
    server.reload()
    server.postern("queue", "release")
    server.maildir("user").wait(1)


def test_whole_group_killed_and_started_again(make_server):
    server = make_server()
    for i in range(5):
        send(server, f"m{i}")
    server.kill_all()
    server.start()
    # What was delivered and not yet marked may come twice.
    wait_until(lambda: set(subjects(server)) == {f"m{i}" for i in range(5)}, 20, "all five messages")


def test_second_control_of_the_same_server(make_server):
    server = make_server()
    assert server.postern("status").returncode == 0
    pid = int(open(server.path("run/postern.pid")).read())
    assert os.path.exists(f"/proc/{pid}") and pid == server.master_pid
    with Smtp(server.port) as c:
        c.quit()
    server.stop()
    assert server.postern("status", check=False).returncode == 3


@pytest.mark.root
def test_without_root_mail_flows_too(make_server):
    server = make_server(start=False, user=65534)
    # The build may lie in a home that others cannot enter.
    for part in ("bin", "libexec"):
        shutil.copytree(os.path.join(build_dir(), part), server.path(part), symlinks=True)
    server.command = [server.path("bin/postern"), "run"]
    server.start()
    send(server, "as nobody")
    server.maildir("user").wait(1)
    assert os.stat(server.maildir("user").files()[0]).st_uid == 65534
    assert len(server.log_lines("not started as root")) == 1
    assert server.stop() == 0
