"""Scripts that mean harm: none reaches a file, a process, the network or a secret, or stays."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts import SMALL, linux_only, ran

from retinue.run.sandbox.process import missing_layers

pytestmark = linux_only

TRY = """
def attempt(name, does):
    try:
        print(name, "DONE", does())
    except BaseException as error:
        print(name, "no:", type(error).__name__)
"""


@pytest.fixture(autouse=True)
async def whole_sandbox():
    missing = await missing_layers()
    for layer in ("files", "calls"):
        if layer in missing:
            pytest.skip(f"this kernel lacks {layer}: {missing[layer]}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "skill" / "references").mkdir(parents=True)
    (tmp_path / "skill" / "references" / "guide.md").write_text("be tidy")
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "skill" / "link").symlink_to(tmp_path / "secret")
    return tmp_path / "skill"


async def test_files_of_others_are_out_of_reach(root: Path) -> None:
    result = await ran(
        root,
        TRY
        + """
import os, sys
secret, home, parent = sys.argv[1:]
for path in ("/etc/passwd", "/etc/shadow", home + "/.bashrc", home + "/.ssh", secret, "/tmp",
             "/root", "/home", "/proc/self/environ", "/proc/self/maps", f"/proc/{parent}/environ",
             f"/proc/{parent}/cmdline", f"/proc/{parent}/mem", f"/proc/{parent}/fd",
             f"/proc/{os.getppid()}/environ", "/sys/kernel", "/dev/shm", "/var/log", "/run",
             f"{os.path.dirname(__file__)}/../link", "/usr/src"):
    attempt(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path, "rb").read())
os.symlink(secret, "own-link")
attempt("own link", lambda: open("own-link").read())
attempt("hard link", lambda: os.link(secret, "hard"))
attempt("moved", lambda: os.rename(secret, "mine"))
attempt("guide", lambda: open(os.path.dirname(__file__) + "/../references/guide.md").read())
""",
        args=[str(root.parent / "secret"), str(Path.home()), str(os.getpid())],
    )
    lines = [line for line in result.out.splitlines() if "DONE" in line]
    assert lines == ["guide DONE be tidy"], result
    assert "hunter2" not in result.out
    assert result.files == []


async def test_nothing_is_written_or_changed_elsewhere(root: Path) -> None:
    secret = root.parent / "secret"
    before = secret.stat()
    result = await ran(
        root,
        TRY
        + """
import os, sys
secret, root = sys.argv[1:]
for path in (secret, root + "/scripts/script.py", root + "/new", "/tmp/new", "/dev/shm/new",
             "/var/tmp/new", "/etc/new"):
    attempt(path, lambda: open(path, "a").write("x"))
attempt("truncated", lambda: os.truncate(secret, 0))
attempt("deleted", lambda: os.unlink(secret))
attempt("folder", lambda: os.mkdir(root + "/folder"))
attempt("device", lambda: os.mknod("device", 0o60600, os.makedev(8, 0)))
# These only seem to work.
os.chmod(secret, 0o777); os.chown(secret, 1, 1); os.utime(secret, (0, 0))
print("alive")
""",
        args=[str(secret), str(root)],
    )
    assert "DONE" not in result.out, result
    assert result.out.endswith("alive\n")
    after = secret.stat()
    assert secret.read_text() == "hunter2"
    assert (after.st_mode, after.st_uid, after.st_mtime) == (
        before.st_mode,
        before.st_uid,
        before.st_mtime,
    )
    assert names(root) == {"link", "references", "scripts"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_there_is_no_network_of_any_kind(root: Path, tmp_path: Path) -> None:
    with (
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        named.bind(str(tmp_path / "s"))
        named.listen()
        abstract.bind(f"\0retinue-test-{os.getpid()}")
        abstract.listen()
        result = await ran(
            root,
            TRY
            + """
import os, socket, sys, urllib.request
port, name, abstract = int(sys.argv[1]), sys.argv[2], "\\0" + sys.argv[3]
def over(family, kind, address):
    s = socket.socket(family, kind); s.connect(address); s.send(b"x"); return s
