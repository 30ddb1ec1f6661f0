"""What `python ARGUMENTS` would do, in a process that is forked with svlearn imported already.

Importing torch, Lightning and all that they bring takes 5 to 9 CPU seconds, more than what most of these programs do.
Here one server imports it once for a whole run of tests, and forks: `multiprocessing`'s, a fresh interpreter, so that
nothing that a test has patched, seeded or made is there. What is about starting itself (which modules are imported,
the installed package, torchrun, peak memory) starts an interpreter of its own.
"""

import atexit
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["svlearn.cli.train_value", "svlearn.cli.evaluate"])


class Forked:
    """A program that runs: a process as `multiprocessing` has it, and the files that it writes to."""

    def __init__(self, arguments, cwd, environment):
        self.folder = tempfile.TemporaryDirectory()
        self.arguments, self.files = arguments, [Path(self.folder.name, name) for name in ("stdout", "stderr")]
        self.process = SERVER.Process(target=_program, args=(arguments, cwd, environment, self.files))
        self.process.start()

    def poll(self):
        """The status, that of a signal below 0, or None while it runs."""
        return self.process.exitcode

    def wait(self, timeout=None):
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.arguments, timeout)
        return self.process.exitcode

    def first_line(self):
        """The first that it prints, once it is there."""
        while self.poll() is None and "\n" not in self._text(0):
            time.sleep(0.01)
        return "".join(self._text(0).splitlines(keepends=True)[:1])

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.process.pid, number)

    def finished(self, timeout=None):
        """As `subprocess.run` has it, once it has ended."""
        status = self.wait(timeout)
        return subprocess.CompletedProcess(self.arguments, status, *map(self._text, range(2)))

    def _text(self, stream):
        return self.files[stream].read_text() if self.files[stream].exists() else ""


def start(*arguments, cwd=None, **environment):
    """Start a program: a script, "-m" a module or "-c" code, with its arguments."""
    here = {**os.environ, "OMP_NUM_THREADS": "1"} | {name: str(each) for name, each in environment.items()}
    return Forked([*map(str, arguments)], str(cwd or os.getcwd()), here)


def run(*arguments, cwd=None, timeout=300, **environment):
    """Run one to its end; one that takes longer is killed."""
    program = start(*arguments, cwd=cwd, **environment)
    try:
        return program.finished(timeout)
    except subprocess.TimeoutExpired:
        program.process.kill()
        raise


def run_ranks(*arguments, processes=2, timeout=300, **environment):
    """As torchrun does it: one program in several processes, which know of each other; those that are left end with the
    first that fails. Returns the status of that one, or 0, and what all of them wrote, by rank."""
    shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "GROUP_RANK": "0"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "TORCHELASTIC_RUN_ID": "none"}
    shared |= environment
    ranks = [start(*arguments, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(processes)]
    end, failed = time.monotonic() + timeout, 0
    while any(each.poll() is None for each in ranks):
        failed = failed or next((each.poll() for each in ranks if each.poll()), 0)
        if failed or time.monotonic() > end:
            for each in ranks:
                each.process.terminate()
        time.sleep(0.02)
    failed = failed or next((each.poll() for each in ranks if each.poll()), 0)
    done = [each.finished() for each in ranks]
    texts = ("".join(getattr(each, stream) for each in done) for stream in ("stdout", "stderr"))
    return subprocess.CompletedProcess([*arguments], failed, *texts)


def _free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _program(arguments, cwd, environment, files):
    """Become it: its streams, folder, environment, paths and arguments are those that it would start with."""
    for stream, path in zip((1, 2), files):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    try:
        if arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
        elif arguments[0] == "-m":
            sys.path.insert(0, cwd)
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # multiprocessing's processes end without
