"""Files that somebody else has written: each reader, thousands of times, with one thing or a few changed and every
checksum right. What comes out is what the file says, or an error of minilq's own in one printable line.

Nothing is random: a test that fails says with which numbers, and does so again. A plain run tries a few hundred,
-m deep thousands.
"""

import copy
import csv
import functools
import gzip
import io
import json
import random
import tarfile
from pathlib import Path

import numpy as np
import pytest

from minilq.data.archive import member_names, read_members
from minilq.data.idx import parse_idx
from minilq.data.pickled import pickled_records
from minilq.errors import MinilqError
from minilq.experiments.command import command
from minilq.experiments.config import RunConfig, read_config
from minilq.experiments.grid import points_of
from minilq.experiments.grids import blocks_of
from minilq.experiments.result import read_accuracy, read_result
from minilq.report.figures import draw
from minilq.report.table import comparison
from minilq.store.modelfile import contents, load
from minilq.store.safetensors import from_safetensors, write
from minilq.store.sections import joined, split
from minilq.train.history import read_history, write_history
from tests.test_command import given_by
from tests.test_data_cifar10 import pickled
from tests.test_train import trainer

FEW, MANY = 30, 2000


def tries(few=FEW, many=MANY):
    """A plain run of few, and a deep one of many."""
    return pytest.mark.parametrize("seeds", [range(few), pytest.param(range(few, many), marks=pytest.mark.deep)],
                                   ids=["few", "many"])


def sound_or_refused(read):
    """What `read` gives, or None where it is refused as it should be."""
    try:
        return read()
    except MinilqError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 1500
    return None


def nodes(value):
    """Every (container, key) in a JSON value."""
    for key in (range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ()):
        yield value, key
        yield from nodes(value[key])


ODD = [None, True, False, -1, 0, 1, 2, 7, 0.5, -0.0, 1e-320, 1e308, 2**53 + 1, 2**63, 10**400, float("nan"),
       float("inf"), "", "row", "lsq", "nested", "none", "1", "\x1b[2J\u202e", "\ud800", "$\\foo$", "x" * 3000, [],
       [0], [[]], {}, {"method": "lsq"}, {"method": []}, {"": 1}, [{"a": 1}], [None, "x"]]


