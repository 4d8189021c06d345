"""The folder of a script: what is told of it, and that nothing of it stays."""

import os
from pathlib import Path

import pytest

from retinue.run.sandbox.scratch import MOST_TOLD, Written, scratch_folder, written


async def test_files_are_told_and_gone() -> None:
    async with scratch_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "a").mkdir()
        (folder / "a" / "b.txt").write_text("é")
        (folder / "big.txt").write_text("x" * 10_000)
        (folder / "bin").write_bytes(b"\xff\0")
        (folder / "null.txt").write_bytes(b"a\0")
        (folder / "empty").touch()
        assert written(folder) == (
            [
                Written("a/b.txt", 2, "é"),
                Written("big.txt", 10_000),
                Written("bin", 2),
                Written("empty", 0, ""),
                Written("null.txt", 2),
            ],
            0,
        )
    assert not folder.exists()
    assert not list(folder.parent.glob(f"{folder.name}*"))


async def test_only_regular_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    async with scratch_folder() as folder:
        (folder / "link").symlink_to(tmp_path / "secret")
        (folder / "out").symlink_to(tmp_path)
        (folder / "loop").symlink_to("loop")
        os.mkfifo(folder / "pipe")
        assert written(folder) == ([], 0)
    assert (tmp_path / "secret").read_text() == "hunter2"


async def test_texts_and_files_are_bounded() -> None:
    async with scratch_folder() as folder:
        for number in range(200):
            (folder / f"{number:03}").write_text("x" * 5_000)
        files, more = written(folder)
        assert (len(files), more) == (MOST_TOLD, 200 - MOST_TOLD)
        assert sum(len(file.text or "") for file in files) <= 24_000


@pytest.mark.parametrize("levels", [30, 2_000])
async def test_a_folder_goes_however_deep_or_closed_it_is(levels: int) -> None:
    async with scratch_folder() as folder:
        here = os.open(folder, os.O_RDONLY)
        for _ in range(levels):
            os.mkdir("d" * 100, dir_fd=here)
            below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.mkdir(b"\xff\xfe", dir_fd=here)
        os.fchmod(here, 0)
        os.close(here)
        assert written(folder)[0] == []
    assert not list(folder.parent.glob(f"{folder.name}*"))
