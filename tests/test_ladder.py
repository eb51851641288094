"""The size ladder: every byte that it counts is one that a decoder reads; its table and its figure."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilq.coding.ladder import RUNGS, TOTAL, XZ_HEADER, Weight, ladder
from minilq.coding.sizes import entropy_coded, lzma_of, narrowest, packed, zip_of, zipped
from minilq.coding.zero_runs import best_field
from minilq.errors import ConfigError
from minilq.quantize import Coded, Even, Table
from minilq.report.ladder import PARTS, draw, save, table


@st.composite
def parameters(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coded = {}
    for number in range(draw(st.integers(1, 3))):
        shape = (draw(st.integers(1, 9)), draw(st.integers(1, 30)))
        spread = draw(st.sampled_from([0, 0.3, 2, 30, 400]))
        codes = np.rint(spread * rng.standard_normal(shape))
        codes = codes.astype(np.int8 if np.abs(codes).max() < 128 else np.int16)
        coded[f"dense{number}.weight"] = Coded(codes, Even(np.ones((shape[0], 1), np.float32)))
    return coded


@settings(max_examples=10)                       # LZMA takes its time
@given(coded=parameters())
def test_every_form_is_what_is_written(coded):
    rows = ladder(coded)
    assert list(rows) == [*coded, TOTAL]
    for name, (codes, grid) in coded.items():
        row, scales = rows[name], 4 * grid.scale.size
        assert {weight.scales for form, weight in row.items() if form != "float32"} == {scales}
        assert row["float32"] == (4 * codes.size, 0, 0)
        assert row["int8"] == (codes.size * codes.itemsize, 0, scales)
        for coder in RUNGS:
            encoded = coder.encode(codes)
            assert row[coder.name][:2] == (len(encoded.content), len(encoded.table))
        assert row["zip"].codes + row["zip"].tables == zipped({name: codes})
        assert row["xz"].codes + XZ_HEADER == len(lzma_of({name: codes}))
        assert row["Shannon"].codes <= row["huffman"].codes
        assert abs(row["Shannon"].codes - row["range"].codes) <= 2


@settings(max_examples=10)                       # LZMA takes its time
@given(coded=parameters())
def test_the_total_is_a_sum_but_for_archives_which_are_one(coded):
    rows = ladder(coded)
    total = rows.pop(TOTAL)
    for form, weight in total.items():
        if form not in ("zip", "xz"):
            assert weight == tuple(np.sum([row[form] for row in rows.values()], axis=0))
        assert weight.total == weight.codes + weight.tables + weight.scales
    codes = {name: one.codes for name, one in coded.items()}
    all_scales = sum(4 * one.grid.scale.size for one in coded.values())
    assert total["zip"].total == zipped(narrowest(codes)) + all_scales
    assert total["xz"].total == len(lzma_of(codes)) + all_scales
    assert total["packed"].total == packed(coded)            # what result.json says
    lowest = 3 * len(codes)                                  # a smallest code takes less than a header, and rounding
    assert total["range"].total <= entropy_coded(coded) + lowest


def test_the_codes_of_a_zip_are_its_deflated_streams():
    codes = np.random.default_rng(0).integers(-3, 4, (50, 40)).astype(np.int8)
    with zipfile.ZipFile(io.BytesIO(zip_of({"a": codes}))) as archive:
        deflated = [entry.compress_size for entry in archive.infolist()]
    assert ladder({"a": Coded(codes, Even(np.ones(1, np.float32)))})["a"]["zip"].codes == deflated[0]


@pytest.mark.parametrize(("grid", "numbers"), [
    (Even(np.ones((1, 3), np.float32), np.zeros((1, 3), np.int64)), 6), (Table(np.ones(5, np.float32)), 5),
    (Even(np.ones(1, np.float32), np.array(3), np.ones(1, np.float32)), 3)], ids=["zeros", "table", "all"])
def test_a_whole_grid_is_counted(grid, numbers):
    row = ladder({"a": Coded(np.zeros((2, 3), np.int8), grid)})["a"]
    assert {weight.scales for form, weight in row.items() if form != "float32"} == {4 * numbers}


@given(runs=st.lists(st.integers(0, 3000), max_size=30), width=st.integers(0, 9))
def test_no_field_is_better_than_the_best(runs, width):
    def bits(field):
        return sum(run // 2**field + 1 for run in runs) * (field + width)

    chosen = best_field(np.array(runs, np.int64), width)
    assert bits(chosen) == min(bits(field) for field in range(20))


def test_zero_runs_win_where_codes_are_rare():
    codes = np.zeros(10_000, np.int8)
    codes[::100] = 3
    row = ladder({"a": Coded(codes, Even(np.ones(1, np.float32)))})["a"]
    assert row["zero runs"].codes < row["packed"].codes / 5
    assert row["zero runs"].codes < row["huffman"].codes     # which cannot go below a bit for each code


def example():
    rng = np.random.default_rng(1)
    return ladder({"dense1.weight": Coded(np.rint(3 * rng.standard_normal((300, 40))).astype(np.int8),
                                          Even(np.ones((300, 1), np.float32))),
                   "dense1.bias": Coded(np.array([0, 1, -3], np.int8), Even(np.ones(1, np.float32)))})


def test_the_table_tells_every_number():
    rows = example()
    split, *each, _ = table(rows).split("\n\n")
    total = rows[TOTAL]
    for form, weight in total.items():
        line = next(line for line in split.splitlines() if line.startswith(form))
        want = [f"{n:,}" for n in (*weight, weight.total)] + [f"{total['float32'].total / weight.total:.2f}x"]
        assert line[len(form):].split() == want
    for name, row in rows.items():
        cells = [cell for part in each for line in part.splitlines() if line.startswith(name)
                 for cell in line.split()[1:]]
        assert cells == [f"{weight.total:,}" for weight in row.values()]
    assert max(map(len, table(rows).splitlines())) <= 80
    assert "int8:" not in table(rows)


def test_the_table_says_when_codes_are_wider_than_a_byte():
    rows = ladder({"a": Coded(np.array([300, 0], np.int16), Even(np.ones(1, np.float32)))})
    assert rows["a"]["int8"] == Weight(4, 0, 4)
    assert "do not fit into int8" in table(rows)
    assert "do not fit into int8" not in table(example())


def test_bars_are_as_long_as_the_bytes_and_the_bound_is_a_line():
    pytest.importorskip("matplotlib")
    rows = example()
    ax = draw(rows)
    forms = [label.get_text() for label in ax.get_yticklabels()]
    assert forms == [form for form in rows[TOTAL] if form != "Shannon"]
    for (part, _, _), bars in zip(PARTS, ax.containers, strict=True):
        assert [bar.get_width() for bar in bars] == pytest.approx([getattr(rows[TOTAL][f], part) / 1000 for f in forms])
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    assert ends == pytest.approx([rows[TOTAL][form].total / 1000 for form in forms])
    assert ax.lines[0].get_xdata()[0] == pytest.approx(rows[TOTAL]["Shannon"].total / 1000)
    assert ax.get_xlim()[1] > max(end for end, form in zip(ends, forms, strict=True) if form != "float32")
    ax.figure.savefig(io.BytesIO(), format="svg")


def test_a_picture_never_replaces_what_is_none(tmp_path):
    weights = ladder({"dense1.weight": Coded(np.arange(6, dtype=np.int8).reshape(2, 3),
                                             Even(np.ones((2, 1), np.float32)))})
    path = tmp_path / "notes.svg"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.svg must be a figure, or not there yet.*--out"):
        save(weights, path)
    assert path.read_text() == "mine"
    path.unlink()
    first = save(weights, path).read_bytes()
    assert save(weights, path).read_bytes() == first