def changed(value, rng):
    """A JSON value with one to three things replaced, taken out, doubled or renamed."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(list(nodes(value)) or [(None, None)])
        if container is None:
            break
        what = rng.choice(["replace", "replace", "replace", "delete", "double", "rename", "swap"])
        if what == "delete":
            del container[key]
        elif what == "double" and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif what == "rename" and isinstance(container, dict):
            container[rng.choice(["", "x" * 300, "\ud800", "weights", key + "\u202e"])] = container.pop(key)
        elif what == "swap":
            other, place = rng.choice(list(nodes(value)))
            container[key] = copy.deepcopy(other[place])
        else:
            container[key] = copy.deepcopy(rng.choice(ODD))
    return value


# ---- Checkpoints


@functools.cache
def stopped(optimizer):
    """The state of a training in the middle of its second epoch."""
    t, batches = trainer(optimizer=optimizer), iter(range(99))
    t.run(3, stop=lambda: next(batches) > 5)
    arrays, meta = t.state()
    return arrays, json.loads(json.dumps(meta))


def kinds(a, rng):
    """The array as one of another kind of number, of another shape, or with numbers that it never has."""
    shape = rng.choice([a.shape, a.shape, (), (0,), (1, *a.shape), a.shape[1:], (3,)])
    number = rng.choice([np.nan, np.inf, -np.inf, -1, 0, 2.5, 1e300, 2**62])
    return rng.choice([
        lambda: a.astype(complex), lambda: a.astype(str), lambda: a.astype("S4"), lambda: a.astype(bool),
        lambda: a.astype(np.float16), lambda: a.astype(np.float64), lambda: a.astype(np.int64), lambda: a.astype(">f4"),
        lambda: np.zeros(shape, [("x", "f4")]), lambda: np.zeros(shape, "M8[s]"), lambda: np.full(shape, number),
        lambda: np.full(shape, number), lambda: np.full(shape, number).astype(a.dtype), lambda: a[..., None],
        lambda: -a])()


@tries()
@pytest.mark.parametrize("optimizer", ["adam", "both"])
def test_a_checkpoint_of_other_arrays_and_facts(optimizer, seeds):
    for seed in seeds:
        rng, (arrays, meta) = random.Random(seed), stopped(optimizer)
        arrays = dict(arrays)
        if rng.random() < 0.5:
            meta = changed(meta, rng)
        for key in rng.sample(list(arrays), rng.randint(0, 3)):
            with np.errstate(all="ignore"):
                arrays[key] = kinds(arrays[key], rng)
        going = trainer(optimizer=optimizer)

        def resumed(going=going, arrays=arrays, meta=meta):
            going.load_state(arrays, meta)
            going.run(2)
            json.dumps(going.state()[1])

        sound_or_refused(resumed)


# ---- Grids

GRIDS = [
    {"nested": [1e-10, 1e-9], "maxbin": [1e-8], "granularity": ["row", "scalar"], "seed": [1, 2], "epochs": 3,
     "rounding": "nearest", "input": ["raw", "unit"], "start": ["scratch", "post"]},
    {"weights": {"method": "lsq", "bits": [2, 3]}, "inputs": [None, {"method": "pact", "bits": 4, "alpha": 6.0}],
     "own": {"dense1.weight": {"method": "affine"}}, "lr": [1e-3, 1e-4], "quantize": "all"},
    {"weights": [{"method": "nested", "lam": [0.0, 1e-9], "positivity": "exp"}, None], "data_dir": "a b",
     "data": "mnist",
     "own": {"dense1.weight": {"method": "scaled", "scale_rule": "threshold(1e-09, False)", "qmax": 7}}},
    {"ungated": 1e-9, "layer_thresholds": {"dense1": 1e-9, "dense2": 0.0}, "adam": "torch", "limit": 100},
    {"difference": 1e-5, "layer_rates": {"dense2": 1e-5}, "threshold": 1e-10, "batch": [32, 64], "holdout": 10}]


@tries(50, 3_000)
def test_a_grid_gives_points_whose_commands_give_them_again(tmp_path, seeds):
    for seed in seeds:
        rng = random.Random(seed)
        file = tmp_path / "grid.json"
        file.write_text(json.dumps(changed(rng.choice(GRIDS), rng)))
        points = sound_or_refused(lambda file=file: points_of(blocks_of(str(file)), {}))
        for point in rng.sample(points, min(len(points), 3)) if points else ():
            assert given_by(command(point.config)) == point.config
            assert len(point.name.encode()) < 200
            assert point.name not in ("", ".", "..")
            assert "/" not in point.name
            json.dumps(point.config.to_json())


# ---- The files of a run

CELLS = ["", "0", "-1", "1e308", "-1e100", "1e-320", "nan", "inf", "-inf", "5", "1", "0.5", "9" * 50, "9" * 400, "1_0",
         " 1", "\u0661", "x", "$\\foo$", "\x1b[2J", "0x1", "float", "quantized"]
COLUMNS = ["", "$\\foo$", "scale/$\\x$/median", "a/median", "scale/dense1.weight/mean", "x" * 300, "epoch", "\u202e"]


def history(folder):
    """The cells of a history of two networks."""
    common = {"loss": 0.5, "accuracy": 0.25, "validation_loss": 1.5, "validation_accuracy": 0.5, "lr": 1e-4}
    scales = {f"scale/dense1.weight/{part}": 0.125 for part in ("min", "median", "max")}
    learned = {"flips": 0.5, "integer_min": -3, **scales}
    write_history(folder / "history.csv", [
        {"network": name, "epoch": epoch, **common, **(learned if name == "quantized" else {})}
        for name in ("float", "quantized") for epoch in (1, 2, 3)])
    return list(csv.reader((folder / "history.csv").read_text().splitlines()))


def edited(cells, rng):
    """A table with one to three cells, columns or rows changed, as text."""
    cells = [list(row) for row in cells]
    for _ in range(rng.randint(1, 3)):
        place, row = rng.randrange(len(cells[0])), rng.randrange(1, len(cells))
        what = rng.choice(["cell", "cell", "column", "name", "column gone", "row gone", "row twice"])
        if what == "cell":
            cells[row][place % len(cells[row])] = rng.choice(CELLS)
        elif what == "name":
            cells[0][place] = rng.choice(COLUMNS)
        elif what == "row gone" and len(cells) > 2:
            del cells[row]
        elif what == "row twice":
            cells.insert(row, list(cells[row]))
        elif what == "column":
            cell = rng.choice(CELLS)
            cells[1:] = [[*r[:place], cell, *r[place + 1:]] for r in cells[1:]]
        elif len(cells[0]) > 1:
            cells = [[*r[:place], *r[place + 1:]] for r in cells]
    text = io.StringIO()
    csv.writer(text).writerows(cells)
    return text.getvalue()


@tries(60, 10_000)
def test_an_edited_history_is_refused_or_has_rows_that_can_be_drawn(tmp_path, seeds):
    cells, path = history(tmp_path), tmp_path / "history.csv"
    for seed in seeds:
        path.write_text(edited(cells, random.Random(seed)), encoding="utf-8", newline="")
        for row in sound_or_refused(lambda: read_history(path)) or ():
            assert 1 <= row["epoch"] <= len(cells)
            assert all(abs(x) <= 1e100 for name, x in row.items() if name not in ("network", "loss", "validation_loss"))
            if row["network"] == "quantized":
                assert {f"{name.removesuffix('median')}{part}" for name in row if name.endswith("/median")
                        for part in ("min", "max")} <= set(row)


@pytest.mark.deep
def test_what_is_taken_of_an_edited_history_is_drawn_without_a_warning(tmp_path):
    cells, path = history(tmp_path), tmp_path / "history.csv"
    for seed in range(300):
        path.write_text(edited(cells, random.Random(seed)), encoding="utf-8", newline="")
        sound_or_refused(lambda: draw(tmp_path))


COUNTS = ("unique_integers", "integer_min", "integer_max", "bits", "bytes_int8_zip", "bytes_packed", "bytes_entropy",
          "bytes_lzma")
RESULT = {
    **dict.fromkeys((*COUNTS, "parameters", "scales", "bytes_float32", "bytes_float32_zip"), 3),
    "accuracy": 0.5, "loss": 1.5, "integer_type": "int8", "baseline_accuracy": 0.5, "baseline_loss": 1.0,
    "seconds_each": {"float": 1.0, "quantized": 2.0}, "epochs": 1, "data": "digits",
    "rounded": {**dict.fromkeys(COUNTS, 3), "accuracy": 0.5, "loss": 1.5, "integer_type": "int16"}}


@tries(60, 10_000)
def test_an_edited_result_is_refused_or_is_a_table(tmp_path, seeds):
    assert (tmp_path / "result.json").write_text(json.dumps(RESULT))
    assert read_result(tmp_path) == RESULT
    assert read_accuracy(tmp_path) == 0.5
    for seed in seeds:
        (tmp_path / "result.json").write_text(json.dumps(changed(RESULT, random.Random(seed))))
        result = sound_or_refused(lambda: read_result(tmp_path))
        if result is not None:
            assert max(map(len, comparison(result, "x", True).splitlines())) < 300
        accuracy = sound_or_refused(lambda: read_accuracy(tmp_path))
        assert accuracy is None or 0 <= accuracy <= 1


@tries(40, 3_000)
def test_edited_settings_are_refused_or_give_themselves_again(tmp_path, seeds):
    configs = [RunConfig(), RunConfig(data="imagenette", inputs={"method": "lsq", "bits": 4}, penalty="sine", rate=0.1),
               RunConfig(weights=None, own={"dense1.weight": {"method": "pact"}}, lr=0.0)]
    for seed in seeds:
        rng = random.Random(seed)
        (tmp_path / "config.json").write_text(json.dumps(changed(json.loads(rng.choice(configs).to_json()), rng)))
        config = sound_or_refused(lambda: read_config(tmp_path / "config.json"))
        if config is not None:
            assert given_by(command(config)) == config
            config.describe()


# ---- Data sets and other programs' files


def flipped(raw, rng, texts):
    """Bytes with one to four of them changed, taken out, or a text put in."""
    raw = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        place, what = rng.randrange(len(raw)), rng.random()
        if what < 0.5:
            raw[place] = rng.randrange(256)
        elif what < 0.8:
            text = rng.choice(texts)
            raw[place:place + len(text)] = text
        elif len(raw) > 9:
            del raw[place:place + rng.randint(1, 5)]
    return bytes(raw)


@functools.cache
def archive():
    """A tar archive of plain and long names, with a sparse file, and where its headers are."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("a", "b" * 150, "é"):
            member = tarfile.TarInfo(name)
            member.size = 700
            tar.addfile(member, io.BytesIO(b"x" * 700))
        member = tarfile.TarInfo("sparse")
        member.type = tarfile.GNUTYPE_SPARSE
        tar.addfile(member)
    raw = content.getvalue()
    return raw, [at for at in range(0, len(raw), 512) if raw[at + 257:at + 262] == b"ustar"]


