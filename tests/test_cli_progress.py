"""Progress of `minilq train` and `minilq sweep` on terminals of any width, in logs, and in encodings without bars."""

import io
import os
import sys

import pytest

from minilq import cli
from minilq.cli.output import print_error, print_line, shown
from minilq.cli.progress import Screen, Sweep, TimeLeft, Training
from minilq.errors import UnwritableError
from minilq.experiments import run
from minilq.experiments.config import RunConfig
from minilq.train.checkpoint import load_checkpoint

pytestmark = pytest.mark.usefixtures("few_roundings")


class Terminal(io.TextIOWrapper):
    """Standard output on a terminal."""

    def __init__(self, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding=encoding, newline="", write_through=True)

    def isatty(self):
        return True

    @property
    def sent(self):
        return self.buffer.getvalue().decode(self.encoding)

    def rows(self, width):
        """What the terminal shows: a carriage return goes to the beginning of the row, a full row wraps."""
        rows, column = [""], 0
        for c in self.sent:
            if c == "\n":
                rows, column = [*rows, ""], 0
            elif c == "\r":
                column = 0
            else:
                if column == width:
                    rows, column = [*rows, ""], 0
                rows[-1] = rows[-1][:column].ljust(column) + c + rows[-1][column + 1:]
                column += 1
        return [row.rstrip() for row in rows]


@pytest.fixture
def terminal(monkeypatch):
    def made(width=80, encoding="utf-8", term="xterm"):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", term)
        monkeypatch.setattr("minilq.cli.progress.SECONDS_BETWEEN", -1.0)
        monkeypatch.setattr(sys, "stdout", Terminal(encoding))
        return sys.stdout
    return made


def row(epoch, **more):
    return {"epoch": epoch, "validation_accuracy": 0.5 + epoch / 100, **more}


def train(networks=("float", "quantized"), epochs=20):
    """What a run tells a Training: ten batches an epoch."""
    watch = Training(Screen(), networks)
    for network in networks:
        for epoch in range(epochs):
            for batch in range(10):
                watch(network, epochs, epoch + batch / 10, None)
            integers = {"unique_integers": 1000 - epoch} if network == "quantized" else {}
            watch(network, epochs, epoch + 1.0, row(epoch + 1, **integers))
    return watch


def test_a_terminal_ends_with_one_line_for_each_network(terminal):
    out = terminal(80)
    train()
    rows = out.rows(80)
    assert len(rows) == 3
    assert rows[0].startswith(f"float     {'█' * 30}  20/20   70.00 %  in ")
    assert rows[1].startswith(f"quantized {'█' * 30}  20/20   70.00 %  981 integers  in ")
    assert rows[2] == ""


@pytest.mark.parametrize("width", [1, 2, 7, 20, 40, 60, 79, 80, 200])
def test_no_line_wraps_at_any_width_and_none_leaves_a_rest(width, terminal):
    out = terminal(width)
    train()
    rows = out.rows(width)
    assert len(rows) == 3
    assert all(len(row) < width or width == 1 for row in rows)
    whole = f"quantized {'█' * 30}  20/20   70.00 %  981 integers  in 0 s"
    assert rows[1] == whole if width > len(whole) else len(rows[1]) <= width
    if 45 <= width < len(whole):
        assert rows[1].endswith("981 integers  in 0 s")             # the bar goes first


def test_a_terminal_that_is_made_narrower_in_between_is_obeyed(terminal, monkeypatch):
    out = terminal(100)
    watch = Training(Screen(), ["float"])
    watch("float", 20, 0.0, None)
    monkeypatch.setenv("COLUMNS", "30")
    before = len(out.sent)
    watch("float", 20, 1.0, row(1))
    assert len(out.sent[before:].strip("\r")) < 30
    assert not out.sent.endswith("\n")


def test_a_line_that_stays_takes_the_place_of_one_that_does_not(terminal):
    out = terminal(80)
    screen = Screen()
    screen.show("float", 0.5, "half")
    screen.line("a message")
    screen.show("float", 0.6, "more")
    assert out.rows(80) == ["a message", f"float {'█' * 18}{'░' * 12} more"]


