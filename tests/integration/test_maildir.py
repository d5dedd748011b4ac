# SPDX-License-Identifier: ISC
"""The mailbox agent: Maildirs below a base, with the queue played by a bed."""
import os
import re
import stat
import subprocess
import time

import pytest

from tests.harness.bed_delivery import DeliveryBed
from tests.harness.maildir import Maildir
from tests.harness.postern import wait_until

TRACE = b"Received: by bed\r\n"
HEAD = b"Return-Path: <s@a.example>\nX-Original-To: r@b.example\nDelivered-To: r@b.example\nReceived: by bed\n"


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base"
    path.mkdir(mode=0o700)
    return str(path)


@pytest.fixture
def bed(base):
    with DeliveryBed({"hostname": "mx.test.example"}, bases=[base]) as b:
        yield b


def box(bed, session, base, path):
    begin = len(bed.lines)
    bed.order(f"open {session} maildir {base} {path}")
    return bed.wait(f"^session {session} (up|failed)", begin=begin)


def test_a_message_in_a_maildir_that_was_missing(bed, base):
    assert box(bed, 1, base, "shop/user/") == f"session 1 up {base}/shop/user/"
    result = bed.deliver(1, "s@a.example", ["r@b.example"], content=b"Subject: x\r\n\r\n.dot\r\nend\r\n")
    assert (result.outcomes[0].status, result.outcomes[0].esc) == ("delivered", "2.0.0")
    assert result.is_up and result.relay == f"{base}/shop/user/"
    home = os.path.join(base, "shop/user")
    assert Maildir(home).messages() == [HEAD + b"Subject: x\n\n.dot\nend\n"]
    assert sorted(os.listdir(home)) == ["cur", "new", "tmp"] and os.listdir(home + "/tmp") == []
    for path in (os.path.dirname(home), home, home + "/new", home + "/cur", home + "/tmp"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    name = os.listdir(home + "/new")[0]
    assert re.fullmatch(r"\d{10}\.M\d+P\d+Q\d+\.mx\.test\.example,S=\d+", name)
    path = os.path.join(home, "new", name)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.stat(path).st_size == int(name.rsplit("=", 1)[1])


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 200000, 3000000])
@pytest.mark.parametrize("rcpts", [1, 3])
def test_content_of_any_size_for_each_recipient(bed, base, size, rcpts):
    content = (b"line of text\r\n" * (size // 14 + 1))[:size]
    box(bed, 1, base, "u/")
    to = [f"r{i}@b.example" for i in range(rcpts)]
    result = bed.deliver(1, "", to, content=content, timeout=30)
    assert [o.status for o in result.outcomes] == ["delivered"] * rcpts
    want = [b"Return-Path: <>\nX-Original-To: %s\nDelivered-To: %s\nReceived: by bed\n" % (a.encode(), a.encode()) +
            content.replace(b"\r\n", b"\n") for a in to]
    assert sorted(Maildir(base + "/u").messages()) == sorted(want)


def test_only_crlf_becomes_lf(bed, base):
    content = b"a\rb\r\r\nc\nd\r\n\0e\r" + b"x" * 70000 + b"\r\n\r"
    box(bed, 1, base, "u/")
    assert bed.deliver(1, "s@a.example", ["r@b.example"], content=content).outcomes[0].status == "delivered"
    assert Maildir(base + "/u").messages() == [HEAD + content.replace(b"\r\n", b"\n")]


def test_the_address_before_aliases(bed, base):
    box(bed, 1, base, "u/")
    bed.deliver(1, "s@a.example", ["r@b.example"], orig="alias@b.example")
    assert b"X-Original-To: alias@b.example\nDelivered-To: r@b.example\n" in Maildir(base + "/u").messages()[0]


@pytest.mark.parametrize("size", [0, 70000], ids=["small", "streamed"])
def test_a_loop_is_returned(bed, base, size):
    content = b"Delivered-To: R@B.example\r\nDelivered-To: r@B.example\r\n\r\n" + b"x\r\n" * (size // 3)
    box(bed, 1, base, "u/")
    result = bed.deliver(1, "s@a.example", ["r@b.example", "q@b.example"], content=content)
    assert [(o.status, o.esc) for o in result.outcomes] == [("bounced", "5.4.6"), ("delivered", "2.0.0")]
    assert len(Maildir(base + "/u").messages()) == 1


def test_delivered_to_in_the_body_is_no_loop(bed, base):
    box(bed, 1, base, "u/")
    result = bed.deliver(1, "s@a.example", ["r@b.example"], content=b"Subject: x\r\n\r\nDelivered-To: r@b.example\r\n")
    assert result.outcomes[0].status == "delivered"


@pytest.mark.parametrize("path", ["../out/", "a/../../out/", "/etc/", "link/", "a/link2/", "link3/"])
def test_no_path_leads_out_of_the_base(bed, base, tmp_path, path):
    out = tmp_path / "out"
    out.mkdir()
    os.symlink(str(out), base + "/link")
    os.mkdir(base + "/a")
    os.symlink("../../out", base + "/a/link2")
    os.symlink("/proc/self/cwd", base + "/link3")
    line = box(bed, 1, base, path)
    if " up " in line:
        result = bed.deliver(1, "s@a.example", ["r@b.example"])
        assert result.outcomes[0].status == "deferred" and result.outcomes[0].esc[0] == "4"
    assert list(out.iterdir()) == []


def test_a_symlink_within_the_base_is_followed(bed, base):
    os.makedirs(base + "/old")
    os.symlink("old", base + "/new-name")
    box(bed, 1, base, "new-name/")
    assert bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0].status == "delivered"
    assert len(Maildir(base + "/old").messages()) == 1


@pytest.mark.parametrize("part", ["tmp", "new"])
def test_a_symlink_for_a_part_of_the_maildir_is_not(bed, base, part):
    os.makedirs(base + "/u/elsewhere")
    os.symlink("elsewhere", f"{base}/u/{part}")
    box(bed, 1, base, "u/")
    assert bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0].status == "deferred"
    assert os.listdir(base + "/u/elsewhere") == []


def test_an_unknown_base(bed, tmp_path):
    assert "failed 451 4.3.5" in box(bed, 1, str(tmp_path), "u/")


def test_a_file_in_the_way(bed, base):
    open(base + "/u", "w").close()
    box(bed, 1, base, "u/")
    o = bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0]
    assert (o.status, o.esc) == ("deferred", "4.2.0") and "Not a directory" in o.text
    os.unlink(base + "/u")
    assert bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0].status == "delivered"


