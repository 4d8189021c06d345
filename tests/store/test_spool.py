"""Lines in files: none is lost that was appended, and there is an end to how many there are."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.store.spool import Spool


def line(number: int) -> bytes:
    return b"%d\n" % number


def take(spool: Spool) -> list[int]:
    """Everything that can be taken, which is gone then."""
    found = []
    for piece in spool.pieces():
        found += [int(text) for text in piece.lines]
        piece.remove()
        piece.release()
    return found


@contextmanager
def full_disk(most: int = 0):
    """No file of this process grows over `most` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@given(st.lists(st.integers(1, 5), max_size=8), st.integers(1, 40))
def test_what_was_appended_is_taken_once_and_in_its_order(tmp_path_factory, closings, piece):
    spool = Spool(tmp_path_factory.mktemp("spool") / "a", piece=piece)
    number, found = 0, []
    for count in closings:
        for _ in range(count):
            spool.append(line(number))
            number += 1
        spool.close()
        found += take(spool)
    assert found == list(range(number))
    assert take(spool) == []
    assert (spool.dropped, spool.disk_failed) == (0, False)


def test_a_file_is_nobody_elses_while_it_is_written_or_taken(tmp_path):
    spool, other = Spool(tmp_path), Spool(tmp_path)
    spool.append(line(1))
    assert take(other) == []
    spool.close()
    (piece,) = other.pieces()
    assert list(spool.pieces()) == []
    piece.release()
    assert take(spool) == [1]


def test_what_a_dead_process_left_is_found_without_the_line_it_did_not_finish(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from retinue.store.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "for n in range(100): spool.append(b'%d\\n' % n)\n"
        "os.write(spool._descriptor, b'7')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert take(Spool(tmp_path)) == list(range(100))


def test_a_full_disk_is_waited_for_in_memory_and_no_line_is_cut(tmp_path):
    spool = Spool(tmp_path)
    spool.append(line(1))
    with full_disk(5):
        spool.append(line(1234567))
        spool.append(line(3))
        assert spool.disk_failed
    spool.close()
    assert not spool.disk_failed
    assert take(spool) == [1, 1234567, 3]
    assert spool.dropped == 0


def test_lines_in_memory_can_be_lifted_and_put_back(tmp_path):
    spool = Spool(tmp_path / "file")
    (tmp_path / "file").write_text("no folder")
    spool.append(line(1))
    lifted = spool.lift()
    assert (lifted, spool.disk_failed) == ([line(1)], False)
    spool.put_back(lifted)
    assert spool.disk_failed


def test_memory_has_an_end_and_the_oldest_go_first(tmp_path):
    spool = Spool(tmp_path, held=10)
    with full_disk():
        for number in range(100, 110):
            spool.append(line(number))
        assert spool.lift() == [line(108), line(109)]
    assert spool.dropped == 8


def test_the_folder_has_an_end_and_the_oldest_go_first(tmp_path):
    spool = Spool(tmp_path, most=40, piece=8)
    for number in range(100, 150):
        spool.append(line(number))
    spool.close()
    left = take(spool)
    assert left == list(range(150 - len(left), 150))
    assert spool.dropped == 50 - len(left)
    assert 5 <= len(left) <= 10


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_only_this_user_reads_it_and_git_leaves_it_alone(tmp_path):
    folder = tmp_path / ".retinue" / "spool"
    Spool(folder).append(line(1))
    assert (tmp_path / ".retinue" / ".gitignore").read_text() == "*\n"
    (file,) = Path(folder).glob("*.jsonl")
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o077) == (0o600, 0)
