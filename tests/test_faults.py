"""Faults: the n-th file operation of a train, a sweep, an export or a resume fails; the process is killed, told to
end, or loses its output. What remains can be read, and going on gives the same bits.

A plain run tries some of them, -m deep every operation and 200 kills.
"""

import contextlib
import errno
import functools
import io
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from minilq import cli, files
from minilq._ctrl_c import is_program
from minilq.cli import training
from minilq.cli.progress import Training
from minilq.data import load
from minilq.errors import MinilqError
from minilq.experiments import measure, point, rounded, run, sweep
from minilq.experiments.claim import InUse, claimed
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.grid import points_of
from minilq.experiments.stored import export, network_at
from minilq.store.modelfile import load as load_file
from minilq.train.checkpoint import load_checkpoint
from minilq.train.history import read_history
from tests.commands import Serial

pytestmark = [pytest.mark.usefixtures("few_roundings"), pytest.mark.skipif(
    sys.platform == "win32", reason="forks and signals are of POSIX systems")]

SMALL = {"limit": 40, "batch": 20, "epochs": 2, "input": "unit", "lr": 1e-3}
POINTS = points_of([{"nested": [1e-3], "start": ["post"], **SMALL}], {})


def quiet(text):
    pass


class PointsFailed(MinilqError):
    """What a sweep reports without raising."""


# ---- what is done: each begins, or goes on


def train(folder):
    with claimed(folder / "run"):
        if (folder / "run" / "config.json").exists():
            run.carry_on(folder / "run", quiet)
        else:
            run.start(RunConfig(**SMALL), folder / "run", quiet)
        files.write_text(folder / "run" / "DONE", "")


def resume(folder):
    train(folder)


def sweep_two(folder):
    if failed := sweep.run_sweep("a grid", POINTS, folder / "sweep", Serial(), quiet):
        raise PointsFailed(str(failed))


def export_one(folder):
    export(network_at(folder / "run"), folder / "run" / "model.mlq")


JOBS = {"train": train, "resume": resume, "sweep": sweep_two, "export": export_one}