attempt("tcp", lambda: over(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)))
attempt("tcp6", lambda: over(socket.AF_INET6, socket.SOCK_STREAM, ("::1", port)))
attempt("udp", lambda: over(socket.AF_INET, socket.SOCK_DGRAM, ("8.8.8.8", 53)))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("packet", lambda: socket.socket(17, socket.SOCK_RAW))
attempt("netlink", lambda: socket.socket(16, socket.SOCK_RAW))
attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("named", lambda: over(socket.AF_UNIX, socket.SOCK_STREAM, name))
attempt("abstract", lambda: over(socket.AF_UNIX, socket.SOCK_STREAM, abstract))
attempt("pair", lambda: socket.socketpair(socket.AF_INET))
attempt("name", lambda: socket.getaddrinfo("example.com", 80))
attempt("url", lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=1))
a, b = socket.socketpair()
a.send(b"x"); print("own pair", b.recv(1))
import asyncio; asyncio.run(asyncio.sleep(0)); print("loop")
""",
            args=[str(tcp.getsockname()[1]), str(tmp_path / "s"), f"retinue-test-{os.getpid()}"],
        )
    assert "DONE" not in result.out, result
    assert result.out.endswith("own pair b'x'\nloop\n")


async def test_other_processes_are_out_of_reach(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:  # noqa: ASYNC220
        result = await ran(
            root,
            TRY
            + """
import ctypes, os, resource, signal, sys
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
libc = ctypes.CDLL(None, use_errno=True)
other, parent = map(int, sys.argv[1:])
for pid in (other, parent, os.getppid(), 1):
    attempt(f"kill {pid}", lambda: os.kill(pid, signal.SIGKILL))
    attempt(f"limit {pid}", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, 0)))
    attempt(f"priority {pid}", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    attempt(f"processors {pid}", lambda: os.sched_setaffinity(pid, {0}))
    attempt(f"group {pid}", lambda: os.killpg(pid, signal.SIGKILL) if pid > 1 else 1 / 0)
    print("trace", "no:" if libc.ptrace(16, pid, 0, 0) else "DONE")
try: os.kill(-1, signal.SIGUSR1)
except OSError: pass
calls = {"process_vm_readv": 310, "pidfd_getfd": 438, "bpf": 321, "keyctl": 250, "mount": 165,
         "unshare": 272, "setns": 308, "perf_event_open": 298, "io_uring_setup": 425,
         "userfaultfd": 323, "memfd_create": 319, "clone3": 435, "open_by_handle_at": 304,
         "add_key": 248, "x32 socket": 0x40000000 + 41, "landlock of the future": 500,
         "clone a namespace": 56}
if os.uname().machine == "x86_64":
    for name, number in calls.items():
        first = 0x10000000 if name in ("unshare", "clone a namespace") else 0
        print(name, "no:" if libc.syscall(number, first, 0, 0, 0, 0) == -1 else "DONE")
print("alive")
""",
            args=[str(other.pid), str(os.getpid())],
        )
        assert other.poll() is None
        other.kill()
    assert "DONE" not in result.out, result
    assert result.out.endswith("alive\n")
    assert os.sched_getaffinity(0) != {0} or os.cpu_count() == 1


async def test_nothing_of_the_environment_or_the_open_files_gets_in(root: Path) -> None:
    os.environ["RETINUE_TEST_SECRET"] = "hunter2"
    secret = (root.parent / "secret").open()
    os.set_inheritable(secret.fileno(), True)
    try:
        result = await ran(
            root,
            TRY
            + """
import os, stat
print(sorted(os.environ))
for number in range(3, 256):
    try:
        os.fstat(number); print("DONE", number)
    except OSError:
        pass
print([stat.S_ISFIFO(os.fstat(n).st_mode) for n in range(3)], os.getsid(0) == os.getpid())
attempt("terminal", lambda: open("/dev/tty"))
""",
        )
    finally:
        secret.close()
        del os.environ["RETINUE_TEST_SECRET"]
    assert "DONE" not in result.out, result
    assert "hunter2" not in result.out
    assert result.out.startswith("['HOME', 'LANG', 'PATH', 'TMPDIR']")


def left(marker: str) -> list[str]:
    """The processes that have this in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in command and folder.name != str(os.getpid()):
            found.append(command.decode(errors="replace"))
    return found


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what other processes do."""
    async with asyncio.timeout(30):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


BOMBS = {
    "a fork bomb": (
        "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
        ("more than 16 processes", "took longer"),
    ),
    "a memory bomb": ("x = []\nwhile True: x.append(bytearray(2**20))", None),
    "shared memory": (
        "import mmap\nm = []\nwhile 1:\n m.append(mmap.mmap(-1, 2**24)); m[-1][:] = bytes(2**24)",
        ("more than 256 MiB",),
    ),
    "memory of many": (
        "import os, time\nfor _ in range(3): os.fork()\nx = b'x' * 2**26; time.sleep(9)",
        ("more than 256 MiB",),
    ),
    "one large file": ("open('x', 'wb').write(b'x' * 2**30)", None),
    "many files that fill the disk": (
        "import itertools\nfor n in itertools.count():\n  open(str(n), 'wb').write(b'x' * 2**20)",
        ("more than 24 MiB",),
    ),
    "files that nobody sees": (
        """if True:
        import os, time
        x = []
        for n in range(50):
            x.append(open('x', 'wb'))
            os.unlink('x')
            x[-1].write(b'x' * 2**22)
            x[-1].flush()
        time.sleep(9)""",
        ("more than 24 MiB",),
    ),
    "many empty files": (
        "import itertools\nfor n in itertools.count(): open(str(n), 'w').close()",
        ("more than 200 files",),
    ),
    "a deep folder": (
        "import os\nwhile True:\n  os.mkdir('d' * 200); os.chdir('d' * 200)",
        ("more than 200 files",),
    ),
    "output without end": ("while True: print('x' * 10_000)", ("printed more than 16 MiB",)),
    "errors without end": (
        "import sys\nwhile True: print('x' * 10_000, file=sys.stderr)",
        ("printed more than 16 MiB",),
    ),
    "descriptors": ("x = []\nwhile True: x.append(open('/dev/null'))", None),
}


@pytest.mark.parametrize("kind", BOMBS)
async def test_what_outgrows_its_bounds_is_ended(root: Path, kind: str) -> None:
    text, why = BOMBS[kind]
    result = await ran(root, text, args=[marker := f"bomb-{os.getpid()}"])
    if why is None:
        assert result.outcome.code != 0, result
    else:
        assert any(words in (result.outcome.why or "") for words in why), result
    assert left(marker) == []


STAYING = {
    "endless": "while True: pass",
    "asleep": "import time; time.sleep(600)",
    "deaf": "import signal, time\nfor n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n"
    "  except (OSError, ValueError): pass\ntime.sleep(600)",
    "stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.mark.parametrize("kind", STAYING)
async def test_what_goes_on_is_ended(root: Path, kind: str) -> None:
    marker = f"staying-{os.getpid()}"
    bounds = SMALL._replace(seconds=0.7)
    result = await ran(root, STAYING[kind], args=[marker], bounds=bounds)
    assert result.outcome.why == "it took longer than 0.7 s"
    assert left(marker) == []


ORPHANS = """
import os, subprocess, sys, time
for _ in range(3):
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.setpgid(0, 0)
            for n in range(3): os.close(n)
            time.sleep(600)
        os._exit(0)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]],
                 start_new_session=True, stdout=subprocess.DEVNULL)
