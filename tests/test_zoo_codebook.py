"""Every case of cards 3 and 5 of the zoo: k-means, vector quantization, Deep Compression by other people's programs."""

import numpy as np
import pytest

from minilq import Dense, Tensor
from minilq.autodiff.parameter import Parameter
from minilq.coding import huffman
from minilq.coding.relative_index import decode, encode
from minilq.nn import low_rank
from minilq.quantize.kmeans import kmeans
from minilq.quantize.methods import DeepCompression, Pruned, VectorQuantization
from minilq.quantize.methods.deep_compression import shared
from minilq.quantize.statistics import entropy_of, histogram
from minilq.quantize.vectors import in_vectors
from tests import zoo
from tests.zoo import near

CASES = zoo.read("zoo-codebook.npz")
of, case = zoo.read_whole(CASES)
WORDS = {"3": ["scalar", "vectors", "pq", "rq", "svd"], "5": ["huffman", "index", "prune", "share", "tfmot"]}


def test_every_case_has_one_test():
    assert len(CASES) == 14
    for card, name in CASES:
        assert sum(name.startswith(word) for word in WORDS[card]) == 1, (card, name)


# --- 3, vector quantization -----------------------------------------------------------------------------------------

@of("3", "scalar", "vectors")
def test_kmeans(case):
    """As scikit-learn, which moves empty centres, and as SciPy, which leaves them."""
    x, first = case["in.x"], case["in.init"]
    found = kmeans(x, first)
    near("reduced", found.centres, case["out.centers"])
    np.testing.assert_array_equal(found.labels, case["code.labels"])
    assert len(found.errors) == case.number("out.n_iter")
    assert found.errors[-1] == pytest.approx(case.number("out.inertia"), rel=1e-9)
    by_step = case["out.inertia_by_iteration"]   # after so many steps; the first of them shown
    errors = [*found.errors[1:], found.errors[-1]][:len(by_step)]
    np.testing.assert_allclose(errors, by_step, rtol=1e-9)
    stays = kmeans(x, first, "stay")
    near("reduced", stays.centres, case["out.centers@scipy"])
    differ = "code.labels@scipy" in case
    np.testing.assert_array_equal(stays.labels, case["code.labels@scipy" if differ else "code.labels"])