@pytest.fixture(scope="module")
def small():
    """Forty images, read once; a checkpoint after each epoch; xz and most roundings, which take the time, left out."""
    data = load("digits").head(40)
    with pytest.MonkeyPatch.context() as patch:
        for module in (run, point):
            patch.setattr(module, "data_of", lambda config: data)
            patch.setattr(module, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
        patch.setattr(measure, "compressed", lambda coded: 1)
        patch.setattr(rounded, "reaches", lambda *each: [4.0])
        patch.setattr(sweep, "SECONDS_BETWEEN_LOOKS", 0.02)
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield
    point._data.cache_clear()


@pytest.fixture(scope="module")
def begun(small, tmp_path_factory):
    """Of every job, the folder in which it begins."""
    folders = {name: tmp_path_factory.mktemp(name) for name in JOBS}
    with contextlib.suppress(run.Stopped):
        run.start(RunConfig(**SMALL), folders["resume"] / "run", quiet,
                  lambda network, epochs, done, row: (network, done) == ("quantized", 1.5) and signal.raise_signal(2))
    assert not (folders["resume"] / "run" / "result.json").exists()
    train(folders["export"])
    return folders


@pytest.fixture(scope="module")
def undisturbed(begun, tmp_path_factory):
    """Of every job, what it leaves, and the seconds it takes."""
    found = {}
    for name, job in JOBS.items():
        folder = shutil.copytree(begun[name], tmp_path_factory.mktemp("undisturbed") / name)
        started = time.perf_counter()
        job(folder)
        found[name] = contents(folder), time.perf_counter() - started
    return found


def without_seconds(value):
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if not k.startswith("seconds")}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def contents(folder):
    """Every file that is not hidden, read as minilq reads it, without the time that something took."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name.startswith("."):
            continue
        if path.suffix == ".npz":
            arrays, meta = load_checkpoint(path)
            what = {k: (a.dtype, a.shape, a.tobytes()) for k, a in arrays.items()}, without_seconds(meta)
        elif path.name == "history.csv":
            what = without_seconds(read_history(path))
        elif path.name == "config.json":
            what = read_config(path)
        elif path.suffix == ".json":
            what = without_seconds(json.loads(path.read_text()))
        else:
            what = path.read_bytes()
            if path.suffix == ".mlq":
                load_file(path)
        found[str(path.relative_to(folder))] = what
    return found


# ---- the n-th operation fails


class Faults:
    """Counts the operations on files below a folder: open, write, rename, fsync, mkdir. One of them fails, or all from
    there on, as on a full disk; of a write, the first half is written."""

    def __init__(self, folder, at=0, number=errno.ENOSPC, all_after=False):
        self.folder, self.at, self.number, self.all_after, self.count = str(folder), at, number, all_after, 0

    def step(self):
        self.count += 1
        if self.at and (self.count == self.at or (self.all_after and self.count > self.at)):
            raise OSError(self.number, os.strerror(self.number))

    def counted(self, function):
        @functools.wraps(function)
        def call(first, *args, **options):
            if isinstance(first, int) or str(first).startswith(self.folder):
                self.step()
            return function(first, *args, **options)
        return call

    def opened(self, path, mode="r", *args, **options):
        self.step()
        if mode != "wb":
            return open(path, mode, *args, **options)
        faults = self

        class File(io.FileIO):
            def write(self, content):
                super().write(content[:len(content) // 2])
                faults.step()
                return super().write(content[len(content) // 2:])

        return File(path, "w")

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        for name in ("open", "write", "ftruncate", "replace", "fsync", "mkdir"):
            self.patch.setattr(os, name, self.counted(getattr(os, name)))
        opened = self.opened
        self.patch.setattr(Path, "open", lambda path, mode="r": opened(path, mode))
        self.patch.setattr(files, "open", self.opened, raising=False)
        return self

    def __exit__(self, *_):
        self.patch.undo()


def tried(name, faults, job, reference):
    """Do a job with a fault, look at what remains, and go on. Returns whether the fault was told."""
    folder, message = Path(faults.folder), ""
    try:
        with faults:
            job(folder)
    except MinilqError as error:                             # and nothing else: no traceback
        message = str(error)
    assert "\n" not in message
    where = f"{name}, operation {faults.at}, {errno.errorcode[faults.number]}"
    for path, what in contents(folder).items():              # all can be read
        if path.endswith((".csv", "config.json", "result.json")) and path in reference:
            assert type(what) is type(reference[path]), f"{where}: {path}"
    job(folder)
    assert contents(folder) == reference, where
    assert not [path for path in folder.rglob(".*")], where
    return message != ""


def operations(name, begun, folder):
    with Faults(shutil.copytree(begun[name], folder / "counted")) as faults:
        JOBS[name](folder / "counted")
    return faults.count


@pytest.mark.parametrize("name", JOBS)
def test_an_operation_that_fails_is_told_and_going_on_gives_the_same(name, begun, undisturbed, tmp_path):
    total = operations(name, begun, tmp_path)
    assert total > 5
    for number, at in zip((errno.ENOSPC, errno.EIO), (1, random.Random(name).randint(2, total)), strict=True):
        folder = shutil.copytree(begun[name], tmp_path / f"{at}")
        tried(name, Faults(folder, at, number), JOBS[name], undisturbed[name][0])


@pytest.mark.deep
@pytest.mark.parametrize(("number", "all_after"), [(errno.ENOSPC, True), (errno.ENOSPC, False), (errno.EIO, False)])
@pytest.mark.parametrize("name", JOBS)
def test_every_operation_may_fail(name, number, all_after, begun, undisturbed, tmp_path):
    total, told = operations(name, begun, tmp_path), 0
    for at in range(1, total + 1):
        folder = shutil.copytree(begun[name], tmp_path / "work")
        told += tried(name, Faults(folder, at, number, all_after), JOBS[name], undisturbed[name][0])
        shutil.rmtree(folder)
    print(f"{name}: each of {total} operations failed once; {told} were told")
    assert told > total / 2


# ---- killed


def forked(work):
    """Begin something in another process; returns its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which do nothing here
        child = os.fork()
    if child == 0:
        status = 99
        try:
            status = work() or 0
        finally:
            os._exit(status)
    return child