def test_what_is_printed_after_a_line_that_was_overwritten_stands_below_it(terminal):
    out = terminal(80)
    with Screen() as screen:
        screen.show("float", 0.5, "half")
    print_line("an error")
    assert [row[:8] for row in out.rows(80)] == ["float " + 2 * "█", "an error", ""]
    with Screen() as screen:
        screen.show("float", 0.5, "half")
        screen.clear()
    print_line("a table")
    assert out.rows(80)[2:] == ["a table", ""]


def test_an_output_that_fails_does_so_once(terminal, monkeypatch):
    def no_space(text):
        raise OSError(28, "No space left on device")

    out = terminal(80)
    with Screen() as screen:
        screen.show("float", 0.5, "half")
        monkeypatch.setattr(out, "write", no_space)
        with pytest.raises(UnwritableError):
            screen.show("float", 0.6, "more")


def test_bars_are_plain_where_the_terminal_has_no_blocks(terminal):
    for encoding in ("ascii", "cp1252"):
        out = terminal(80, encoding)
        Screen().show("float", 0.5, "half")
        assert out.rows(80) == [f"float {'#' * 15}{'.' * 15} half"]


def test_no_colours_no_escape_sequences(terminal, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = terminal()
    train()
    assert "\x1b" not in out.sent


def test_a_terminal_that_cannot_go_back_is_a_log(terminal):
    out = terminal(term="dumb")
    train(epochs=8)
    assert "\r" not in out.sent
    assert len(out.sent.splitlines()) == 16


@pytest.mark.parametrize("epochs", [1, 8, 20, 100])
def test_a_log_has_some_ten_lines_for_each_network_the_first_and_the_last_among_them(epochs, capsys):
    train(epochs=epochs)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for network in ("float", "quantized"):
        told = [int(line.split("epoch")[1].split("/")[0]) for line in lines if line.startswith(network)]
        assert (told[0], told[-1]) == (1, epochs)
        assert len(told) <= 11
        if epochs == 100:
            assert told == [1, *range(10, 101, 10)]
    assert f"quantized epoch {1:3}/{epochs}  accuracy  51.00 %  1,000 integers" in "\n".join(lines)


def test_the_time_left_is_that_of_both_networks_without_what_is_compiled():
    left = TimeLeft(["float", "quantized"])
    assert left("float", 10, 0.0, 0.0) is None
    assert left("float", 10, 0.5, 20.0) is None              # 20 seconds of compiling
    assert left("float", 10, 1.0, 21.0) == pytest.approx(2 * 9 + 1.4 * 20)
    assert left("float", 10, 2.0, 24.0) == pytest.approx(3 * 8 + 1.4 * 30)      # the first epoch is left out
    assert left("float", 10, 10.0, 48.0) == pytest.approx(1.4 * 30)
    assert left("quantized", 10, 0.0, 60.0) is None
    assert left("quantized", 10, 0.5, 70.0) is None
    assert left("quantized", 10, 1.0, 72.0) == pytest.approx(4 * 9)
    assert left("quantized", 10, 10.0, 117.0) == 0


def test_the_time_left_of_a_network_that_goes_on_counts_from_where_it_went_on():
    left = TimeLeft(["quantized"])
    assert [left("quantized", 10, done, now) for done, now in ((4.0, 0.0), (4.5, 9.0), (5.0, 10.0), (6.0, 12.0))] == [
        None, None, pytest.approx(10), pytest.approx(8)]


def test_a_sweep_on_a_terminal_is_one_line_and_what_failed_stays(terminal):
    out = terminal(80)
    watch = Sweep(Screen())
    for done in (1, 2, 3):
        watch("97.35 %   178 integers nested-row-1e-09-floor-raw-scratch-42" if done != 2 else "p FAILED: no", done, 3,
              60.0 * (3 - done))
    rows = out.rows(80)
    assert rows[0] == "[  2/3] p FAILED: no"
    assert rows[1].startswith(f"  3/3 {'█' * 17}  0 s left  97.35 %   178 integers nested-row")
    assert rows[2:] == [""]


def test_a_sweep_in_a_log_is_a_line_for_each_point_and_ten_times_what_is_left(capsys):
    watch = Sweep(Screen())
    for done in range(1, 101):
        watch("97.35 %   178 integers nested", done, 100, 6.0 * (100 - done))
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.endswith("nested")]) == 100
    assert [line for line in lines if line.endswith("left")] == [
        "9 min left", "8 min left", "7 min left", "6 min left", "5 min left", "4 min left", "3 min left", "2 min left",
        "60 s left"]