@of("3", "pq", "rq")
def test_vector_quantization(case):
    """Every book from the first rows that are left. What is left is the reference's: two rows of 0 or of 1e-16 are one
    start or two."""
    w, k = case["in.w"], case.number("par.k")
    S, t = (case.number(f"par.{name}") if f"par.{name}" in case else 1 for name in ("S", "t"))
    books = case["out.codebooks"].reshape(t, S, k, -1)
    codes, rest = case["code.labels"].reshape(t, S, -1), in_vectors(w, S, w.shape[1] // S)
    for of_stage, labels in zip(books, codes, strict=True):
        found = [kmeans(rows, rows[:k]) for rows in rest]
        near("reduced", np.array([one.centres for one in found]), of_stage)
        np.testing.assert_array_equal([one.labels for one in found], labels)
        rest = rest - np.array([book[own] for book, own in zip(of_stage, labels, strict=True)])
    method, held = VectorQuantization(k, S, t), {"books": Parameter(books), "codes": codes}
    y = method(Tensor(w), held).numpy()
    near("forward", y, case["out.w"])
    coded = method.coded(w, held)
    np.testing.assert_array_equal(coded.values, y)
    bits = coded.codes.size * np.log2(k) + 32 * coded.grid.books.size
    assert bits == case.number("out.bits")
    if "out.ratio" in case:
        assert 32 * w.size / bits == pytest.approx(case.number("out.ratio"), rel=1e-9)
    if "out.squared_error" in case:
        assert ((w - y) ** 2).sum() == pytest.approx(case.number("out.squared_error"), rel=1e-9)


@of("3", "svd")
def test_low_rank(case):
    w, k = case["in.w"], case.number("par.k")
    layer = Dense(*w.shape, np.random.default_rng(0), dtype=np.float64)
    layer.weight.latent.array[...] = w
    first, second = low_rank(layer, k)
    U, V = first.weight.latent.numpy(), second.weight.latent.numpy()
    np.testing.assert_allclose(U @ V, case["out.w"], rtol=1e-9, atol=1e-12)
    s = case["out.singular_values"]
    np.testing.assert_allclose(np.sqrt((U * U).sum(axis=0) * (V * V).sum(axis=1)), s[:k], rtol=1e-9)
    assert ((w - U @ V) ** 2).sum() == pytest.approx((s[k:] ** 2).sum(), rel=1e-9)
    numbers = U.size + V.size + first.bias.latent.size
    assert w.size / numbers == pytest.approx(case.number("out.ratio"), rel=1e-9)


# --- 5, Deep Compression --------------------------------------------------------------------------------------------

@of("5", "prune")
def test_pruning(case):
    w, quality = case["in.w"], case.number("par.quality")
    method = Pruned(quality=quality)
    held = method.start(w)
    np.testing.assert_array_equal(held["mask"], case["out.mask"])
    near("forward", method(Tensor(w), held).numpy(), case["out.w"])
    assert quality * w.std() == pytest.approx(case.number("out.threshold"), rel=1e-6)


@of("5", "share")
def test_sharing(case):
    """scikit-learn's clusters of what survives, and both gradients of the levels."""
    w, kept, g = np.where(case["in.mask"], case["in.w"], 0), case["in.mask"], case["in.g"]
    found = kmeans(w[kept][:, None], case["in.init"][:, None])
    near("reduced", found.centres[:, 0], case["out.centroids"])
    codes = np.zeros(w.shape, np.int64)
    codes[kept] = 1 + found.labels
    np.testing.assert_array_equal(codes - 1, case["code.index"])
    for gradient in ("sum", "mean"):
        levels = Parameter(case["out.centroids"])
        y = DeepCompression(len(levels.array), gradient=gradient)(Tensor(w), {"levels": levels, "codes": codes})
        near("forward", y.numpy(), case["out.w"])
        y.backward(g)
        near("reduced", levels.grad, case[f"grad.centroids@{gradient}"])
    levels, w_ = Parameter(case["out.centroids"]), Tensor(w, requires_grad=True)
    y = DeepCompression(len(levels.array), assignments="nearest")(w_, {"levels": levels, "codes": codes})
    y.backward(g)
    near("elementwise", w_.grad, case["grad.w@straight_through"] * kept)      # theirs knows nothing of pruning
    n, k = kept.sum(), levels.size
    assert 32 * n / (n * np.log2(k) + 32 * k) == pytest.approx(case.number("out.ratio_dense"), rel=1e-9)    # equation 1


@of("5", "tfmot")
def test_clustering_by_what_is_nearest_now(case):
    w_, levels = Tensor(case["in.w"], requires_grad=True), Parameter(case["in.centroids"])
    codes = np.ones(w_.shape, np.int8)
    gradient = "mean" if "avg" in case.name else "sum"
    method = DeepCompression(levels.size, gradient=gradient, assignments="nearest")
    held = {"levels": levels, "codes": codes}
    y = method(w_, held)
    near("forward", y.numpy(), case["out.w"])
    np.testing.assert_array_equal(method.coded(case["in.w"], held).codes - 1, case["code.index"])
    y.backward(case["in.g"])
    near("elementwise", w_.grad, case["grad.w"])
    near("reduced", levels.grad, case["grad.centroids"])


@of("5", "index")
def test_relative_indices(case):
    """As the decoder of the released AlexNet reads them: low nibble first, and code 0 is 0."""
    codes, bits = case["in.codes"].astype(np.int64), 4
    fields, values = encode(codes, bits)
    np.testing.assert_array_equal(fields, case["code.fields"])
    np.testing.assert_array_equal(values, case["code.values"])
    np.testing.assert_array_equal(decode(fields, values, bits, len(codes)), codes)
    np.testing.assert_array_equal(nibbles(fields), case["code.packed_fields"])
    packed = nibbles(values) if case.name.endswith("4bit") else values
    np.testing.assert_array_equal(packed, case["code.packed_values"])
    book = case["in.codebook"]
    assert book[0] == 0
    near("forward", shared(book[1:], codes), case["out.w"])


def nibbles(numbers):
    even = np.append(numbers, 0)[:(len(numbers) + 1) // 2 * 2]
    return even[::2] + 16 * even[1::2]


@of("5", "huffman")
def test_huffman(case):
    codes = case["in.codes"]
    values, counts = histogram(codes)
    np.testing.assert_array_equal(values, case["out.values"])
    np.testing.assert_array_equal(counts, case["out.counts"])
    assert entropy_of(codes) == pytest.approx(case.number("out.entropy"), rel=1e-9, abs=1e-12)
    lengths = huffman.word_lengths(counts)
    total, alone = int(lengths @ counts), len(values) == 1
    assert total == (0 if alone else case.number("out.total_bits"))      # of one value alone we write nothing at all
    assert alone == (case.number("out.total_bits") == len(codes) and len(np.unique(codes)) == 1)
    _, content = huffman.write(codes.astype(np.int64))
    if not alone:
        assert len(content) == case.number("out.bytes@dahuffman")
        assert len(content) <= case.number("out.bytes@mightydeveloper")  # which notes the padding in a byte
        with_end = case["out.lengths@dahuffman_with_eof"]                # and one word more, of the end
        assert (lengths <= with_end).all()
