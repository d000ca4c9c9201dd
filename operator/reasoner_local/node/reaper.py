"""Starts one program and sees to it that nothing of it outlives its end or its parent's. Run by `process` as
`python -I -S reaper.py`; imports the standard library alone, so that it starts in a few milliseconds.

It reads a JSON line from its standard input, `{"argv", "env", "cwd", "log", "hosts", "hostname", "times"}`, answers
`{"pid"}` or `{"error"}`, and at the end `{"exit"}` (128 + the signal's number, for one that was killed). Further lines
are orders: `TERM` goes to the program, `KILL` to everything. The end of its standard input means that its parent is
gone. Where `hosts` names a file, the program sees it as /etc/hosts and has the host name `hostname`. Where `times`
names one, what the program writes goes through here, and that file says when (`log_index` reads it).

As subreaper it becomes the parent of every orphan below it, so whatever the program leaves behind dies with it,
as in a container."""

import ctypes
import json
import os
import select
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWUSER = 0x00020000, 0x04000000, 0x10000000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *given: object) -> None:
    """Call a function of the C library; raises OSError where it fails."""
    if getattr(_LIBC, name)(*given) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, value, 0, 0, 0)


def _say(**words: object) -> None:
    try:
        os.write(1, json.dumps(words).encode() + b"\n")
    except BrokenPipeError:
        # The parent is gone; what is left to do needs no listener.
        return


def _set_apart(hosts: str, hostname: str) -> None:
    """Give this process /etc/hosts and a host name of its own, by namespaces: a user's too where it must be, in which
    it stays the user that it is."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call("unshare", _CLONE_NEWNS | _CLONE_NEWUTS)
    except PermissionError:
        _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWUTS)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path(f"/proc/self/{name}").write_text(text)
    # What is mounted on the machine later shows here, what is mounted here does not show there.
    _call("mount", None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None)
    _call("mount", os.fsencode(hosts), b"/etc/hosts", None, ctypes.c_ulong(_MS_BIND), None)
    _call("sethostname", hostname.encode(), ctypes.c_size_t(len(hostname.encode())))


class _Output:
    """Where a program writes: its log, by way of this process where the times are wanted, too."""

    def __init__(self, launch: dict[str, Any]) -> None:
        self._log = os.open(launch["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.source, self.sink = -1, self._log
        if launch["times"]:
            self.source, self.sink = os.pipe()
            os.set_blocking(self.source, False)
            self._times = os.open(launch["times"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            self._size = os.fstat(self._log).st_size

    def take(self) -> bool:
        """Note what has come; whether there may be more at once."""
        try:
            data = os.read(self.source, 1 << 16)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        try:
            self._size += os.write(self._log, data)
            # After the log itself, so that a reader finds what the index speaks of.
            os.write(self._times, struct.pack("<QQ", self._size, time.time_ns()))
        except OSError:
            # A full disk: words are lost, and the program goes on.
            return True
        return True

    def drain(self) -> None:
        """Note the last words of what has ended."""
        while self.source >= 0 and self.take():
            pass

    def close(self) -> None:
        """Nobody writes any more."""
        os.close(self.source)
        self.source = -1


def _become(launch: dict[str, Any], output: int) -> None:
    """In the child: turn into the program, which writes to that descriptor. Returns only by exception."""
    os.setsid()
    if launch["hosts"]:
        _set_apart(launch["hosts"], launch["hostname"])
    # After the namespaces, whose change of credentials would undo it.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(launch["cwd"])
    os.execvpe(launch["argv"][0], launch["argv"], launch["env"])


def _start(launch: dict[str, Any], output: _Output) -> int:
    """Start the program; raises OSError where it cannot be run."""
    # Descriptors that Python opens close by themselves when the child becomes the program.
    ended, failed = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _become(launch, output.sink)
        except OSError as error:
            os.write(failed, f"{error.errno} {error.strerror}".encode())
        finally:
            os._exit(127)
    os.close(failed)
    os.close(output.sink)
    with os.fdopen(ended) as report:
        if text := report.read():
            os.waitpid(pid, 0)
            number, _, message = text.partition(" ")
            raise OSError(int(number), message)
    return pid


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are wanted, not paths
        if entry.isdigit():
            try:
                # The name in brackets may itself hold blanks and brackets.
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry))
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child, [])
    return found


def _kill_all() -> None:
    """Kill every descendant, again until none is left to wait for."""
    while True:
        for pid in _descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _reap(main: int) -> int | None:
    """Wait for whoever has ended; the program's exit code if it was among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == main:
            ended = os.waitstatus_to_exitcode(status)
            code = 128 - ended if ended < 0 else ended


def _attend(main: int, wake: int, output: _Output) -> int | None:
    """Follow orders until the program has ended; None when everything is to be killed at once."""
    orders = b""
    while True:
        ready, _, _ = select.select([0, wake, *([output.source] if output.source >= 0 else [])], [], [])
        if output.source in ready:
            output.take()
        if wake in ready and signal.SIGTERM in os.read(wake, 512):
            return None
        if (code := _reap(main)) is not None:
            return code
        if 0 not in ready:
            continue
        data = os.read(0, 512)
        orders += data
        if not data or b"KILL\n" in orders:
            return None
        if b"TERM\n" in orders:
            orders = b""
            os.kill(main, signal.SIGTERM)


def main() -> None:
    """Run."""
    launch = json.loads(sys.stdin.buffer.readline())
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        output = _Output(launch)
        pid = _start(launch, output)
    except OSError as error:
        _say(error=error.strerror, errno=error.errno)
        return
    _say(pid=pid)
    code = _attend(pid, wake, output)
    _kill_all()
    output.drain()
    _say(exit=128 + signal.SIGKILL if code is None else code)


if __name__ == "__main__":
    main()
