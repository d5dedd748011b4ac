# SPDX-License-Identifier: ISC
"""SMTP as a client sees it, and what arrives, with the whole server."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from tests.harness.postern import Postern, wait_until
from tests.harness.smtp import Smtp, message

STRANGERS = {"relay_from": ["192.0.2.1"]}


@pytest.fixture(scope="module")
def shared():
    """One server for all that leaves nothing behind: clients are strangers."""
    conf = {**STRANGERS, "limits": {"message_size": "1M", "recipients": 1000, "connections_per_client": 0},
            'domain "example.test"': {"class": "discard"}}
    with Postern(conf=conf) as server:
        yield server


def ready(server, **kw):
    c = server.smtp(**kw)
    c.ehlo()
    return c


def body_of(text):
    return text.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]


# ---- what is offered ----

def test_banner_and_ehlo(shared):
    c = shared.smtp()
    assert c.banner.text == "mx.test.example ESMTP Postern"
    c.ehlo()
    assert c.extensions == {"PIPELINING": "", "SIZE": "1048576", "8BITMIME": "", "SMTPUTF8": "", "CHUNKING": "", "DSN": "",
                            "ENHANCEDSTATUSCODES": "", "LIMITS": "RCPTMAX=1000", "HELP": ""}


def test_small_commands(shared):
    c = ready(shared)
    c.expect("NOOP", 250)
    c.expect("RSET", 250)
    c.expect("VRFY user@local.example", 252)
    c.expect("EXPN list", 502)
    c.expect("HELP", 214)
    c.expect("STARTTLS", 502)
    c.expect("WHAT", 500, "5.5.2")
    c.expect("QUIT", 221)
    assert c.is_closed()


def test_helo_client(server):
    with server.smtp() as c:
        assert c.expect("HELO old.example", 250).lines == ["mx.test.example"]
        c.send_mail("a@client.example", "user@local.example", b"Subject: x\r\n\r\nx\r\n")
    text = server.maildir("user").wait(1)[0]
    assert re.search(rb"^Received: from old\.example \(\[127\.0\.0\.1\]\)\s+by mx\.test\.example with SMTP id [0-9A-Z]{13}\s+"
                     rb"for <user@local\.example>;\s+\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d \+0000$",
                     text.replace(b"\r\n", b"\n"), re.M)


# ---- what arrives ----

CONTENTS = {
    "plain": b"hello\r\n",
    "empty": b"",
    "dots": b".\r\n..\r\n.x\r\n..x\r\n",
    "nul": b"a\0b\r\n\0\r\n",
    "8bit": bytes(range(128, 256)) + b"\r\n",
    "long line": b"x" * 5000 + b"\r\n" + b"y" * 999 + b"\r\n",
    "64 KiB": b"0123456789abcdef" * 62 + b"\r\n",
    "large": (b"0123456789" * 9 + b"\r\n") * 9000,
}


@pytest.mark.parametrize("how", ["DATA", "BDAT", "BDAT in small chunks"])
@pytest.mark.parametrize("name", CONTENTS)
def test_content_arrives_byte_for_byte(server, name, how):
    content = b"Subject: x\r\n\r\n" + CONTENTS[name]
    if name == "64 KiB":
        content += b"z" * (65536 - len(content) - 2) + b"\r\n"
    with ready(server) as c:
        c.mail("a@client.example", "BODY=8BITMIME")
        c.rcpt("user@local.example")
        if how == "DATA":
            c.data(content)
        elif how == "BDAT":
            c.send(b"BDAT %d LAST\r\n" % len(content) + content)
            assert c.read_reply().code == 250
        else:
            step = max(len(content) // 7, 1)
            parts = [content[i:i + step] for i in range(0, len(content), step)]
            c.send(b"".join(b"BDAT %d\r\n" % len(p) + p for p in parts) + b"BDAT 0 LAST\r\n")
            assert [c.read_reply().code for _ in range(len(parts) + 1)] == [250] * (len(parts) + 1)
    text = server.maildir("user").wait(1)[0]
    assert body_of(text) == CONTENTS[name].replace(b"\r\n", b"\n") if name != "64 KiB" else body_of(text) in \
        content.replace(b"\r\n", b"\n")


def test_received_names_no_recipient_when_there_are_two(server):
    with ready(server) as c:
        qid = c.send_mail("a@client.example", ["user@local.example", "b@local.example"], message())
    for name in ("user", "b"):
        text = server.maildir(name).wait(1)[0]
        received = re.search(rb"^Received: (.*(?:\n\s.*)*)", text.replace(b"\r\n", b"\n"), re.M).group(1)
        assert b" for " not in received and b"\tfor" not in received
        assert qid.encode() in received and b"with ESMTP" in received


def test_utf8_mail(make_server):
    server = make_server(mailboxes=("user", "j\u00fcrgen"))
    with ready(server) as c:
        c.mail("j\u00fcrgen@client.example", code=553, esc="5.6.7")
        c.mail("j\u00fcrgen@m\u00fcnchen.example", "SMTPUTF8")
        c.rcpt("j\u00fcrgen@local.example")
        c.data("Subject: \u00fc\r\n\r\nx\r\n".encode())
    text = server.maildir("j\u00fcrgen").wait(1)[0]
    assert b"with UTF8SMTP" in text
    assert "Subject: \u00fc".encode() in text


def test_null_sender_and_bare_postmaster(make_server):
    server = make_server(conf={"postmaster": "user@local.example"})
    with ready(server) as c:
        c.send_mail("", "postmaster", message(subject="to the postmaster"))
    text = server.maildir("user").wait(1)[0]
    assert b"Return-Path: <>" in text


@pytest.mark.parametrize("rcpt", ["postmaster", "PostMaster", "postmaster@local.example", "POSTMASTER@Local.Example"])
def test_postmaster_is_never_refused(make_server, rcpt):
    server = make_server(conf=STRANGERS)
    with ready(server) as c:
        c.send_mail("a@client.example", rcpt, message())
    assert server.maildir("postmaster").wait(1)


def test_counters_of_all_workers_outlive_a_worker(make_server):
    server = make_server(conf={**STRANGERS, "limits": {"connections_per_client": 2}})
    c, d = ready(server), ready(server)
    with pytest.raises(AssertionError, match="421"):
        server.smtp()
    c.send_mail("a@client.example", ["user@local.example", "b@local.example"], b"12345\r\n")
    c.mail("a@client.example")
    c.rcpt("a@elsewhere.example", code=550)
    c.rcpt("nobody@local.example", code=550)
    c.rcpt("a..b@local.example", code=553)
    d.mail("a@client.example", "SIZE=999999999", code=552)
    d.expect("WHAT", 500)
    d.expect("DATA", 503)
    wait_until(lambda: server.stats()["smtpd"]["sessions"] == 2, 10, "the refused connection gone")
    want = {"sessions": 2, "connections": 3, "messages": 1, "recipients": 2, "bytes": 7, "refused": 1, "ended": 0,
            "rejects": {"relay": 1, "unknown": 1, "address": 1, "size": 1, "content": 0, "rate": 0, "syntax": 2, "policy": 0,
                        "later": 0}}
    assert server.stats()["smtpd"] == want
    old = server.pids("smtpd")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(server.pids("smtpd")) == 2 and not set(old) & set(server.pids("smtpd")), 10, "new workers")
    ready(server).expect("QUIT", 221)
    now = wait_until(lambda: (s := server.postern("stats", "--json", check=False)).returncode == 0 and
                     json.loads(s.stdout).get("smtpd"), 10, "stats of new workers")
    assert (now["messages"], now["bytes"], now["connections"]) == (1, 7, 4)
    assert re.search(r"^postern_smtpd_rejects_total\{reason=\"relay\"\} 1$", server.postern("stats", "--prometheus").stdout, re.M)


# ---- who may send to whom ----

def test_unknown_recipient_is_refused_at_rcpt(shared):
    c = ready(shared)
    c.mail("a@client.example")
    c.rcpt("nobody@local.example", code=550, esc="5.1.1")
    c.rcpt("user@local.example")


NO_RELAY = [
    "a@elsewhere.example", "a%elsewhere.example@local.example", '"a@elsewhere.example"@local.example',
    "elsewhere.example!a@local.example", "@local.example:a@elsewhere.example", "a@elsewhere.example@local.example",
    "a@[192.0.2.7]", "a@[127.0.0.1]", "a@[IPv6:::1]", '"a%elsewhere.example"@local.example', "a@local.example.",
    "a%elsewhere.example", "a@elsewhere.example%local.example", "a@localhost", "a@mx.test.example", "a@local.example@elsewhere.example",
]


@pytest.mark.parametrize("rcpt", NO_RELAY)
def test_no_open_relay(shared, rcpt):
    c = ready(shared)
    for sender in ("a@local.example", "", "postmaster@mx.test.example"):
        c.mail(sender)
        reply = c.cmd(f"RCPT TO:<{rcpt}>")
        assert 500 <= reply.code < 600, f"{rcpt}: {reply}"
        c.expect("DATA", 503)
        c.expect("RSET", 250)


def test_relay_denied_has_its_code(shared):
    c = ready(shared)
    c.mail("a@client.example")
    c.rcpt("a@elsewhere.example", code=550, esc="5.7.1")


def test_submission_port_wants_authentication(make_server):
    server = make_server(conf={**STRANGERS, 'listen "smtp"': {"role": "submission"}})
    with ready(server) as c:
        c.mail("a@client.example", code=530, esc="5.7.0")
    server = make_server(conf={'listen "smtp"': {"role": "submission"}})
    with ready(server) as c:
        c.mail("a@client.example")


# ---- limits ----

def test_size(shared):
    c = ready(shared)
    c.mail("a@client.example", "SIZE=1048577", code=552, esc="5.3.4")
    c.mail("a@client.example", "SIZE=1000")
    c.rcpt("a@example.test")
    c.expect("DATA", 354)
    c.send((b"x" * 998 + b"\r\n") * 1100 + b".\r\n")
    reply = c.read_reply()
    assert (reply.code, reply.esc) == (552, "5.3.4")
    c.send_mail("a@client.example", "a@example.test", message())


def test_the_1001st_recipient(shared):
    c = ready(shared)
    c.mail("a@client.example")
    replies = c.pipeline([f"RCPT TO:<r{i}@example.test>" for i in range(1001)])
    assert [r.code for r in replies] == [250] * 1000 + [452]
    assert replies[-1].esc == "4.5.3"
    c.data(message())
    shared.wait_log(r"\breceived\b.*nrcpt=1000\b")


def test_long_commands(shared):
    c = ready(shared)
    c.expect("NOOP " + "x" * 505, 250)
    c.expect("NOOP " + "x" * 506, 500, "5.5.2")
    c.expect("x" * 100000, 500, "5.5.2")
    c.expect("NOOP", 250)


def test_bytes_that_are_no_commands(shared):
    c = ready(shared)
    c.expect(b"N\0OP", 500)
    c.expect(b"\xff\xfe\xfd", 500)
    c.expect(b"", 500)
    c.expect("MAIL FROM:<a\u00e9@client.example>", 553)
    c.expect("NOOP", 250)


def test_too_many_errors(shared):
    c = ready(shared)
    codes = []
    while not codes or codes[-1] != 421:
        codes.append(c.cmd("WHAT").code if len(codes) < 19 else c.cmd("WHAT").code)
        if len(codes) == 20:
            codes.append(c.read_reply().code)
    assert codes == [500] * 20 + [421]
    assert c.is_closed()


def test_what_was_sent_along_with_a_refused_mail_is_no_error_of_its_own(server):
    """A client that pipelines is not cut for one refusal, and the log tells of it once."""
    begin = server.log_size()
    with server.smtp() as c:
        c.ehlo()
        group = ["MAIL FROM:<a@client.example> SIZE=99999999999"] + ["RCPT TO:<user@local.example>"] * 60 + ["DATA"]
        assert [r.code for r in c.pipeline(group)] == [552] + [503] * 61
        c.send_mail("a@client.example", "user@local.example", message())
        # Not without end.
        c.send("".join(f"{line}\r\n" for line in group[:1] + group[1:-1] * 3))
        codes = [c.read_reply().code for _ in range(102)]
        assert codes == [552] + [503] * 100 + [421]
    server.wait_log(r"reject .*reply=.421", begin=begin)
    assert len(server.log_lines(r" reject ", begin)) == 3


def test_hops_are_counted(make_server):
    server = make_server(conf={"hop_limit": 5})
    with ready(server) as c:
        for hops, code in ((5, 250), (6, 554)):
            c.mail("a@client.example")
            c.rcpt("user@local.example")
            c.data(b"Received: x\r\n" * hops + b"Subject: x\r\n\r\nReceived: no\r\n", code=code, esc="5.4.6" if code == 554 else None)


def test_header_that_never_ends(make_server):
    server = make_server(conf={"limits": {"header_size": "16K"}})
    with ready(server) as c:
        c.mail("a@client.example")
        c.rcpt("user@local.example")
        c.data(b"Subject: x\r\n" + b" folded\r\n" * 4000, code=552)


def test_half_a_message_is_no_message(server):
    c = ready(server)
    c.mail("a@client.example")
    c.rcpt("user@local.example")
    c.expect("DATA", 354)
    c.send(b"Subject: x\r\n\r\nhalf")
    c.close()
    with ready(server) as c:
        c.send_mail("a@client.example", "user@local.example", message(subject="whole"))
    assert b"whole" in server.maildir("user").wait(1)[0]
    time.sleep(0.2)
    assert len(server.maildir("user").files()) == 1


# ---- listeners ----

def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("address, hosts", [("[::1]", ["::1"]), ("*", ["127.0.0.1", "::1"])])
def test_ipv6(make_server, address, hosts):
    server = make_server(conf={'listen "smtp"': {"address": address}})
    for i, host in enumerate(hosts):
        with Smtp(server.port, host) as c:
            c.ehlo()
            c.send_mail("a@client.example", "user@local.example", message())
        text = server.maildir("user").wait(i + 1)[-1]
        if host == "::1":
            assert any(b"([IPv6:::1])" in t for t in server.maildir("user").messages())
        else:
            assert b"([127.0.0.1])" in text


# ---- the log ----

def test_refusals_are_logged_in_one_line(shared):
    begin = shared.log_size()
    with ready(shared) as c:
        c.mail("a@client.example")
        c.rcpt("nobody@local.example", code=550)
    line = shared.wait_log(r"\breject\b.*nobody@local\.example", begin=begin)
    for part in ("client=127.0.0.1", "helo=client.example", "stage=RCPT", "from=a@client.example", "550 5.1.1"):
        assert part in line
    assert len(shared.log_lines(r"\breject\b", begin)) == 1


def test_received_is_logged_with_all_that_is_known(server):
    with ready(server) as c:
        qid = c.send_mail("a@client.example", ["user@local.example", "b@local.example"], b"x\r\n")
    line = server.wait_log(rf"\breceived\b.*qid={qid}")
    for part in ("sid=", "client=127.0.0.1", "helo=client.example", "from=a@client.example", "size=3", "nrcpt=2", "proto=ESMTP"):
        assert part in line


# ---- real clients ----

def swaks(server, *args):
    return subprocess.run(["swaks", "--server", f"127.0.0.1:{server.port}", "--from", "a@client.example", "--helo", "client.example",
                           *args], text=True, capture_output=True, timeout=60)


def test_swaks(server):
    if subprocess.run(["which", "swaks"], capture_output=True).returncode != 0:
        pytest.skip("swaks is not installed")
    done = swaks(server, "--to", "user@local.example,b@local.example", "--pipeline", "--header", "Subject: from swaks")
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"Subject: from swaks" in server.maildir("b").wait(1)[0]
    done = swaks(server, "--to", "nobody@local.example")
    assert done.returncode != 0 and "550 5.1.1" in done.stdout


# ---- reload and stop ----

def test_reload_keeps_sessions_and_gives_new_ones_the_new_options(make_server):
    server = make_server()
    old = ready(server)
    old.mail("a@client.example")
    server.write_conf({"limits": {"message_size": "2M"}})
    server.reload()
    new = ready(server)
    assert new.extensions["SIZE"] == str(2 << 20)
    old.rcpt("user@local.example")
    old.data(message(subject="across the reload"))
    old.ehlo()
    assert old.extensions["SIZE"] == str(35 << 20)
    old.quit()
    assert b"across the reload" in server.maildir("user").wait(1)[0]
    new.quit()


def test_no_connection_is_refused_during_reloads(make_server):
    server = make_server()
    for i in range(3):
        server.reload(wait=False)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            with server.smtp() as c:
                c.ehlo()
                c.expect("NOOP", 250)


def test_stop_lets_a_transaction_finish(make_server):
    server = make_server()
    busy, idle = ready(server), ready(server)
    busy.mail("a@client.example")
    busy.rcpt("user@local.example")
    server.process.send_signal(15)
    assert idle.read_reply().code == 421
    busy.expect("DATA", 354)
    busy.send(b"Subject: last\r\n\r\nx\r\n.\r\n")
    assert busy.read_reply().code == 250
    assert busy.read_reply().code == 421
    assert server.stop() == 0
    server.start()
    assert b"Subject: last" in server.maildir("user").wait(1)[0]
