# SPDX-License-Identifier: ISC
"""What one message and one refused client look like in each format of the log."""
import json
import os
import re
import shutil
import subprocess

import pytest

from tests.harness.postern import ROOT, wait_until
from tests.harness.smtp import message

QID = r"[0-9A-HJKMNP-TV-Z]{13}"


def use(server):
    """One message delivered, one recipient refused, one relay refused; the queue id."""
    with server.smtp() as c:
        c.ehlo("client.example")
        qid = c.send_mail("a@client.example", ["user@local.example"], message())
        c.mail("a@client.example")
        c.rcpt("nobody@local.example", code=550)
        c.quit()
    server.maildir("user").wait(1)
    server.wait_log(rf"removed.*{qid}|{qid}.*removed")
    return qid


def conf(fmt):
    return {"log": {"format": fmt}, "relay_from": []}


def test_text_follows_a_message_by_one_grep(make_server):
    server = make_server(conf=conf("text"))
    qid = use(server)
    lines = server.log_lines(rf"\bqid={qid}\b")
    events = [re.search(r"^\S+ \w+\[\d+\]: (\w+)", line).group(1) for line in lines]
    assert events == ["received", "delivered", "removed"]
    assert re.search(r" to=user@local\.example .* attempt=1", lines[1])
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d smtpd\[\d+\]: received sid=\S+ qid=", lines[0])


def test_shipped_fail2ban_filter_finds_refused_clients_only(make_server):
    with open(os.path.join(ROOT, "etc/fail2ban/filter.d/postern.conf")) as f:
        regex = re.search(r"^failregex = (.*)$", f.read(), re.M).group(1).replace("<HOST>", r"(?P<host>[0-9a-fA-F.:]+)")
    server = make_server(conf=conf("text"))
    use(server)
    with server.smtp() as c:
        # A client that tries to have somebody else banned.
        c.ehlo("client=192.0.2.1")
        c.mail("client=192.0.2.1@x.example")
        c.rcpt('" client=192.0.2.1 reply=550 5.1.1"@local.example', code=(550, 553))
    server.wait_log(r": reject .*192\.0\.2\.1")
    hits = [m for line in server.log().splitlines() if (m := re.search(regex, line))]
    assert len(hits) == len(server.log_lines(r": reject ")) >= 2
    assert {m.group("host") for m in hits} == {"127.0.0.1"}


def test_json_is_one_object_a_line(make_server):
    server = make_server(conf=conf("json"))
    qid = use(server)
    events = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    mine = {e["event"]: e for e in events if e.get("qid") == qid}
    assert mine["received"]["process"] == "smtpd" and mine["received"]["nrcpt"] == 1
    assert mine["delivered"]["to"] == "user@local.example" and isinstance(mine["delivered"]["delay_ms"], int)
    refused = [e for e in events if e["event"] == "reject"]
    assert refused[0]["to"] == "nobody@local.example" and refused[0]["client"] == "127.0.0.1"


def test_postfix_lines(make_server):
    server = make_server(conf=conf("postfix"))
    qid = use(server)
    head = r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ postfix/"
    for pattern in (rf"smtpd\[\d+\]: {qid}: client=unknown\[127\.0\.0\.1\]$",
                    rf"qmgr\[\d+\]: {qid}: from=<a@client\.example>, size=\d+, nrcpt=1 \(queue active\)$",
                    rf"virtual\[\d+\]: {qid}: to=<user@local\.example>, relay=\S+, delay=[\d.]+, delays=[\d./]+, dsn=2\.\d\.\d, status=sent \(.*\)$",
                    rf"qmgr\[\d+\]: {qid}: removed$",
                    r"smtpd\[\d+\]: NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.1\]: 550 5\.1\.1 <nobody@local\.example>: Recipient address "
                    r"rejected: User unknown.*; from=<a@client\.example> to=<nobody@local\.example> proto=ESMTP helo=<client\.example>$"):
        assert len(server.log_lines(head + pattern)) == 1, pattern


def test_pflogsumm_reads_postfix_lines(make_server):
    pflogsumm = shutil.which("pflogsumm")
    if not pflogsumm:
        pytest.skip("pflogsumm is not installed")
    server = make_server(conf=conf("postfix"))
    use(server)
    out = subprocess.run([pflogsumm, server.stderr_path], capture_output=True, text=True, check=True).stdout
    for want in (r"^\s+1\s+received$", r"^\s+1\s+delivered$", r"^\s+1\s+rejected", r"^\s+0\s+deferred"):
        assert re.search(want, out, re.M), out


@pytest.mark.parametrize("form", ["text", "json", "postfix"])
def test_trace_follows_a_message_in_every_form(make_server, form):
    """By an address that only some of the lines name: the id leads to the others."""
    server = make_server(start=False)
    path = server.path("mail.log")
    server.write_conf({"log": {"to": path, "format": form}})
    server.start()
    with server.smtp() as c:
        c.ehlo()
        qid = c.send_mail("a@client.example", ["user@local.example"], message())
    wait_until(lambda: "removed" in open(path).read(), what="removed")
    for word in (qid, "user@local.example"):
        lines = [line for line in server.postern("trace", word, check=False).stdout.splitlines() if qid in line]
        assert len(lines) == sum(qid in line for line in open(path).read().splitlines()) >= 3, word