# ---- a run


def test_a_run_says_what_it_does_before_it_reads_the_data(capsys, monkeypatch, tmp_path):
    def no_data(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "data_for", no_data)
    assert cli.main(["train", "--out", str(tmp_path / "a")]) == 130
    assert capsys.readouterr().out.splitlines()[0] == (
        f"training mnist_mlp on digits: float, then {RunConfig().describe()}")


def test_watching_does_not_change_the_bits_and_sees_every_batch(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "QUICK_IMAGES", 200)
    config, seen = RunConfig(quick=True, epochs=2, batch=50, input="unit"), []
    run.start(config, tmp_path / "a", lambda text: None, lambda *told: seen.append(told))
    run.start(config, tmp_path / "b", lambda text: None)
    for network in ("float", "quantized"):
        assert [(done, row is not None) for name, epochs, done, row in seen if name == network] == [
            *((batch / 4, False) for batch in range(4)), (1.0, True), (1.0, False),
            *((1 + batch / 4, False) for batch in range(4)), (2.0, True), (2.0, False)]
    a, b = (load_checkpoint(tmp_path / name / "quantized.npz")[0] for name in "ab")
    assert {k: v.tobytes() for k, v in a.items()} == {k: v.tobytes() for k, v in b.items()}


# ---- what is printed


@pytest.mark.parametrize(("text", "encoding", "want"), [
    ("größe", "utf-8", "größe"), ("größe", "ascii", "gr\\xf6\\xdfe"), ("größe", "cp1252", "größe"),
    ("日本", "cp1252", "\\u65e5\\u672c"), ("λ = √v", "cp1252", "lambda = sqrt v"), ("x\udcff", "utf-8", "x\\udcff"),
    ("\x1b[2J\x07", "utf-8", "\\x1b[2J\\x07"), ("a\u202eb", "utf-8", "a\\u202eb"),
    ("two\nlines", "ascii", "two\nlines"),
    ("a\tb\r", "utf-8", "a\\tb\\r"), ("as it is", None, "as it is")])
def test_what_cannot_be_printed_or_would_be_obeyed_is_escaped(text, encoding, want):
    assert shown(text, encoding) == want


@pytest.mark.parametrize("command", [("train", "--quick", "--epochs", "1", "--out"), ("sweep", "grid.json", "--out"),
                                     ("load",)])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_path_that_the_output_cannot_encode_is_no_traceback(command, encoding, tmp_path, monkeypatch):
    folder = tmp_path / "größe-日本"
    monkeypatch.setattr(run, "QUICK_IMAGES", 200)
    monkeypatch.setattr("minilq.report.figures.draw", lambda folder: [folder / "learning.svg"])
    monkeypatch.setattr("minilq.experiments.processes.sweep_in_processes", lambda *_: {})
    monkeypatch.setattr("minilq.report.page.write_page", lambda out: out / "index.html")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.json").write_text('{"nested": [1]}')
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    status = cli.main([*command, str(folder)])
    assert status == (1 if command == ("load",) else 0)
    text = (out if status == 0 else err).buffer.getvalue().decode(encoding)
    assert "\\u65e5\\u672c" in text


def test_without_standard_error_or_output_nothing_is_raised(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    print_error("nobody reads this")
    assert cli.main(["report", os.devnull]) == 1
    monkeypatch.setattr(sys, "stdout", None)
    print_line("nor this")
    Screen().show("x", 0.5, "y")


def test_an_error_of_the_system_is_one_line(capsys, tmp_path):
    assert cli.main(["load", str(tmp_path / ("x" * 300))]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


def test_a_terminal_shows_what_is_compiled_until_there_is_progress(terminal):
    sent = terminal(40)
    screen = Screen()
    for kernel in ("rectified", "threshold"):
        screen.compiling(kernel)
    screen.show("float", 0.5, "1/2", stays=True)
    assert "compiling, once: rectified" in sent.sent
    assert sent.rows(40)[0].startswith("float")


def test_a_log_says_once_that_kernels_are_compiled(capsys):
    screen = Screen()
    for kernel in ("rectified", "threshold"):
        screen.compiling(kernel)
    assert capsys.readouterr().out == "compiling, once\n"