SIZES = [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7, b"77777777777\0",
         b"-0000000001\0"]


@tries()
def test_a_tar_archive_whose_headers_lie(tmp_path, seeds):
    path = tmp_path / "x.tar"
    for seed in seeds:
        rng, (raw, heads) = random.Random(seed), archive()
        raw = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            head = rng.choice(heads)
            if rng.random() < 0.5:
                raw[head + 124:head + 136] = rng.choice(SIZES)
            else:
                raw[head + rng.choice([156, rng.randrange(500)])] = rng.choice(b"0123456789xgLKSV\xff\0")
            block = bytearray(raw[head:head + 512])
            block[148:156] = b" " * 8
            raw[head + 148:head + 156] = b"%06o\0 " % sum(block)
        path.write_bytes(gzip.compress(raw, 1) if rng.random() < 0.2 else raw)
        names = sound_or_refused(lambda: member_names(path))
        if names:
            assert all(len(part) <= 10**6 for _, part in sound_or_refused(
                lambda names=names: list(read_members(path, names, 10**6))) or ())


PICKLED = [b"S'\\d'\n", b'S"\\x"\n', b"V\\u12\n", b"V\\ud800\n", b"S'\\777'\n", b"I" + b"9" * 5000 + b"\n", b"F1e999\n",
           b"T\xff\xff\xff\x7f", b"X\xff\xff\xff\xff", b"\x8a\xff", b"\x8b\xff\xff\xff\xff", b"cos\nsystem\n",
           b"ios\nsystem\n"]


