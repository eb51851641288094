"""CIFAR-10: a small made-up set in every container and with every damage, and the real one."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
from dataclasses import replace

import numpy as np
import pytest

import minilq.data.archive as archive_module
import minilq.data.cifar10 as cifar10_module
from minilq.data import load, load_cifar10
from minilq.data.cifar10 import BINARY, CIFAR10, PICKLED, load_cifar_set
from minilq.data.fetch import Check
from minilq.errors import DataError

N = 4
NAMES = ("data_batch_1", "data_batch_2", "test_batch")
RECORDS = {
    name: np.concatenate(
        [rng.integers(0, 10, (N, 1), np.uint8), rng.integers(0, 256, (N, 3072), np.uint8)], axis=1
    )
    for rng in [np.random.default_rng(7)]
    for name in NAMES
}


def sha256(raw):
    return hashlib.sha256(raw).hexdigest()


def short_string(text):
    return b"U" + bytes([len(text)]) + text


def pickled(records, calls=b"cnumpy.core.multiarray\n_reconstruct\n", by_column=False):
    """What cPickle of Python 2 writes, opcode by opcode: a dictionary of name, labels, pixels, file names."""
    pixels = (records[:, 1:].T if by_column else records[:, 1:]).tobytes()
    labels = [b"K" + bytes([label]) for label in records[:, 0]]
    pieces = [b"(" + b"".join(labels[:3]) + b"e", b"(" + b"".join(labels[3:]) + b"e"]  # APPENDS, piece by piece
    array = (
        calls + b"q\x06cnumpy\nndarray\nq\x07K\x00\x85" + short_string(b"b") + b"\x87Rq\x08"
        + b"(K\x01M" + struct.pack("<H", N) + b"M\x00\x0c\x86cnumpy\ndtype\nq\x09" + short_string(b"u1")
        + b"K\x00K\x01\x87R" + (b"\x88" if by_column else b"\x89")
        + b"T" + struct.pack("<i", len(pixels)) + pixels + b"tb"
    )  # fmt: skip
    return (
        b"\x80\x02}q\x01(" + short_string(b"batch_label") + b"q\x02" + short_string(b"testing batch 1 of 1")
        + short_string(b"labels") + b"q\x03]q\x04" + b"".join(pieces)
        + short_string(b"data") + array
        + short_string(b"filenames") + b"](" + short_string(b"a.png") + short_string(b"b.png") + b"eu."
    )  # fmt: skip


RAW = {
    BINARY: {f"{name}.bin": records.tobytes() for name, records in RECORDS.items()},
    PICKLED: {name: pickled(records) for name, records in RECORDS.items()},
}
SMALL = replace(
    CIFAR10,
    name="small",
    title="Small",
    mirrors=("http://127.0.0.1:9/",),
    batches={name: sha256(records.tobytes()) for name, records in RECORDS.items()},
    per_batch=N,
)
FORMS = pytest.mark.parametrize("form", [BINARY, PICKLED], ids=["binary", "pickled"])


def put_folder(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)


def tar_bytes(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return out.getvalue()


def archive_bytes(form, files=None, extra=None):
    members = {f"{form.folder}/{name}": raw for name, raw in (files or RAW[form]).items()}
    return gzip.compress(tar_bytes(members | (extra or {})), mtime=0)


def put_archive(folder, form, raw=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / form.archive).write_bytes(archive_bytes(form) if raw is None else raw)
    return folder / form.archive


def assert_small(data):
    parts = [(data.train_images, data.train_labels, NAMES[:2]),
             (data.validation_images, data.validation_labels, NAMES[2:])]  # fmt: skip
    for images, labels, names in parts:
        records = np.concatenate([RECORDS[name] for name in names])
        assert images.dtype == np.uint8
        assert images.shape == (len(records), 32, 32, 3)
        assert labels.dtype == np.int64
        assert labels.tolist() == records[:, 0].tolist()
        for image, record in zip(images, records, strict=True):
            for channel in range(3):
                plane = record[1 + 1024 * channel : 1 + 1024 * (channel + 1)]
                assert np.array_equal(image[:, :, channel], plane.reshape(32, 32))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder of its own, no MINILQ_DATA, and no network."""

    def refuse(file_name, mirrors, check, folder):
        raise DataError("fetch", f"{file_name} could not be fetched")

    monkeypatch.delenv("MINILQ_DATA", raising=False)
    monkeypatch.setattr(cifar10_module, "cache_folder", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(cifar10_module, "fetch", refuse)
    return tmp_path / "cache" / "small"


@FORMS
@pytest.mark.parametrize("below", [".", "cifar10", "cifar-10"])
@pytest.mark.parametrize("container", ["files", "folder", "archive"])
def test_every_container_in_every_place_gives_the_same(tmp_path, form, below, container):
    place = tmp_path / "d" / below
    if container == "archive":
        put_archive(place, form)
    else:
        put_folder(place / form.folder if container == "folder" else place, RAW[form])
    data = load_cifar_set(SMALL, str(tmp_path / "d"))
    assert data.name == "small"
    assert data.classes[3] == "cat"
    assert_small(data)


def test_pixels_stored_by_columns_are_put_in_order(tmp_path):
    put_folder(tmp_path / "d", {name: pickled(records, by_column=True) for name, records in RECORDS.items()})
    assert_small(load_cifar_set(SMALL, tmp_path / "d"))


def test_archive_in_mixed_order_with_dotted_names_and_strangers(tmp_path):
    members = {f"./{BINARY.folder}/{name}": raw for name, raw in reversed(RAW[BINARY].items())}
    strangers = {"readme.html": b"...", f"{BINARY.folder}/batches.meta.txt": b"airplane\n"}
    put_archive(tmp_path / "d", BINARY, gzip.compress(tar_bytes(strangers | members)))
    assert_small(load_cifar_set(SMALL, tmp_path / "d"))


def test_incomplete_folder_leads_on_to_the_archive(tmp_path):
    put_folder(tmp_path / "d" / BINARY.folder, {"data_batch_1.bin": RAW[BINARY]["data_batch_1.bin"]})
    with pytest.raises(DataError, match=r"cifar-10-batches-bin lacks data_batch_2\.bin, test_batch\.bin"):
        load_cifar_set(SMALL, tmp_path / "d")
    put_archive(tmp_path / "d", BINARY)
    assert_small(load_cifar_set(SMALL, tmp_path / "d"))


def test_nothing_there_says_what_was_sought_where(tmp_path, cache):
    put_archive(cache, BINARY)  # Not to be used: a folder was named.
    (tmp_path / "d").mkdir()
    with pytest.raises(DataError) as caught:
        load_cifar_set(SMALL, tmp_path / "d")
    text = str(caught.value)
    assert all(name in text for form in (BINARY, PICKLED) for name in (form.folder, form.archive))
    assert f"{tmp_path / 'd'}: none of these" in text
    assert f"{tmp_path / 'd' / 'cifar10'}: no such folder" in text


@FORMS
@pytest.mark.parametrize("container", ["folder", "archive"])
def test_wrong_digest_names_the_batch(tmp_path, form, container):
    records = RECORDS["data_batch_2"].copy()
    records[2, 100] ^= 1
    changed = records.tobytes() if form is BINARY else pickled(records)
    files = RAW[form] | {f"data_batch_2{form.suffix}": changed}
    if container == "folder":
        put_folder(tmp_path / "d", files)
    else:
        put_archive(tmp_path / "d", form, archive_bytes(form, files))
    with pytest.raises(DataError, match=f"data_batch_2.*{SMALL.batches['data_batch_2']}.*{sha256(records)}"):
        load_cifar_set(SMALL, tmp_path / "d")


@pytest.mark.parametrize("size", [0, 100, N * 3073 - 1, N * 3073 + 1])
def test_wrong_size_names_the_batch(tmp_path, size):
    raw = (RAW[BINARY]["test_batch.bin"] + b"\0")[:size]
    put_folder(tmp_path / "d", RAW[BINARY] | {"test_batch.bin": raw})
    with pytest.raises(DataError, match=rf"test_batch\.bin: {N * 3073} bytes were expected; got {size}\."):
        load_cifar_set(SMALL, tmp_path / "d")


@pytest.mark.parametrize("keep", [0, 1, 9, 300, 0.5, -9, -1])
def test_cut_archive_is_a_data_error_that_names_it(tmp_path, keep):
    raw = archive_bytes(BINARY)
    archive = put_archive(tmp_path / "d", BINARY, raw[: int(len(raw) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match="the archive is damaged") as caught:
        load_cifar_set(SMALL, tmp_path / "d")
    assert str(archive) in str(caught.value)


def test_cut_in_a_batch_names_that_batch(tmp_path):
    raw = tar_bytes({f"{BINARY.folder}/{name}": raw for name, raw in RAW[BINARY].items()})
    put_archive(tmp_path / "d", BINARY, gzip.compress(raw[: 512 + N * 3073 + 3000]))
    with pytest.raises(DataError, match=f"damaged; got .*{BINARY.folder}/data_batch_2"):
        load_cifar_set(SMALL, tmp_path / "d")


@pytest.mark.parametrize("gzipped", [True, False])
def test_lost_header_is_not_taken_for_the_end(tmp_path, gzipped):
    raw = bytearray(tar_bytes({f"{BINARY.folder}/{name}": raw for name, raw in RAW[BINARY].items()}))
    second = raw.index(b"cifar-10-batches-bin/data_batch_2")
    raw[second + 60] ^= 1  # Its checksum is wrong now, which tarfile passes over in silence.
    put_archive(tmp_path / "d", BINARY, gzip.compress(raw) if gzipped else bytes(raw))
    with pytest.raises(DataError, match="no end mark"):
        load_cifar_set(SMALL, tmp_path / "d")


def test_archive_without_a_batch_names_it(tmp_path):
    files = {name: raw for name, raw in RAW[BINARY].items() if name != "data_batch_2.bin"}
    put_archive(tmp_path / "d", BINARY, archive_bytes(BINARY, files))
    with pytest.raises(DataError, match=r"no cifar-10-batches-bin/data_batch_2\.bin"):
        load_cifar_set(SMALL, tmp_path / "d")


def test_member_above_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10_module, "_FILE_LIMIT", N * 3073 - 1)
    put_archive(tmp_path / "d", BINARY)
    with pytest.raises(DataError, match=rf"data_batch_1\.bin: at most {N * 3073 - 1} bytes"):
        load_cifar_set(SMALL, tmp_path / "d")


def test_members_that_point_elsewhere_are_left_alone(tmp_path):
    evil = {"../../evil": b"evil", f"../{BINARY.folder}/data_batch_1.bin": b"evil", "/tmp/evil": b"evil"}
    put_archive(tmp_path / "a" / "d", BINARY, archive_bytes(BINARY, extra=evil))
    before = sorted(tmp_path.rglob("*"))
    assert_small(load_cifar_set(SMALL, tmp_path / "a" / "d"))
    assert sorted(tmp_path.rglob("*")) == before


def test_link_named_like_a_batch_is_not_followed(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        link = tarfile.TarInfo(f"{BINARY.folder}/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    put_archive(tmp_path / "d", BINARY, out.getvalue())
    with pytest.raises(DataError, match="every batch must be in the archive"):
        load_cifar_set(SMALL, tmp_path / "d")


def test_reading_is_in_memory(tmp_path, monkeypatch):
    def extract(*_, **__):
        raise AssertionError("nothing may be extracted")

    monkeypatch.setattr(archive_module.tarfile.TarFile, "extract", extract)
    monkeypatch.setattr(archive_module.tarfile.TarFile, "extractall", extract)
    put_archive(tmp_path / "d", PICKLED)
    assert_small(load_cifar_set(SMALL, tmp_path / "d"))


@pytest.mark.parametrize("name", [b"cos\nsystem\n", b"cnt\nsystem\n", b"c__builtin__\neval\n", b"cnumpyish\nsystem\n"])
def test_pickle_that_would_run_a_program_is_refused_and_not_run(tmp_path, name):
    # Complete and with the right digest, so nothing but the call can be the reason.
    command = f"echo ran > {tmp_path / 'ran'}".encode()
    call = name + b"(" + short_string(command) + b"tR0" + b"cnumpy.core.multiarray\n_reconstruct\n"
    files = RAW[PICKLED] | {"data_batch_1": pickled(RECORDS["data_batch_1"], calls=call)}
    put_folder(tmp_path / "d", files)
    with pytest.raises(DataError, match="may call nothing but NumPy; got a call of"):
        load_cifar_set(SMALL, tmp_path / "d")
    assert not (tmp_path / "ran").exists()


def test_unpickling_that_pickle_would_have_run_it(tmp_path):
    # So that the test above is one: the same bytes do run a program elsewhere.
    command = f"echo ran > {tmp_path / 'ran'}".encode()
    pickle.loads(b"\x80\x02cos\nsystem\n(" + short_string(command) + b"tR.")
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "a pickle was expected"),
        (b"\x80\x02}", "a pickle was expected"),
        (b"\xff" * 50, "a pickle was expected"),
        (b"\x80\x02}.", "got 0 labels and no pixels"),
        (b"\x80\x04\x8c\x06labels\x94.", "a pickle of protocol 2 was expected; got SHORT_BINUNICODE"),
        (pickled(RECORDS["test_batch"])[:200], "a pickle was expected"),
        (pickled(RECORDS["test_batch"])[:-3000], "a pickle was expected"),
        (pickled(RECORDS["test_batch"][:, :-1]), "got 4 labels and no pixels"),
        (pickled(RECORDS["test_batch"]).replace(short_string(b"labels"), short_string(b"Labels")),
         "got 0 labels and pixels"),
        (pickled(np.concatenate([RECORDS["test_batch"]] * 2)), "got 8 labels and no pixels"),
    ],
)  # fmt: skip
def test_damaged_pickle_says_what_is_wrong(tmp_path, raw, words):
    put_folder(tmp_path / "d", RAW[PICKLED] | {"test_batch": raw})
    with pytest.raises(DataError, match=words) as caught:
        load_cifar_set(SMALL, tmp_path / "d")
    assert str(tmp_path / "d" / "test_batch") in str(caught.value)


def test_odd_strings_in_a_pickle_are_passed_over_in_silence(tmp_path):
    odd = b"S'\\d'\n0V\\u00e9\n0cnumpy.core.multiarray\n_reconstruct\n"
    put_folder(tmp_path / "d", RAW[PICKLED] | {"test_batch": pickled(RECORDS["test_batch"], calls=odd)})
    assert_small(load_cifar_set(SMALL, tmp_path / "d"))


def test_environment_comes_before_the_cache_and_the_cache_before_the_network(tmp_path, monkeypatch, cache):
    put_archive(cache, BINARY)
    assert_small(load_cifar_set(SMALL))
    put_folder(tmp_path / "d", RAW[BINARY] | {"test_batch.bin": b"damaged"})
    monkeypatch.setenv("MINILQ_DATA", str(tmp_path / "d"))
    with pytest.raises(DataError, match=r"test_batch\.bin"):
        load_cifar_set(SMALL)


def test_found_nowhere_tells_what_was_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILQ_DATA", str(tmp_path / "d"))
    with pytest.raises(DataError, match=r"MINILQ_DATA.*no such folder.*cifar-10-binary.tar.gz could not be"):
        load_cifar_set(SMALL)


def test_fetched_into_the_cache_once_and_instead_of_a_damaged_copy(monkeypatch, cache):
    put_folder(cache / BINARY.folder, RAW[BINARY] | {"test_batch.bin": b"damaged"})
    fetched = []

    def fake_fetch(file_name, mirrors, check, folder):
        fetched.append((file_name, mirrors, check, folder))
        return put_archive(folder, BINARY)

    monkeypatch.setattr(cifar10_module, "fetch", fake_fetch)
    assert_small(load_cifar_set(SMALL))
    assert fetched == [("cifar-10-binary.tar.gz", SMALL.mirrors, SMALL.check, cache)]
    for path in (cache / BINARY.folder).iterdir():
        path.unlink()
    assert_small(load_cifar_set(SMALL))
    assert len(fetched) == 1


def test_folder_named_like_the_archive_is_a_data_error(tmp_path):
    (tmp_path / "d" / BINARY.archive).mkdir(parents=True)
    with pytest.raises(DataError, match="the archive cannot be read"):
        load_cifar_set(SMALL, tmp_path / "d")


def test_real_set_refuses_small_files(tmp_path):
    put_folder(tmp_path, RAW[BINARY] | {f"data_batch_{k}.bin": b"" for k in (3, 4, 5)})
    with pytest.raises(DataError, match="30730000 bytes were expected"):
        load("cifar10", tmp_path)


def test_real_set_is_completely_described():
    assert list(CIFAR10.batches) == [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    assert all(len(digest) == 64 for digest in [CIFAR10.check.sha256, *CIFAR10.batches.values()])
    assert isinstance(CIFAR10.check, Check)
    assert not CIFAR10.check.uncompressed
    assert CIFAR10.check.max_bytes >= 170_052_171
    assert len(set(CIFAR10.classes)) == 10


REAL = os.environ.get("MINILQ_DATA", "")


@pytest.mark.deep
def test_real_cifar10(monkeypatch):
    try:
        data = load_cifar10(REAL or "no-such-folder")
    except DataError as error:
        if "expected in" not in str(error):
            raise
        pytest.skip("needs CIFAR-10: set MINILQ_DATA to its folder")
    assert data.train_images.shape == (50_000, 32, 32, 3)
    assert np.bincount(data.train_labels).tolist() == [5000] * 10
    assert np.bincount(data.validation_labels).tolist() == [1000] * 10
    assert data.validation_labels[:5].tolist() == [3, 8, 8, 0, 6]
    # The published channel means; a mix-up of planes or rows and columns would show in the second line.
    assert np.round(data.train_images.mean((0, 1, 2)) / 255, 4).tolist() == [0.4914, 0.4822, 0.4465]
    sky = data.train_images[data.train_labels == 0][:, 0].mean((0, 1))
    assert sky[2] > sky[1] > sky[0]
