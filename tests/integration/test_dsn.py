# SPDX-License-Identifier: ISC
"""Reports to senders: who gets one, how many, and what it says."""
import email
import email.policy
import time

import pytest

from tests.harness.nexthop import EXTENSIONS, NextHop
from tests.harness.postern import wait_until
from tests.harness.smtp import message

RETRY = {"first": "300ms", "factor": 1, "max": "300ms", "jitter": 0}


def relay(hop, name="hop.example"):
    return {f'domain "{name}"': {"class": "relay", "next_hop": f"[127.0.0.1]:{getattr(hop, 'port', hop)}"}}


def send(server, rcpts, sender="b@local.example", **kw):
    with server.smtp() as c:
        c.ehlo()
        return c.send_mail(sender, rcpts, kw.pop("content", None) or message(**kw.pop("msg", {})), **kw)


def takes_mail(server):
    with server.smtp() as c:
        c.ehlo()
        return c.cmd("MAIL FROM:<>").code == 250


class Report:
    """A report taken apart."""

    def __init__(self, raw):
        self.raw = raw
        self.msg = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
        self.text, self.status, self.original = self.msg.get_payload()
        self.groups = [dict(g.items()) for g in self.status.get_payload()]

    def rcpts(self):
        return {g["Final-Recipient"].split("; ")[1]: g for g in self.groups[1:]}


def reports(server, count=1, name="b"):
    return [Report(raw) for raw in server.maildir(name).wait(count)]