def killed(name, job, kills, begun, undisturbed, folder):
    """So many kills before the end, at random moments; one that comes too late counts as none and is made again."""
    reference, seconds = undisturbed[name]
    moments, done = random.Random(f"kills of {name}"), 0
    for number in range(10 * kills):
        work = shutil.copytree(begun[name], folder / str(number))
        child = forked(lambda work=work: job(work))
        time.sleep(moments.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        if os.waitpid(child, 0)[1] == signal.SIGKILL:
            contents(work)                                       # all can be read
            job(work)
            if name == "export":                                 # a half file is cleared by who next has the folder
                files.clear_leftovers(work / "run")
            assert contents(work) == reference, f"{name}, kill {number}"
            assert not [path for path in work.rglob(".*")], f"{name}, kill {number}"
            done += 1
        shutil.rmtree(work)
        if done == kills:
            return
    pytest.fail(f"{name}: {done} of {10 * kills} were killed before the end")


@pytest.mark.parametrize("name", JOBS)
def test_killed_at_a_random_moment_and_begun_again_it_gives_the_same(name, begun, undisturbed, tmp_path):
    killed(name, JOBS[name], 1, begun, undisturbed, tmp_path)


@pytest.mark.deep
@pytest.mark.parametrize(("name", "kills"), [("train", 80), ("resume", 40), ("sweep", 60), ("export", 20)])
def test_two_hundred_kills(name, kills, begun, undisturbed, tmp_path):
    killed(name, JOBS[name], kills, begun, undisturbed, tmp_path)


# ---- two at once


def at_once(name, begun, undisturbed, work):
    """Two processes do the same: one has the folder and the other is told so, or both have a part."""
    def one():
        try:
            JOBS[name](work)
        except InUse:
            return 3
        return 0

    shutil.copytree(begun[name], work)
    children = [forked(one) for _ in range(2)]
    statuses = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    assert statuses in ([[0, 0]] if name in ("sweep", "export") else [[0, 0], [0, 3]])
    assert contents(work) == undisturbed[name][0]
    assert not [path for path in work.rglob(".*")]
    return statuses


@pytest.mark.parametrize("name", JOBS)
def test_two_at_once_give_what_one_gives(name, begun, undisturbed, tmp_path):
    at_once(name, begun, undisturbed, tmp_path / "work")


@pytest.mark.deep
@pytest.mark.parametrize("name", JOBS)
def test_two_at_once_often(name, begun, undisturbed, tmp_path):
    told = sum(at_once(name, begun, undisturbed, tmp_path / str(number))[1] == 3 for number in range(25))
    print(f"{name}: 25 times two at once; {told} times one was told that the other has the folder")


# ---- told to end, and without output

LONGER = RunConfig(**{**SMALL, "epochs": 6})
TRAIN = ["train", *(word for name, value in {**SMALL, "epochs": 6}.items() for word in (f"--{name}", str(value)))]


@pytest.fixture(scope="module")
def longer(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("longer")
    run.start(LONGER, folder / "run", quiet)
    return contents(folder)


def printed(folder, arguments, moment, fault):
    """The status of a command in another process, what it printed, and its errors. fault() is called there when the
    quantized network has done so many epochs; nothing is saved but for a reason."""
    def work():
        os.chdir(folder)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115
        told = Training.__call__

        def tell(self, network, epochs, done, row):
            told(self, network, epochs, done, row)
            if network == "quantized" and row is not None and row["epoch"] == moment:
                fault()

        Training.__call__ = tell
        run.SECONDS_BETWEEN_CHECKPOINTS = 1e9
        training.show_figures = quiet
        return cli.main(arguments)

    _, status = os.waitpid(forked(work), 0)
    return os.waitstatus_to_exitcode(status), *((folder / name).read_text() for name in ("stdout", "stderr"))


def onto(path):
    """Standard output goes there from now on."""
    return lambda: os.dup2(os.open(path, os.O_WRONLY), 1)


def nobody_reads():
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)


FULL = r"minilq: standard output: must be writable; got No space left on device\n"
ENDS = {**{name: (lambda name=name: signal.raise_signal(getattr(signal, name)), 130, "")
           for name in ("SIGINT", "SIGTERM", "SIGHUP")},
        "SIGPIPE": (nobody_reads, 1, ""), "a full disk": (onto("/dev/full"), 1, FULL),
        "closed": (lambda: os.close(1), 1, FULL.replace("No space left on device", "Bad file descriptor"))}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("name", ENDS)
def test_told_to_end_or_without_output_a_training_is_saved(name, longer, tmp_path):
    fault, status, err = ENDS[name]
    ended = printed(tmp_path, [*TRAIN, "--out", "run"], 3, fault)
    assert ended[0] == status
    assert re.fullmatch(err, ended[2])
    assert ("Go on with: minilq train --resume run\n" in ended[1]) == (status == 130)
    done = load_checkpoint(tmp_path / "run" / "quantized.npz")[1]["place"]
    assert 3 <= done["epoch"] < 6
    assert len(read_history(tmp_path / "run" / "history.csv")) == 6 + done["epoch"]
    run.carry_on(tmp_path / "run", quiet)
    assert contents(tmp_path / "run") == {path.removeprefix("run/"): what for path, what in longer.items()}
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("ignored", ["SIGHUP", "SIGINT", "SIGTERM"])
def test_a_signal_that_is_ignored_is_ignored(ignored, tmp_path):
    number = getattr(signal, ignored)
    before = signal.signal(number, signal.SIG_IGN)           # as nohup does, and a shell's &
    try:
        ended = printed(tmp_path, [*TRAIN, "--out", "run"], 1, lambda: signal.raise_signal(number))
    finally:
        signal.signal(number, before)
    assert (ended[0], ended[2]) == (0, "")
    assert (tmp_path / "run" / "DONE").exists()


def test_with_all_standard_streams_closed_files_are_whole(longer, tmp_path):
    """Whatever is printed then must not go into a file that was opened in their place."""
    def work():
        os.chdir(tmp_path)
        for number in range(3):
            os.close(number)
        sys.stdin = sys.stdout = sys.stderr = None
        training.show_figures = quiet
        status = cli.main([*TRAIN, "--out", "run"])
        os.write(1, b"something")
        os.write(2, b"something")
        return status

    assert os.waitpid(forked(work), 0)[1] == 0
    (tmp_path / "run" / "DONE").unlink()
    found = contents(tmp_path / "run")
    assert found == {path.removeprefix("run/"): what for path, what in longer.items()}


@pytest.mark.parametrize("folder", ["my run", "it's", "a;echo X", "-x", "$HOME"])
def test_the_command_to_go_on_can_be_copied(folder, small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "show_figures", quiet)
    told = Training.__call__
    with monkeypatch.context() as patch:
        patch.setattr(Training, "__call__", lambda self, network, epochs, done, row: (
            told(self, network, epochs, done, row), row is not None and signal.raise_signal(signal.SIGINT)))
        assert cli.main([*TRAIN, f"--out={folder}"]) == 130
    words = shlex.split(capsys.readouterr().out.splitlines()[-1].partition("Go on with: ")[2])
    assert words[:2] == ["minilq", "train"]
    assert cli.main(words[1:]) == 0
    assert (tmp_path / folder / "DONE").exists()


@pytest.mark.parametrize("option", ["--out", "--resume", "--from", "--data-dir"])
def test_an_empty_name_is_no_folder(option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", option, ""]) == 2
    assert "must be a name; got an empty one" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("argv", "original", "program"), [
    (["/usr/bin/minilq", "train"], ["python", "/usr/bin/minilq", "train"], True),
    (["minilq.exe", "train"], ["python", "minilq.exe", "train"], True),
    (["-m", "train"], ["python", "-W", "error", "-m", "minilq", "train"], True),
    (["-m"], ["python", "-mminilq"], True), (["-m", "minilq"], ["python", "-m", "other", "minilq"], False),
    (["-c"], ["python", "-c", "import minilq"], False), ([], [], False),
    (["minilq.py.py"], ["python", "minilq.py.py"], False)])
def test_only_the_program_ends_at_once_while_it_is_imported(argv, original, program):
    assert is_program(argv, original) == program


def test_ctrl_c_ends_the_program_without_a_traceback_from_the_beginning():
    code = ("import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "sys.argv[0] = sys.argv.pop(); import minilq; signal.raise_signal(signal.SIGINT)")
    for argv, status, err in (("minilq", -signal.SIGINT, ""), ("other", -signal.SIGINT, "KeyboardInterrupt\n")):
        ended = subprocess.run([sys.executable, "-c", code, argv], capture_output=True, text=True, check=False,
                               env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])})
        assert ended.returncode == status
        assert ended.stderr[-18:] == err
