"""Processes of idi-fast without the seconds that imports take: forks of one that has imported the command line.

What `start` returns is used like a `subprocess.Popen` with pipes of text. Only where there are forks, and only for code
that does not depend on being imported anew: what is imported, or read from the environment then, is the server's.
"""

import atexit
import contextlib
import functools
import gc
import io
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

AVAILABLE = sys.platform == "linux"
MOST_BYTES = 1 << 18
IMPORTED = (
    "idi_fast.cli.commands",
    "idi_fast.training.run",
    "idi_fast.backtesting.files",
    "polars",
    "pyarrow",
)


class Process:
    """A process that was forked; the methods and attributes are those of `subprocess.Popen`."""

    def __init__(self, code: str, args: list[str], env: dict[str, str], stdin: bool):
        server = _server()
        streams = [os.pipe() for _ in range(4)]  # stdin, stdout, stderr, and what the server says
        (given, taken), (output, printed), (errors, said), (news, telling) = streams
        about = {"code": code, "args": args, "env": env, "cwd": os.getcwd()}
        socket.send_fds(server, [json.dumps(about).encode()], [given, printed, said, telling])
        for handle in (given, printed, said, telling):
            os.close(handle)
        self.stdin = os.fdopen(taken, "w", encoding="utf-8")
        if not stdin:
            self.stdin.close()
        self.stdout = os.fdopen(output, encoding="utf-8")
        self.stderr = os.fdopen(errors, encoding="utf-8")
        self._news = os.fdopen(news, "rb", buffering=0)
        (self.pid,) = struct.unpack("i", self._news.read(4))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._status(0.0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("idi-fast", timeout or 0.0)
        return status

    def _status(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._news], [], [], timeout)[0]:
            (status,) = struct.unpack("i", self._news.read(4))
            self.returncode = os.waitstatus_to_exitcode(status)
            self._news.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, text: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        read: dict[str, str] = {}

        def take(name: str) -> None:
            with getattr(self, name) as stream:
                read[name] = stream.read()

        threads = [threading.Thread(target=take, args=(name,), daemon=True) for name in ("stdout", "stderr")]
        for thread in threads:
            thread.start()
        if not self.stdin.closed:
            with contextlib.suppress(BrokenPipeError), self.stdin:
                self.stdin.write(text or "")
        patience = None if timeout is None else time.monotonic() + timeout
        for thread in threads:
            thread.join(None if patience is None else max(0.0, patience - time.monotonic()))
            if thread.is_alive():
                raise subprocess.TimeoutExpired("idi-fast", timeout or 0.0)
        self.wait(None if patience is None else max(1.0, patience - time.monotonic()))
        return read["stdout"], read["stderr"]


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-W", "error", __file__, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def serve(control: socket.socket) -> dict:
    """Fork a process for each request, until there are no more; in such a process, return its request."""
    for name in IMPORTED:
        __import__(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for those that report
    while True:
        data, handles, _, _ = socket.recv_fds(control, MOST_BYTES, 4)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            pid = os.fork()
            if pid == 0:
                return _become(json.loads(data), handles)
            # This one waits for it, since only a parent is told how a process ended.
            *streams, news = handles
            for handle in streams:
                os.close(handle)
            os.write(news, struct.pack("i", pid))
            _, status = os.waitpid(pid, 0)
            with contextlib.suppress(BrokenPipeError):
                os.write(news, struct.pack("i", status))
            os._exit(0)
        for handle in handles:
            os.close(handle)


def _become(request: dict, handles: list[int]) -> dict:
    for number, handle in enumerate(handles[:3]):
        os.dup2(handle, number)
    for handle in handles:
        os.close(handle)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[0], sys.argv = "", ["-c", *request["args"]]
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.BufferedWriter(io.FileIO(number, "w", closefd=False)), encoding="utf-8", errors=errors)
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    sys.stderr.reconfigure(line_buffering=True)
    return request


def _end(status: int) -> None:
    """End as the interpreter does, but without taking all that was imported apart: that alone takes 50 ms."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    status = 0
    try:
        exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as leaving:
        if not isinstance(leaving.code, int | None):
            raise
        status = leaving.code or 0
    _end(status)
