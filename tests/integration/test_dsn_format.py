# SPDX-License-Identifier: ISC
"""Failure reports as another program reads them: Python's email package takes apart what lib/mail/dsn.c builds."""
import email
import email.policy
import os
import subprocess

import pytest

from tests.harness.postern import build_dir

PLAIN = b"From: alice@example.org\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nOne line\r\n--=_0ABC.1_0--\r\nAnother\r\n"
EIGHT = "From: alice@example.org\r\nSubject: gr\u00fc\u00dfe\r\n\r\ntext \u00e4\r\n".encode()


def sample(case, original=PLAIN):
    tool = os.path.join(build_dir(), "tests", "tools", "dsn_sample")
    raw = subprocess.run([tool, case], input=original, stdout=subprocess.PIPE, check=True, timeout=20).stdout
    msg = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
    assert not [d for part in msg.walk() for d in part.defects], "the report is malformed"
    assert msg.get_content_type() == "multipart/report" and msg.get_param("report-type") == "delivery-status"
    assert msg["Auto-Submitted"] == "auto-replied" and msg["MIME-Version"] == "1.0" and msg["Date"].datetime
    parts = msg.get_payload()
    assert len(parts) == 3
    return raw, msg, parts


def status_fields(part):
    """The groups of fields of message/delivery-status: per message, then per recipient."""
    return [dict(group.items()) for group in part.get_payload()]


def test_failed_report_has_text_status_and_original():
    raw, msg, (text, status, original) = sample("failed")
    assert msg["To"].addresses[0].addr_spec == "alice@example.org" and msg["From"].addresses[0].addr_spec == "MAILER-DAEMON@mx1.example.org"
    assert msg["References"] == "<1@example.org>"
    assert "<bob@example.com>" in text.get_content() and "you wrote to <sales@example.org>" in text.get_content()
    assert status.get_content_type() == "message/delivery-status"
    head, bob, odd = status_fields(status)
    assert head["Reporting-MTA"] == "dns; mx1.example.org" and head["Original-Envelope-Id"] == "QQ+1"
    assert bob["Action"] == "failed" and bob["Status"] == "5.1.1" and bob["Remote-MTA"] == "dns; mx.example.com"
    assert bob["Final-Recipient"] == "rfc822; bob@example.com" and bob["Original-Recipient"] == "rfc822; sales@example.org"
    assert bob["Diagnostic-Code"].split() == ("smtp; 550 5.1.1 No such user, ? and a text that is so long that it does "
                                              "not fit on one line of a report").split()
    assert odd["Original-Recipient"] == 'rfc822; "odd one"@example.net' and odd["Status"] == "4.4.1"
    assert original.get_content_type() == "message/rfc822"
    inner = original.get_payload(0)
    assert inner["Subject"] == "hello" and "--=_0ABC.1_0--\n" in inner.get_content().replace("\r\n", "\n")
    assert PLAIN in raw
    assert all(len(line) <= 998 for line in raw.split(b"\r\n")) and b"\n" not in raw.replace(b"\r\n", b"")


def test_only_the_header_comes_back_when_asked_for():
    raw, _, (_, _, original) = sample("hdrs")
    assert original.get_content_type() == "text/rfc822-headers"
    assert "Subject: hello" in original.get_payload() and b"One line" not in raw


def test_original_with_8bit_bytes_is_declared_8bit():
    _, msg, (_, _, original) = sample("failed", EIGHT)
    assert msg["Content-Transfer-Encoding"] == "8bit" and original["Content-Transfer-Encoding"] == "8bit"
    assert original.get_payload(0).get_content() == "text \u00e4\r\n" or "text" in original.get_payload(0).get_payload()


@pytest.mark.parametrize("original", [b"", b"no header\r\n", b"A: b\nbare\n", b"A: \0\r\n\r\n\0", b"A: " + b"x" * 5000 + b"\r\n\r\n"])
def test_odd_originals_never_break_the_report(original):
    raw, _, parts = sample("failed", original)
    assert b"\0" not in raw and all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert status_fields(parts[1])[1]["Action"] == "failed"


def test_delay_says_until_when():
    _, msg, (text, status, _) = sample("delayed")
    assert "delayed" in msg["Subject"] and "still" in text.get_content()
    assert all(r["Action"] == "delayed" and r["Will-Retry-Until"] for r in status_fields(status)[1:])


def test_success_names_delivered_and_relayed():
    _, _, (_, status, _) = sample("success")
    assert [r["Action"] for r in status_fields(status)[1:]] == ["delivered", "relayed"]


@pytest.mark.parametrize("case,enclosed", [("utf8", "message/global-headers"), ("utf8-sender", "message/global")])
def test_utf8_addresses_use_the_global_types(case, enclosed):
    raw, _, (text, status, original) = sample(case, EIGHT)
    assert status.get_content_type() == "message/global-delivery-status"
    assert original.get_content_type() == enclosed
    assert "j\u00fcrgen@example.com" in text.get_content()
    assert "Final-Recipient: utf-8; j\u00fcrgen@example.com\r\n".encode() in raw
