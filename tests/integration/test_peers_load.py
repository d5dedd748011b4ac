# SPDX-License-Identifier: ISC
"""The load generator and the sink of Postfix, and swaks: real clients in, a real server out, every message counted."""
import os
import shutil
import subprocess

import pytest

from tests.harness.peers import SmtpSink, source
from tests.harness.postern import wait_until


@pytest.fixture
def make_relay(make_server):
    """A server that hands mail for relay.example to a sink with these options; (server, sink)."""
    sinks = []

    def make(*options):
        sink = SmtpSink(*options)
        sinks.append(sink)
        return make_server({'domain "relay.example"': {"class": "relay", "next_hop": f"[127.0.0.1]:{sink.port}"}}), sink
    yield make
    for sink in sinks:
        sink.close()


def delivered(server):
    return server.stats()["delivery"]["delivered"]


@pytest.mark.parametrize("options,rcpts,sessions,messages", [
    (["-d"], 1, 50, 1000),                  # connections reused
    ([], 1, 50, 300),                       # one for each message
    (["-d", "-r", "20"], 20, 5, 20),        # 20 recipients each
])
def test_every_message_of_many_sessions_arrives(make_relay, options, rcpts, sessions, messages):
    server, sink = make_relay()
    source(server.port, *options, sessions=sessions, messages=messages, size=5000)
    wait_until(lambda: delivered(server) == messages * rcpts, 30, "all delivered", 0.1)
    server.wait_empty()
    # Recipients that the router has not resolved yet when the first ones go may make a transaction of their own.
    assert messages <= sink.count() <= (messages if rcpts == 1 else messages * rcpts // 2)
    assert server.stats()["delivery"]["deferred"] == 0


@pytest.mark.parametrize("option", ["-e", "-8", "-p"], ids=["without EHLO", "without 8BITMIME", "without PIPELINING"])
def test_poor_servers_get_their_mail(make_relay, option):
    server, sink = make_relay(option)
    source(server.port, "-d", sessions=5, messages=50)
    wait_until(lambda: delivered(server) == 50, 20, "all delivered", 0.1)
    assert sink.count() == 50


def test_big_messages_pass(make_relay):
    server, sink = make_relay()
    source(server.port, "-d", sessions=4, messages=8, size=5000000)
    wait_until(lambda: delivered(server) == 8, 30, "all delivered", 0.1)
    assert sink.count() == 8


# -- swaks --

@pytest.fixture
def swaks(server):
    if not shutil.which("swaks"):
        pytest.skip("swaks is not installed")

    def run(*args):
        return subprocess.run(["swaks", "--server", f"127.0.0.1:{server.port}", "--from", "a@client.example", "--helo",
                               "client.example", "--to", "user@local.example", *args], text=True, capture_output=True, timeout=60)
    return run


@pytest.mark.parametrize("options", [["--protocol", "SMTP"], ["--protocol", "ESMTP"], ["--pipeline"]], ids=["HELO", "EHLO", "pipelined"])
def test_swaks_sends_an_attachment(server, swaks, tmp_path, options):
    blob = tmp_path / "blob"
    blob.write_bytes(os.urandom(300000))
    done = swaks(*options, "--header", "Subject: with swaks", "--attach", f"@{blob}")
    assert done.returncode == 0, done.stdout + done.stderr
    got = server.maildir("user").wait(1)[0]
    assert b"Subject: with swaks" in got and len(got) > 400000


@pytest.mark.parametrize("stage", ["CONNECT", "HELO", "MAIL", "RCPT"])
def test_swaks_that_quits_early_leaves_nothing(server, swaks, stage):
    assert swaks("--quit-after", stage).returncode == 0
    assert not server.queue() and not server.maildir("user").files()


@pytest.mark.parametrize("stage", ["CONNECT", "HELO", "MAIL", "RCPT", "DATA"])
def test_swaks_that_drops_the_line_leaves_nothing(server, swaks, stage):
    swaks("--drop-after", stage)
    assert swaks().returncode == 0
    server.maildir("user").wait(1)
    assert len(server.maildir("user").files()) == 1