def test_a_maildir_removed_while_it_is_open(bed, base):
    box(bed, 1, base, "u/")
    assert bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0].status == "delivered"
    subprocess.run(["rm", "-r", base + "/u"], check=True)
    assert bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0].status == "delivered"
    assert len(Maildir(base + "/u").messages()) == 1


def test_what_was_left_in_tmp_goes_after_36_hours(bed, base):
    for part in ("tmp", "new", "cur"):
        os.makedirs(f"{base}/u/{part}")
    for name, age in (("stale", 37), ("fresh", 35), (".hidden", 40)):
        path = f"{base}/u/tmp/{name}"
        open(path, "w").close()
        os.utime(path, (time.time() - age * 3600,) * 2)
    # ctime cannot be set back: nothing is removed that was touched in any way since.
    box(bed, 1, base, "u/")
    assert bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0].status == "delivered"
    assert sorted(os.listdir(base + "/u/tmp")) == [".hidden", "fresh", "stale"]


@pytest.mark.root
def test_a_full_disk_defers_and_recovers(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mount)], capture_output=True).returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    try:
        with DeliveryBed(bases=[str(mount)]) as bed:
            box(bed, 1, str(mount), "u/")
            for content in (b"x\r\n" * 20000, b"x\r\n" * 700000):
                filler = mount / "filler"
                filler.write_bytes(b"f" * (1000 * 1024))
                o = bed.deliver(1, "s@a.example", ["r@b.example", "q@b.example"], content=content).outcomes
                assert [(x.status, x.esc) for x in o] == [("deferred", "4.3.1")] * 2 and "No space left" in o[0].text
                assert os.listdir(mount / "u/tmp") == [] and os.listdir(mount / "u/new") == []
                filler.unlink()
            assert bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0].status == "delivered"
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_many_mailboxes_at_once(bed, base):
    jobs = []
    for i in range(30):
        box(bed, i + 1, base, f"u{i}/")
        jobs += [bed.job(i + 1, "s@a.example", ["r@b.example"]) for _ in range(2)]
    assert all(bed.result(j).outcomes[0].status == "delivered" for j in jobs)
    names = [n for i in range(30) for n in os.listdir(f"{base}/u{i}/new")]
    assert len(names) == len(set(names)) == 60
    for i in range(30):
        bed.close_session(i + 1)


def test_damaged_content_leaves_nothing(bed, base):
    box(bed, 1, base, "u/")
    bed.order("data hold")
    job = bed.job(1, "s@a.example", ["r@b.example"], content=b"x\r\n" * 60000)
    bed.order(f"abort {job}")
    bed.order("data release")
    result = bed.result(job)
    assert result.outcomes[0].status == "deferred" and result.is_up
    assert Maildir(base + "/u").messages() == []
    assert bed.deliver(1, "s@a.example", ["r@b.example"]).outcomes[0].status == "delivered"
    assert os.listdir(base + "/u/tmp") == []


def test_a_result_survives_the_queue(bed, base):
    bed.order("ack none")
    box(bed, 1, base, "u/")
    job = bed.job(1, "s@a.example", ["r@b.example"])
    bed.result(job)
    bed.order("qmgr lose")
    bed.order("qmgr new")
    assert bed.result(job, count=2).outcomes[0].status == "delivered"
    bed.wait("^inventory_end", count=2)
    assert len(Maildir(base + "/u").messages()) == 1


def test_stop_ends_the_agent(bed, base):
    box(bed, 1, base, "u/")
    job = bed.job(1, "s@a.example", ["r@b.example"])
    bed.order("stop 5000")
    result = bed.result(job)
    assert result.outcomes[0].status == "delivered" or result.outcomes[0].is_untried
    bed.wait("^exit 0")
    wait_until(lambda: not os.path.exists(f"/proc/{bed.pid}"), what="end of the agent")
