"""What ends a verb is one line and an exit code, on any terminal, whatever names and signals hold."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from genscene import cli
from genscene.cli import main
from genscene.errors import RankLost, escape, printable

HOSTILE = "a\x1b]0;owned\x07[red]\udcff\u202eb"


def failing(error):
    def verb(words):
        raise error

    return lambda name: verb


def run(*words, **variables):
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "genscene", *words]
    return subprocess.run(command, capture_output=True, timeout=120, env=os.environ | variables)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyError("x"), 70, "render: this is a bug of genscene, KeyError: 'x'"),
        (RecursionError("deep"), 70, "--traceback"),
        (MemoryError(), 2, "lower --size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 2, "lower --size"),
        (RankLost("process 1 of the 2 was lost: go on with --resume"), 1, "genscene: process 1 of the 2"),
        (
            OSError(28, "No space left on device", "x.png"),
            2,
            "cannot use x.png: No space left on device; wanted free",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_end_is_one_line(error, code, said, monkeypatch, capsys):
    monkeypatch.setattr(cli, "verb", failing(error))
    assert main(["render"]) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert main(["render", "--traceback"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_sigterm_removes_partial_files(monkeypatch, capsys, tmp_path):
    from genscene.io.atomic import atomic

    def verb(words):
        with atomic(tmp_path / "a.mp4"):
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "verb", lambda name: verb)
    assert main(["render"]) == 143
    assert capsys.readouterr().err == "genscene: terminated\n"
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is before


def test_lines_are_safe_for_any_terminal():
    assert escape(HOSTILE) == r"a\x1b]0;owned\x07[red]\udcff\u202eb"
    assert printable("a\nb\t c") == "a b c"
    cut = printable("x" * 1000 + "end")
    assert len(cut) <= 400
    assert cut.endswith("end")


def test_names_that_no_terminal_can_show_are_printed(tmp_path):
    folder = tmp_path / HOSTILE
    folder.mkdir()
    done = run("data", "inspect", str(folder), PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 2
    assert done.stderr.startswith(b"genscene: ")
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr
    assert b"\x07" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "genscene", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == 2
    assert b"the standard output: No space left on device" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "~nobody-of-this-name"])
def test_unknown_homes_are_named(path, capsys):
    assert main(["data", "inspect", path]) == 2
    err = capsys.readouterr().err
    assert path in err
    assert "home folder" in err


@pytest.mark.parametrize(
    ("name", "value"), [("WORLD_SIZE", "many"), ("WORLD_SIZE", "-1"), ("RANK", "x"), ("MASTER_PORT", "0")]
)
def test_a_senseless_environment_of_torchrun_is_named(name, value, monkeypatch, capsys, tmp_path):
    for key, usual in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "29500", name: value}.items():
        monkeypatch.setenv(key, usual)
    assert main(["train", "pigan-demo", "--out", str(tmp_path / "run"), "--device", "cpu"]) == 2
    err = capsys.readouterr().err
    assert name in err
    assert repr(value) in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def shell(line, **variables):
    """A command line with redirections, where $genscene is the program."""
    environment = os.environ | {"genscene": f"{sys.executable} -m genscene"} | variables
    return subprocess.run(["bash", "-c", line], capture_output=True, timeout=120, env=environment)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$genscene --version >&-", 0),
        ("$genscene render --help >&-", 0),
        ("$genscene nothing 2>&-", 2),
        ("$genscene nothing >&- 2>&-", 2),
        ("$genscene nothing 2>/dev/full", 2),
        ("$genscene nothing --traceback >/dev/full 2>/dev/full", 2),
    ],
)
def test_closed_and_full_streams_leave_the_exit_code(line, code):
    done = shell(line)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_the_traceback_is_safe_for_any_terminal(monkeypatch, capsys):
    monkeypatch.setattr(cli, "verb", failing(KeyError(HOSTILE)))
    assert main(["--traceback", "render"]) == 70
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("variables", "silent"),
    [
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "29500"}, True),
        ({"RANK": "1"}, False),
        ({"RANK": "2", "WORLD_SIZE": "2", "MASTER_PORT": "29500"}, False),
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
        ({"RANK": "²", "WORLD_SIZE": "2", "MASTER_PORT": "29500"}, False),
        ({"RANK": "9" * 5000, "WORLD_SIZE": "9" * 5000, "MASTER_PORT": "1"}, False),
    ],
)
def test_only_followers_of_torchrun_leave_the_line_to_the_first_process(
    variables, silent, monkeypatch, capsys
):
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == (0 if silent else 1)


def test_the_cache_is_not_written_to_a_folder_called_tilde(monkeypatch, capsys):
    monkeypatch.setenv("GENSCENE_CACHE", "~nobody-of-this-name/x")
    assert main(["doctor"]) == 2
    assert "GENSCENE_CACHE=~nobody-of-this-name/x: there is no such home" in capsys.readouterr().err


def test_a_machine_of_torchrun_that_is_not_there_is_named(tmp_path):
    place = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "29511", "MASTER_ADDR": ".."}
    done = run("train", "pigan-demo", "--device", "cpu", "--out", str(tmp_path / "run"), **place)
    assert done.returncode == 2
    assert done.stderr == b"genscene: MASTER_ADDR '..' in the environment: no such machine\n"


def test_sigterm_ends_a_process_that_waits_for_the_others(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1"}
    command = [sys.executable, "-m", "genscene", "train", "pigan-demo", "--out", str(tmp_path / "run")]
    waiting = subprocess.Popen([*command, "--device", "cpu"], env=os.environ | place)
    try:
        deadline = time.monotonic() + 60
        while not accepts(port) and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(0.5)
        waiting.terminate()
        assert waiting.wait(timeout=20) == -signal.SIGTERM
    finally:
        waiting.kill()
        waiting.wait()
    assert not (tmp_path / "run" / "state.pt").exists()


def accepts(port):
    """Whether a process listens at this port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", int(port)), 1).close()
    except OSError:
        return False
    return True