@tries(100, 20_000)
def test_a_batch_of_pictures_in_a_pickle(seeds):
    rows = np.hstack([np.arange(4)[:, None], np.zeros((4, 3072))]).astype(np.uint8)
    assert pickled_records(pickled(rows), 4, 3072, "x").shape == (4, 3073)
    for seed in seeds:
        rng = random.Random(seed)
        raw = flipped(pickled(rows), rng, PICKLED) if rng.random() < 0.2 else pickled(
            rows, calls=flipped(b"cnumpy.core.multiarray\n_reconstruct\n", rng, PICKLED))
        sound_or_refused(lambda raw=raw: pickled_records(raw, 4, 3072, "x"))


@tries(100, 20_000)
def test_an_idx_file(seeds):
    good = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(range(24))
    for seed in seeds:
        raw = flipped(good, random.Random(seed), [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1", b"\7\xff\xff\xff"])
        array = sound_or_refused(lambda raw=raw: parse_idx(bytearray(raw), "x"))
        assert array is None or 0 < array.size <= len(raw)


@tries(60, 10_000)
def test_a_safetensors_file_whose_header_is_edited(tmp_path, seeds):
    write(tmp_path / "good", {"a.codes": np.ones((2, 3), np.int8), "a.scale": np.ones((2, 1), np.float32)}, {"b": "c"})
    good = (tmp_path / "good").read_bytes()
    length = int.from_bytes(good[:8], "little")
    header, data = json.loads(good[8:8 + length]), good[8 + length:]
    for seed in seeds:
        text = json.dumps(changed(header, random.Random(seed))).encode()
        (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + data)
        found = sound_or_refused(lambda: from_safetensors(tmp_path / "x"))
        if found:
            assert sum(one.codes.nbytes for one in found[0].values()) <= len(data)


# ---- Model files

GOLDEN = Path(__file__).parent / "golden"
WORDS = ["codes", "support", "i1", "f8", "context", "packed", {"method": "hashed-nets", "seed": 5}, {"levels": 1},
         {"books": 0, "tensor": 1}, {"weights": 0, "seed": 1}, {"numbers": 0}, {"scale": 0, "offset": 1, "size": 2}]


@functools.cache
def models():
    """Name, bytes, sections and content of every model file in golden/."""
    return [(path.stem, path.read_bytes(), split(io.BytesIO(path.read_bytes()), path.stat().st_size), load(path))
            for path in sorted(GOLDEN.glob("model-*.mlq"))]


def crafted(sections, rng):
    """A file with right checksums around a header, codes or numbers that were changed; None where JSON holds them not.
    """
    header = sections.header if rng.random() < 0.4 else changed(sections.header, rng)
    if rng.random() < 0.3:
        container, key = rng.choice(list(nodes(header := copy.deepcopy(header))) or [([None], 0)])
        container[key] = copy.deepcopy(rng.choice(WORDS))
    texts = [b"\0", b"\1", b"\2", b"\xff" * 4]
    codes, floats = (flipped(part, rng, texts) if part and rng.random() < 0.4 else part
                     for part in (sections.codes, sections.floats))
    kind = sections.coded if rng.random() < 0.95 else not sections.coded
    try:
        return joined(sections._replace(header=header, codes=codes, floats=floats, coded=kind))
    except (MinilqError, ValueError):
        return None


def assert_same(stored, want):
    assert stored.facts == want.facts
    assert repr(stored.network) == repr(want.network)
    assert {name: one.values.tobytes() for name, one in stored.coded.items()} == {
        name: one.values.tobytes() for name, one in want.coded.items()}
    assert {name: array.tobytes() for name, array in stored.network.state().items()} == {
        name: array.tobytes() for name, array in want.network.state().items()}


@tries(150, 1_000)
def test_a_damaged_model_file_is_refused_or_is_the_same_network(tmp_path, seeds):
    for seed in seeds:
        rng = random.Random(seed)
        _, good, _, want = rng.choice(models())
        (tmp_path / "m.mlq").write_bytes(flipped(good, rng, [b"C", b"N", b"\0\0\0\0", good[20:40]]))
        stored = sound_or_refused(lambda: load(tmp_path / "m.mlq"))
        if stored is not None:
            assert_same(stored, want)


@tries(60, 400)
def test_a_model_file_that_lies_with_right_checksums_is_refused_or_is_what_it_says(tmp_path, seeds):
    for seed in seeds:
        rng = random.Random(seed)
        content = crafted(rng.choice(models())[2], rng)
        if content is None:
            continue
        (tmp_path / "m.mlq").write_bytes(content)
        stored = sound_or_refused(lambda: load(tmp_path / "m.mlq"))
        if stored is None:
            continue
        assert all(np.isfinite(array).all() for array in stored.network.state().values())
        for name, one in stored.coded.items():
            np.testing.assert_array_equal(stored.network.sites()[name]().numpy(), one.values)
        (tmp_path / "again.mlq").write_bytes(contents(stored.network, facts=stored.facts))
        again = load(tmp_path / "again.mlq")
        assert all(np.array_equal(again.coded[name].values, one.values) for name, one in stored.coded.items())