print("gone")
"""


async def test_nobody_outlives_the_script(root: Path) -> None:
    marker = f"orphans-{os.getpid()}"
    result = await ran(root, ORPHANS, args=[marker])
    assert result.out == "gone\n", result
    assert result.outcome.code == 0
    assert left(marker) == []


async def test_without_seccomp_orphans_are_found_all_the_same(tmp_path: Path) -> None:
    """The launcher is what orphans come back to: no filter is needed for that."""
    code = (
        "import os, subprocess, sys; from retinue.run.sandbox import libc, watch\n"
        "libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)\n"
        "child = subprocess.Popen([sys.executable, sys.argv[1], sys.argv[2]])\n"
        "child.wait(); print(len(watch.descendants()) >= 4, watch.end_all(child.pid))\n"
    )
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    marker = f"unfiltered-{os.getpid()}"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, str(script), marker],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "gone\nTrue True\n", done
    assert left(marker) == []


async def test_cancelling_a_run_ends_its_script(root: Path) -> None:
    marker = f"cancelled-{os.getpid()}"
    task = asyncio.create_task(ran(root, STAYING["deaf"], args=[marker]))
    await until(lambda: any("script.py" in command for command in left(marker)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(marker) == []


async def test_a_runtime_that_is_killed_takes_its_scripts_along(root: Path, tmp_path: Path) -> None:
    marker = f"killed-{os.getpid()}"
    code = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from scripts import ran\n"
        "asyncio.run(ran(Path(sys.argv[2]), 'import time; time.sleep(600)', args=sys.argv[3:]))\n"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(root), marker]
    (tmp_path / "tmp").mkdir()
    env = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(arguments, env=env) as runtime:  # noqa: ASYNC220
        await until(lambda: any("-X" in command for command in left(marker)))
        runtime.kill()
    await until(lambda: not left(marker))
    await until(lambda: names(tmp_path / "tmp") == set())


async def test_arguments_that_no_pipe_holds_stop_nobody(root: Path) -> None:
    """As JSON they are far longer than what a pipe takes before anyone reads it."""
    args = ["\N{SNOWMAN}\x01" * 100] * 80
    result = await ran(root, "import sys; print(sys.argv[1:] == [sys.stdin.read()] * 80)",
                       args=args, stdin=args[0].encode())  # fmt: skip
    assert result.out == "True\n", result