@pytest.fixture
def refusing(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = lambda s, line: "550 5.1.1 No such user here" if "<x" in line else None
    server = make_server({"retry": RETRY, **relay(hop)})
    server.hop = hop
    return server


def test_a_failure_is_reported_once_with_all_that_failed(refusing):
    qid = send(refusing, ["x1@hop.example", "u@hop.example", "x2@hop.example"], msg={"subject": "the subject"})
    report = reports(refusing)[0]
    assert report.msg["From"].addresses[0].addr_spec == "MAILER-DAEMON@mx.test.example"
    assert report.msg["To"].addresses[0].addr_spec == "b@local.example" and report.msg["Auto-Submitted"] == "auto-replied"
    assert sorted(report.rcpts()) == ["x1@hop.example", "x2@hop.example"]
    one = report.rcpts()["x1@hop.example"]
    assert (one["Action"], one["Status"]) == ("failed", "5.1.1")
    assert one["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user here" and one["Remote-MTA"].startswith("dns; ")
    assert report.groups[0]["Reporting-MTA"] == "dns; mx.test.example"
    assert report.original.get_content_type() == "message/rfc822"
    inner = report.original.get_payload(0)
    assert inner["Subject"] == "the subject" and qid in inner["Received"] and "hello" in inner.get_content()
    assert report.raw.startswith(b"Return-Path: <>\r\n") or b"\nReturn-Path: <>" in report.raw or b"Return-Path: <>" in report.raw
    refusing.wait_log(rf"removed qid={qid}")
    refusing.wait_empty()
    time.sleep(0.3)
    assert len(refusing.maildir("b").files()) == 1


@pytest.mark.parametrize("notify,is_told", [("NEVER", False), ("SUCCESS", False), ("DELAY", False), ("FAILURE", True),
                                            ("SUCCESS,FAILURE", True)])
def test_notify_decides_about_a_failure(refusing, notify, is_told):
    qid = send(refusing, "x@hop.example", rcpt_params=f"NOTIFY={notify}")
    refusing.wait_log(rf"bounced .*qid={qid}")
    refusing.wait_log(rf"removed qid={qid}")
    time.sleep(0.2)
    assert len(refusing.maildir("b").files()) == is_told


def test_ret_envid_and_orcpt(refusing):
    send(refusing, "x@hop.example", mail_params="RET=HDRS ENVID=id+2B1", rcpt_params="ORCPT=rfc822;old+2Bx@old.example",
         msg={"body": "secret body\r\n"})
    report = reports(refusing)[0]
    assert report.groups[0]["Original-Envelope-Id"] == "id+1"
    assert report.rcpts()["x@hop.example"]["Original-Recipient"] == "rfc822; old+x@old.example"
    assert report.original.get_content_type() == "text/rfc822-headers" and b"secret body" not in report.raw


def test_a_large_original_comes_back_as_its_header(make_server, make_hop):
    hop = make_hop()
    hop.on["MAIL"] = "552 5.3.4 too big"
    server = make_server({"limits": {"bounce_size": "10K"}, **relay(hop)})
    send(server, "x@hop.example", msg={"size": 200000, "subject": "large"})
    report = reports(server)[0]
    assert report.original.get_content_type() == "text/rfc822-headers" and b"Subject: large" in report.raw
    assert len(report.raw) < 10000


def test_success_in_a_mailbox_of_ours_is_delivered(make_server):
    server = make_server()
    send(server, "user@local.example", rcpt_params="NOTIFY=SUCCESS", mail_params="ENVID=abc")
    server.maildir("user").wait(1)
    report = reports(server)[0]
    one = report.rcpts()["user@local.example"]
    assert (one["Action"], one["Status"][0]) == ("delivered", "2") and report.groups[0]["Original-Envelope-Id"] == "abc"
    assert report.original.get_content_type() == "text/rfc822-headers"
    server.wait_empty()


def test_success_at_a_hop_without_dsn_is_relayed(make_server, make_hop):
    hop = make_hop(extensions=[x for x in EXTENSIONS if x != "DSN"])
    server = make_server(relay(hop))
    send(server, "u@hop.example", rcpt_params="NOTIFY=SUCCESS")
    assert reports(server)[0].rcpts()["u@hop.example"]["Action"] == "relayed"
    server.wait_empty()


def test_success_at_a_hop_with_dsn_is_its_own_business(make_server, make_hop):
    hop = make_hop()
    server = make_server(relay(hop))
    qid = send(server, "u@hop.example", rcpt_params="NOTIFY=SUCCESS,DELAY ORCPT=rfc822;u@hop.example", mail_params="ENVID=e1 RET=HDRS")
    got = hop.wait(1)[0]
    assert "NOTIFY=" in str(got.rcpt_params) and "ENVID=e1" in str(got.mail_params)
    server.wait_log(rf"removed qid={qid}")
    time.sleep(0.2)
    assert server.maildir("b").files() == []


def test_a_delay_is_told_once(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = "450 4.2.0 later"
    server = make_server({"retry": {**RETRY, "warn_after": "1s", "expire": "1h"}, **relay(hop)})
    send(server, ["u@hop.example", "v@hop.example"])
    qid = send(server, "w@hop.example", rcpt_params="NOTIFY=FAILURE")
    report = reports(server)[0]
    wait_until(lambda: len(server.log_lines(r" deferred .*to=u@")) >= 8, 20, "more attempts")
    told = [r for raw in server.maildir("b").messages() for r in [Report(raw)]]
    rcpts = [address for r in told for address in r.rcpts()]
    assert sorted(rcpts) == ["u@hop.example", "v@hop.example"], "told twice, or although nobody asked"
    one = report.rcpts()["u@hop.example"]
    assert one["Action"] == "delayed" and one["Status"] == "4.2.0" and one["Will-Retry-Until"]
    assert qid not in report.raw.decode()


def test_a_delay_of_a_dead_site_is_told(make_server):
    from tests.harness.ports import free_port
    server = make_server({"retry": {**RETRY, "warn_after": "1s", "expire": "1h"}, **relay(free_port())})
    for i in range(3):
        send(server, f"u{i}@hop.example")
    got = reports(server, 3)
    assert sorted(a for r in got for a in r.rcpts()) == [f"u{i}@hop.example" for i in range(3)]
    assert all(g["Action"] == "delayed" for r in got for g in r.groups[1:])


def test_a_report_that_cannot_be_delivered_goes_to_the_postmaster_once(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = "550 5.7.1 go away"
    server = make_server({"postmaster": "user@local.example", **relay(hop)})
    send(server, "x@hop.example", sender="forged@hop.example")
    report = reports(server, name="user")[0]
    assert list(report.rcpts()) == ["forged@hop.example"]
    server.wait_empty()
    time.sleep(0.3)
    assert len(server.maildir("user").files()) == 1


def test_a_report_to_a_postmaster_that_does_not_work_ends_in_the_log(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = "550 5.7.1 go away"
    server = make_server({"postmaster": "p@hop.example", **relay(hop)})
    send(server, "x@hop.example", sender="forged@hop.example")
    server.wait_log("unreported ")
    server.wait_empty()
    assert len(server.log_lines(" bounced ")) == 3


def test_a_message_without_sender_never_causes_a_report(refusing):
    refusing.write_conf({"postmaster": "b@local.example"})
    refusing.reload()
    qid = send(refusing, "x@hop.example", sender="")
    refusing.wait_log(rf"bounced .*qid={qid}")
    refusing.wait_log(rf"unreported qid={qid}")
    refusing.wait_log(rf"removed qid={qid}")
    refusing.wait_empty()
    assert refusing.maildir("b").files() == []


def test_an_address_in_utf8(refusing):
    send(refusing, "x\u00fc@hop.example", mail_params="SMTPUTF8 BODY=8BITMIME")
    report = reports(refusing)[0]
    assert report.status.get_content_type() == "message/global-delivery-status"
    assert "Final-Recipient: utf-8; x\u00fc@hop.example".encode() in report.raw


def test_a_report_is_stored_once_whatever_dies(make_server, make_hop):
    hop = make_hop()
    hop.on["RCPT"] = "550 5.1.1 no"
    server = make_server(relay(hop))
    for i in range(5):
        send(server, [f"x{i}@hop.example", f"y{i}@hop.example"])
        if i % 2:
            pid = server.kill("qmgr")
            server.wait_new_pid("qmgr", pid)
            wait_until(lambda: takes_mail(server), 10, "mail is taken again")
    reports(server, 5)
    server.wait_empty()
    time.sleep(0.3)
    got = [Report(raw) for raw in server.maildir("b").messages()]
    assert sorted(a for r in got for a in r.rcpts()) == sorted(f"{c}{i}@hop.example" for c in "xy" for i in range(5))
