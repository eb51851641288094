"""Imagenette: small made-up sets as folders and archives, every damage, the cache, and the real set."""

import gzip
import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zlib

import numpy as np
import pytest
from matplotlib.image import imsave
from PIL import Image  # Matplotlib needs it, so it is here.

import minilq.data.imagecache as imagecache_module
import minilq.data.imagenette as imagenette_module
import minilq.data.images as images_module
import minilq.data.wholefolder as wholefolder_module
from minilq.data import load, load_imagenette
from minilq.data.augment import resize
from minilq.data.imagenette import DOWNLOADS, READABLE, train_size
from minilq.data.images import decode
from minilq.data.imagetree import picture_names
from minilq.errors import ConfigError, DataError

CLASSES = ("n01440764", "n02102040", "zebra")
COLOURS = {"n01440764": (250, 10, 10), "n02102040": (10, 250, 10), "zebra": (10, 10, 250)}
SIZE = 28  # Training images have 32.


def picture(pixels, kind="png"):
    out = io.BytesIO()
    imsave(out, pixels, format=kind)
    return out.getvalue()


def tree(n_train=5, n_val=3, kind="png", ending="png", classes=CLASSES, side=40):
    """The pictures of a made-up set by name: each almost of the colour of its class, and each another one."""
    files = {}
    for part, n in (("train", n_train), ("val", n_val)):
        for class_name in classes:
            for k in range(n):
                pixels = np.empty((side, side + 7, 3), np.uint8)
                pixels[...] = COLOURS[class_name]
                pixels[:, : 5 + k] = 128
                files[f"{part}/{class_name}/p{k}.{ending}"] = picture(pixels, kind)
    return files


FILES = tree()


def put_folder(folder, files=FILES):
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    return folder


