"""A real Redis for tests: a process of its own, that can be killed, stopped and started again."""

import shutil
import signal
import socket
import subprocess
import time

PROGRAM = shutil.which("redis-server")


class Redis:
    """A server on a loopback port; nothing of it is on disk."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self, *words: str) -> None:
        """Bring it (back), empty."""
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "")
        self.process = subprocess.Popen(
            [PROGRAM, *options, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        """End it as a failing machine would."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It takes connections and says nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)