def tar_bytes(files=FILES, root="imagenette2/"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, raw in files.items():
            info = tarfile.TarInfo(root + name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return out.getvalue()


def put_archive(path, files=FILES, root="imagenette2/"):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = tar_bytes(files, root)
    path.write_bytes(raw if path.suffix == ".tar" else gzip.compress(raw))
    return path


def assert_holds(data, n_train=5, n_val=3, exact=True):
    assert data.name == "imagenette"
    assert data.classes == ("tench", "English springer", "zebra")
    parts = [(data.train_images, data.train_labels, n_train, 32),
             (data.validation_images, data.validation_labels, n_val, 28)]  # fmt: skip
    for images, labels, n, side in parts:
        assert images.dtype == np.uint8
        assert images.shape == (3 * n, side, side, 3)
        assert labels.dtype == np.int64
        assert np.bincount(labels).tolist() == [n] * 3
        corner = images[:, -1, -1].astype(int)
        expected = np.array([COLOURS[CLASSES[label]] for label in labels])
        assert np.abs(corner - expected).max() <= (0 if exact else 12)
        assert len({image.tobytes() for image in images}) == 3 * n


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder of its own, no MINILQ_DATA, and no network."""

    def refuse(file_name, mirrors, check, folder):
        raise DataError("fetch", f"{file_name} could not be fetched")

    monkeypatch.delenv("MINILQ_DATA", raising=False)
    monkeypatch.setattr(imagenette_module, "cache_folder", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(imagenette_module, "fetch", refuse)
    return tmp_path / "cache" / "imagenette"


def made(cache):
    """The folders of decoded pictures, and the leftovers of making them."""
    return sorted(path.name for path in cache.glob("*decoded*"))


# Where and in what form


@pytest.mark.parametrize("below", [".", "imagenette2-160", "imagenette", "imagenette/imagenette2"])
def test_folder_in_every_place(tmp_path, below):
    put_folder(tmp_path / "d" / below)
    assert_holds(load_imagenette(str(tmp_path / "d"), SIZE))


@pytest.mark.parametrize("name", ["imagenette2.tgz", "imagenette2-160.tar.gz", "imagenette/imagenette2-80.tar"])
def test_archive_in_a_folder(tmp_path, name):
    put_archive(tmp_path / "d" / name)
    assert_holds(load_imagenette(tmp_path / "d", SIZE))


@pytest.mark.parametrize("root", ["", "./", "any-name/", "./any-name/"])
def test_archive_itself_whatever_its_name_and_first_folder(tmp_path, root):
    path = put_archive(tmp_path / "my pictures.TGZ", root=root)
    assert_holds(load_imagenette(path, SIZE))


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("jpeg", "JPEG"), ("jpeg", "jpg"), ("jpeg", "Jpeg"), ("png", "PNG"), ("png", "JPEG"), ("jpeg", "png")],
)
def test_jpeg_and_png_by_content_in_any_spelling(tmp_path, kind, ending):
    put_folder(tmp_path / "d", tree(kind=kind, ending=ending))
    assert_holds(load_imagenette(tmp_path / "d", SIZE), exact=False)


def test_folder_and_archive_give_the_same_images_in_the_same_order(tmp_path):
    one = load_imagenette(put_folder(tmp_path / "d"), SIZE)
    shuffled = dict(sorted(FILES.items(), key=lambda entry: entry[1]))
    two = load_imagenette(put_archive(tmp_path / "d.tgz", shuffled), SIZE)
    assert np.array_equal(one.train_images, two.train_images)
    assert np.array_equal(one.validation_images, two.validation_images)
    assert one.train_labels.tolist() == two.train_labels.tolist()


def test_images_are_the_resized_pictures(tmp_path):
    data = load_imagenette(put_folder(tmp_path / "d"), SIZE)
    for part, images, side in (("train", data.train_images, 32), ("val", data.validation_images, 28)):
        pictures = [decode(raw, name) for name, raw in FILES.items() if name.startswith(part)]
        expected = {resize(pixels[None], side).tobytes() for pixels in pictures}
        assert {image.tobytes() for image in images} == expected


def test_order_mixes_the_classes(tmp_path):
    data = load_imagenette(put_folder(tmp_path / "d", tree(n_train=20)), SIZE)
    assert set(data.train_labels[:12]) == {0, 1, 2}
    assert set(data.head(36).validation_labels) == {0, 1, 2}


@pytest.mark.parametrize(("image_size", "side"), [(64, 72), (224, 256), (28, 32), (17, 17), (1, 1)])
def test_training_images_are_an_eighth_larger(image_size, side):
    assert train_size(image_size) == side


@pytest.mark.parametrize(
    ("present", "image_size", "taken"),
    [
        (["imagenette2-160", "imagenette2-320", "imagenette2"], 28, "imagenette2-160"),
        (["imagenette2-20", "imagenette2-32", "imagenette2-160"], 28, "imagenette2-32"),
        (["imagenette2-20", "imagenette2-31", "imagenette2"], 28, "imagenette2"),
        (["imagenette2-9", "imagenette2-20"], 28, "imagenette2-20"),
        (["imagenette2-160.tgz", "imagenette2-80.tgz"], 64, "imagenette2-80.tgz"),
        (["imagenette2-160.tgz", "imagenette2-160"], 28, "imagenette2-160"),
    ],
)
def test_smallest_sufficient_variant_or_else_the_largest(tmp_path, monkeypatch, present, image_size, taken):
    for name in present:
        (put_archive if name.endswith(".tgz") else put_folder)(tmp_path / "d" / name)
    (tmp_path / "d" / "imagenette2-50").mkdir()  # Empty: no variant.
    (tmp_path / "d" / "imagenette2-40.zip").touch()
    sources = []

    def record(source, *_):
        sources.append(source)
        raise DataError("enough")

    monkeypatch.setattr(imagenette_module, "decoded", record)
    with pytest.raises(DataError, match="enough"):
        load_imagenette(tmp_path / "d", image_size)
    assert sources == [tmp_path / "d" / taken]


def test_environment_then_cache_then_network(tmp_path, monkeypatch, cache):
    fetched = []

    def fake_fetch(file_name, mirrors, check, folder):
        fetched.append((file_name, mirrors, check, folder))
        return put_archive(folder / file_name)

    monkeypatch.setattr(imagenette_module, "fetch", fake_fetch)
    assert_holds(load_imagenette(image_size=SIZE))
    assert fetched == [("imagenette2-160.tgz", imagenette_module.MIRRORS, DOWNLOADS[160], cache)]
    assert_holds(load_imagenette(image_size=SIZE))
    assert len(fetched) == 1
    put_folder(tmp_path / "d", tree(n_train=2))
    monkeypatch.setenv("MINILQ_DATA", str(tmp_path / "d"))
    assert len(load_imagenette(image_size=SIZE).train_labels) == 6


@pytest.mark.parametrize(("image_size", "side"), [(140, 160), (141, 320)])
def test_too_small_a_variant_in_the_cache_is_not_used(monkeypatch, cache, image_size, side):
    put_archive(cache / "imagenette2-80.tgz")
    with pytest.raises(DataError, match=rf"imagenette2-{side}\.tgz could not be fetched"):
        load_imagenette(image_size=image_size)


def test_damaged_archive_in_the_cache_is_mended_by_fetching(monkeypatch, cache):
    path = put_archive(cache / "imagenette2-160.tgz")
    path.write_bytes(path.read_bytes()[:-100])
    monkeypatch.setattr(imagenette_module, "fetch", lambda name, *_: put_archive(cache / name))
    assert_holds(load_imagenette(image_size=SIZE))


def test_nothing_found_says_what_was_tried(tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    with pytest.raises(DataError) as caught:
        load_imagenette(tmp_path / "d", SIZE)
    assert "imagenette2*" in str(caught.value)
    assert f"{tmp_path / 'd'}: none of these; {tmp_path / 'd' / 'imagenette'}: no such folder" in str(caught.value)
    monkeypatch.setenv("MINILQ_DATA", str(tmp_path / "d"))
    with pytest.raises(DataError, match=r"MINILQ_DATA.*none of these.*imagenette2-160.tgz could not be fetched"):
        load_imagenette(image_size=SIZE)


def test_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "pictures.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="neither a folder nor an archive"):
        load_imagenette(tmp_path / "pictures.zip", SIZE)


# Damage


@pytest.mark.parametrize("keep", [0, 1, 20, 700, -400, -9, -1])
@pytest.mark.parametrize("damaged", ["refuse", "skip"])
def test_cut_archive_is_a_data_error_that_names_it(tmp_path, cache, keep, damaged):
    path = put_archive(tmp_path / "imagenette2.tgz")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="the archive is damaged") as caught:
        load_imagenette(path, SIZE, damaged)
    assert str(path) in str(caught.value)
    assert made(cache) == []


def test_plain_archive_cut_between_two_pictures_is_a_data_error(tmp_path):
    path = put_archive(tmp_path / "imagenette2.tar")
    raw = path.read_bytes()
    path.write_bytes(raw[: raw.index(b"imagenette2/val/zebra/p1")])
    with pytest.raises(DataError, match="no end mark"):
        load_imagenette(path, SIZE)


def test_one_wrong_bit_in_an_archive_is_found(tmp_path):
    path = put_archive(tmp_path / "imagenette2.tgz")
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1  # In the checksum: everything else can be read.
    path.write_bytes(raw)
    with pytest.raises(DataError, match="the archive is damaged; got CRC"):
        load_imagenette(path, SIZE)


def saved(kind):
    out = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(out, kind)
    return out.getvalue()


JPEG = picture(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8), "jpeg")
GOOD = FILES["val/zebra/p0.png"]
BAD_PICTURES = {
    "empty": b"",
    "text": b"<html>",
    "cut png": GOOD[:-30],
    "cut jpeg": JPEG[: len(JPEG) // 2],
    "only a header": JPEG[:20],
    "one wrong bit": GOOD[:30] + bytes([GOOD[30] ^ 1]) + GOOD[31:],  # In a checksum.
    "gif": saved("GIF"),
    "another format": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}
BAD = pytest.mark.parametrize("raw", BAD_PICTURES.values(), ids=BAD_PICTURES.keys())
PUT = pytest.mark.parametrize("put", [put_folder, put_archive], ids=["folder", "archive"])


@BAD
@PUT
def test_damaged_picture_is_refused_by_name(tmp_path, cache, put, raw):
    path = put(tmp_path / "imagenette2.tgz", FILES | {"train/zebra/p2.png": raw})
    with pytest.raises(DataError, match="picture") as caught:
        load_imagenette(path, SIZE)
    text = str(caught.value)
    assert str(path) in text
    assert "train/zebra/p2.png" in text
    assert 'damaged="skip"' in text
    assert made(cache) == []


@BAD
@PUT
def test_damaged_pictures_are_skipped_and_named(tmp_path, capsys, put, raw):
    bad = {"train/zebra/p2.png": raw, "val/n01440764/p0.png": raw}
    path = put(tmp_path / "imagenette2.tgz", FILES | bad)
    for _ in range(2):  # Decoded, and from the cache.
        data = load_imagenette(path, SIZE, damaged="skip")
        assert np.bincount(data.train_labels).tolist() == [5, 5, 4]
        assert np.bincount(data.validation_labels).tolist() == [2, 3, 3]
        whole = load_imagenette(put_folder(tmp_path / "whole"), SIZE)
        assert {image.tobytes() for image in data.train_images} < {image.tobytes() for image in whole.train_images}
        err = capsys.readouterr().err
        assert all(err.count(name) == 1 for name in bad)
    with pytest.raises(DataError, match="damaged"):  # Not even from the cache that "skip" has made.
        load_imagenette(path, SIZE)


def test_class_with_nothing_but_damage_is_a_data_error(tmp_path, cache):
    bad = {name: b"" for name in FILES if name.startswith("val/zebra")}
    with pytest.raises(DataError, match="got none in val/zebra"):
        load_imagenette(put_folder(tmp_path / "d", FILES | bad), SIZE, damaged="skip")
    assert made(cache) == []


@pytest.mark.parametrize("part", ["train", "val"])
def test_different_classes_in_the_parts_are_a_data_error(tmp_path, part):
    files = {name: raw for name, raw in FILES.items() if not name.startswith(f"{part}/zebra")}
    with pytest.raises(DataError, match=f"every class must have good pictures.*none in {part}/zebra"):
        load_imagenette(put_archive(tmp_path / "d.tgz", files), SIZE)


def test_no_pictures_at_all_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="no pictures at all"):
        load_imagenette(put_archive(tmp_path / "d.tgz", {"train/a/readme.txt": b"", "test/a/p.png": b""}), SIZE)


def test_what_is_no_picture_of_the_set_is_left_alone(tmp_path):
    strangers = {
        "../../evil": b"evil", "../train/zebra/evil.png": b"evil", "../../../train/zebra/evil.png": b"evil",
        "train/zebra/._p0.png": b"resource fork", "train/.DS_Store": b"", "val/zebra/readme.txt": b"", "noise.csv": b"",
    }  # fmt: skip
    path = put_archive(tmp_path / "a" / "b" / "d.tgz", FILES | strangers, root="")
    before = {entry for entry in tmp_path.rglob("*") if "cache" not in entry.parts}
    assert_holds(load_imagenette(path, SIZE))
    assert {entry for entry in tmp_path.rglob("*") if "cache" not in entry.parts} == before
    inside = {name: raw for name, raw in strangers.items() if not name.startswith("..")}
    assert picture_names(put_folder(tmp_path / "d", FILES | inside)) == sorted(FILES)


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    grey = np.repeat(ramp[..., None], 3, axis=2)
    assert np.array_equal(decode(saved("PNG"), "grey"), grey)
    assert np.abs(decode(saved("JPEG"), "grey").astype(int) - grey).max() <= 3
    alpha = np.dstack([ramp, ramp + 60, ramp + 100, ramp + 9])
    assert np.array_equal(decode(picture(alpha), "alpha"), alpha[..., :3])


def png(width, height, depth, colour, rows=b""):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("depth", "rows", "grey"), [
    (1, b"\xa0", [255, 0, 255, 0]), (2, b"\xe4", [255, 170, 85, 0]), (4, b"\xf0\x84", [255, 0, 136, 68]),
    (8, bytes([9, 8, 7, 255]), [9, 8, 7, 255]), (16, struct.pack(">4H", 65535, 128, 129, 257), [255, 0, 1, 1])])
def test_grey_of_any_depth_becomes_bytes(depth, rows, grey):
    assert decode(png(4, 1, depth, 0, b"\0" + rows), "x")[0].tolist() == [[value] * 3 for value in grey]


def claiming(width, height):
    """A small JPEG whose header claims another size."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4:]


@pytest.mark.parametrize("raw", [
    png(17, 16_777_229, 8, 0), png(25_000, 25_000, 8, 6), png(2**31 - 1, 1, 1, 0), png(4_096, 8_193, 1, 3),
    claiming(13_377, 13_377), claiming(16_385, 8), claiming(65_500, 65_500)])
def test_a_small_picture_that_claims_to_be_huge_is_refused_by_its_header(monkeypatch, raw):
    monkeypatch.setattr(images_module, "_decoded", None)
    with pytest.raises(DataError, match=r"at most 33,554,432 pixels, and 16,384 a side, was expected; got [\d,]+ x "):
        decode(raw, "small")


def test_decoding_takes_no_more_than_the_bytes_of_the_pixels():
    raw = picture(np.zeros((400, 500, 4), np.uint8))
    tracemalloc.start()
    decode(raw, "x")
    assert tracemalloc.get_traced_memory()[1] < 400 * 500 * 10
    tracemalloc.stop()


# The cache


def test_second_load_reads_the_cache_only(tmp_path, monkeypatch, capsys):
    path = put_archive(tmp_path / "imagenette2.tgz")
    first = load_imagenette(path, SIZE)
    assert f"decoding 24 pictures of {path} to 32 and 28 pixels" in capsys.readouterr().err
    monkeypatch.setattr(imagecache_module, "read_pictures", None)
    monkeypatch.setattr(imagecache_module, "picture_names", None)
    second = load_imagenette(path, SIZE)
    assert capsys.readouterr().err == ""
    assert np.array_equal(first.train_images, second.train_images)
    assert isinstance(second.train_images, np.memmap)
    assert not second.train_images.flags.writeable
    assert not isinstance(second.train_images[[2, 0]], np.memmap)


def test_other_sizes_and_a_changed_source_are_decoded_anew(tmp_path, cache):
    path = put_archive(tmp_path / "imagenette2.tgz")
    load_imagenette(path, SIZE)
    assert load_imagenette(path, 21).validation_images.shape[1] == 21
    assert len(made(cache)) == 2
    put_archive(path, tree(n_train=4))
    assert_holds(load_imagenette(path, SIZE), n_train=4)
    moved = path.rename(tmp_path / "moved.tgz")
    assert_holds(load_imagenette(moved, SIZE), n_train=4)
    folder = put_folder(tmp_path / "d")
    load_imagenette(folder, SIZE)
    (folder / "train/zebra/p4.png").unlink()
    assert np.bincount(load_imagenette(folder, SIZE).train_labels).tolist() == [5, 5, 4]
    changed = folder / "train/zebra/p0.png"
    os.utime(changed, ns=(0, 12345))
    load_imagenette(folder, SIZE)
    assert len(made(cache)) == 7


def shorten(folder):
    path = folder / "train-images.npy"
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(folder):
    with (folder / "val-images.npy").open("ab") as file:
        file.write(b"\0")


DAMAGES = {
    "shorter": shorten,
    "longer": lengthen,
    "another shape": lambda folder: np.save(folder / "val-images.npy", np.zeros((9, 27, 28, 3), np.uint8)),
    "another type": lambda folder: np.save(folder / "val-images.npy", np.zeros((9, 28, 28, 3), np.int8)),
    "no array": lambda folder: (folder / "train-labels.npy").write_bytes(b""),
    "a pickle": lambda folder: np.save(folder / "train-labels.npy", np.array([None] * 15), allow_pickle=True),
    "impossible labels": lambda folder: np.save(folder / "val-labels.npy", np.full(9, 3)),
    "too few labels": lambda folder: np.save(folder / "val-labels.npy", np.zeros(8, np.int64)),
    "no file": lambda folder: (folder / "val-images.npy").unlink(),
    "no description": lambda folder: (folder / "about.json").unlink(),
    "cut description": lambda folder: (folder / "about.json").write_text('{"classes": ['),
    "another description": lambda folder: (folder / "about.json").write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_cache_is_made_again(tmp_path, cache, damage):
    path = put_archive(tmp_path / "imagenette2.tgz")
    load_imagenette(path, SIZE)
    [name] = made(cache)
    before = {file.name: file.read_bytes() for file in (cache / name).iterdir()}
    damage(cache / name)
    assert_holds(load_imagenette(path, SIZE))
    assert made(cache) == [name]
    assert {file.name: file.read_bytes() for file in (cache / name).iterdir()} == before


def test_interrupt_leaves_nothing(tmp_path, monkeypatch, cache):
    def interrupt(self, done):
        assert len(made(cache)) == 1  # The temporary folder exists at this moment.
        raise KeyboardInterrupt

    monkeypatch.setattr(imagecache_module.Progress, "show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_imagenette(put_folder(tmp_path / "d"), SIZE)
    assert made(cache) == []


def test_full_disk_is_a_data_error_and_leaves_nothing(tmp_path, monkeypatch, cache):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(imagecache_module.os, "fsync", fail)
    with pytest.raises(DataError, match="must be writable; got No space left"):
        load_imagenette(put_folder(tmp_path / "d"), SIZE)
    assert made(cache) == []


def test_cache_that_cannot_be_made_is_a_data_error(tmp_path, cache):
    cache.parent.mkdir()
    cache.touch()
    with pytest.raises(DataError, match="the folder must be writable"):
        load_imagenette(put_folder(tmp_path / "d"), SIZE)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@pytest.mark.parametrize("moment", ["decoding", "before the rename"])
def test_killed_at_any_time_nothing_half_is_taken_and_leftovers_go(tmp_path, cache, moment):
    path = put_archive(tmp_path / "imagenette2.tgz")
    code = f"""
import pathlib, time
import minilq.data.imagenette as imagenette, minilq.data.imagecache as imagecache, minilq.data.wholefolder as whole
def stop(*_):
    print("here", flush=True)
    time.sleep(60)
imagenette.cache_folder = lambda name: pathlib.Path({str(cache)!r})
if {moment == "decoding"}:
    imagecache.Progress.show = lambda self, done: stop() if done == 9 else None
else:
    whole.os.replace = stop
imagenette.load_imagenette({str(path)!r}, {SIZE})
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "here\n"
        alive = made(cache)
        assert len(alive) == 1
        # A writer that is still at work keeps its temporary folder.
        load_imagenette(path, 21)
        assert set(alive) < set(made(cache))
        process.kill()
    assert_holds(load_imagenette(path, SIZE))
    assert len(made(cache)) == 2
    assert not set(alive) & set(made(cache))


def test_two_writers_at_once_leave_one_good_folder(tmp_path):
    target = tmp_path / "folder"

    def fill(folder):
        (folder / "own").touch()
        wholefolder_module.write_folder(target, lambda other: (other / "theirs").touch())

    wholefolder_module.write_folder(target, fill)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert len(list(target.iterdir())) == 1


def test_writer_that_comes_second_by_a_hair_leaves_the_first_alone(tmp_path, monkeypatch):
    target, rename = tmp_path / "folder", os.replace

    def replace_late(source, destination):
        target.mkdir()
        (target / "theirs").touch()
        rename(source, destination)

    monkeypatch.setattr(wholefolder_module.os, "replace", replace_late)
    wholefolder_module.write_folder(target, lambda folder: (folder / "own").touch())
    assert [path.name for path in target.iterdir()] == ["theirs"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_terminal_gets_a_bar(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    load_imagenette(put_archive(tmp_path / "imagenette2.tgz"), SIZE)
    assert sys.stderr.getvalue().endswith(f"\rminilq: imagenette2.tgz [{'#' * 20}] 100 %\n")


# Options


@pytest.mark.parametrize("image_size", [0, -1, 1025, 64.0, "64", None])
def test_image_size_must_be_sensible(image_size):
    with pytest.raises(ConfigError, match=r"image_size must be a whole number 1\.\.1024"):
        load_imagenette(image_size=image_size)


def test_damaged_must_be_known():
    with pytest.raises(ConfigError, match='"refuse" or "skip"; got \'ignore\''):
        load_imagenette(damaged="ignore")


def test_load_by_name_passes_the_options(tmp_path):
    path = put_folder(tmp_path / "d", FILES | {"val/zebra/p0.png": b""})
    data = load("imagenette", path, image_size=SIZE, damaged="skip")
    assert len(data.validation_labels) == 8


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("digits", {"image_size": 28}, '"digits" has no options; got \'image_size\''),
        ("cifar10", {"damaged": "skip"}, '"cifar10" has no options'),
        ("imagenette", {"size": 64}, "has only the options image_size, damaged; got 'size'"),
    ],
)
def test_options_of_other_sets_are_refused(name, options, words):
    with pytest.raises(ConfigError, match=words):
        load(name, **options)


def test_loading_needs_matplotlib_only_when_it_decodes():
    code = "import sys, minilq.data.imagenette; print([m for m in ('matplotlib', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# The real set

REAL = os.environ.get("MINILQ_DATA", "")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imagenette_module, "cache_folder", lambda name: folder / name)
        try:
            data = load_imagenette(REAL or "no-such-folder")
        except DataError as error:
            if "expected in" not in str(error):
                raise
            pytest.skip("needs Imagenette: set MINILQ_DATA to its folder")
    yield data
    shutil.rmtree(folder, ignore_errors=True)  # 200 MB that pytest would keep.


@pytest.mark.deep
def test_real_imagenette_is_complete(real):
    assert real.train_images.shape == (9469, 72, 72, 3)
    assert real.validation_images.shape == (3925, 64, 64, 3)
    assert np.bincount(real.train_labels).tolist() == [963, 955, 993, 858, 941, 956, 961, 931, 951, 960]
    assert np.bincount(real.validation_labels).tolist() == [387, 395, 357, 386, 409, 394, 389, 419, 399, 390]
    assert real.classes == tuple(READABLE.values())
    assert set(real.head(100).train_labels) == set(range(10))


@pytest.mark.deep
def test_real_imagenette_looks_like_itself(real):
    # Parachutes hang in the sky: blue above all. Golf balls lie in the grass: green above all.
    for name, channel in (("parachute", 2), ("golf ball", 1)):
        colour = real.train_images[real.train_labels == real.classes.index(name)].mean((0, 1, 2))
        assert colour.argmax() == channel, name
    # Both parts come from one population, and neither is noise: neighbours are alike.
    assert np.abs(real.train_images.mean((0, 1, 2)) - real.validation_images.mean((0, 1, 2))).max() < 3
    assert np.abs(np.diff(real.validation_images[:500].astype(int), axis=2)).mean() < 20
