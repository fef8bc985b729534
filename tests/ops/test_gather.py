"""Sampled numbers: the same in every version of every library, for they decide what is learnt."""

import zlib

import numpy as np
import pytest
import tensorflow as tf

from kdet.ops.gather import stateless_uniform


def scramble(x):
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97), (15, 1)):
        x = (x ^ x >> shift) * factor % 2**32
    return x


def expected(seeds, count, salt):
    """The numbers in Python's own integers."""
    first = [scramble((int(seed) + zlib.crc32(salt.encode())) % 2**32) for seed in seeds]
    return [[(scramble((x + i) % 2**32) >> 8) / 2**24 for i in range(count)] for x in first]


@pytest.mark.parametrize("seed_type", ["int32", "int64"])
@pytest.mark.parametrize("call", ["eager", "graph", "xla"])
def test_uniform_numbers(seed_type, call):
    limits = np.iinfo(seed_type)
    seeds = np.array([0, 1, -1, limits.min, limits.max, 123456789], seed_type)
    function = stateless_uniform
    if call != "eager":
        function = tf.function(function, jit_compile=call == "xla")
    found = function(tf.constant(seeds), 300, "regions")
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, expected(seeds, 300, "regions"))


def test_salts_and_seeds_tell_draws_apart():
    seeds = tf.constant([3, 4])
    draws = [stateless_uniform(seeds, 50, salt) for salt in ("regions", "background")]
    rows = np.concatenate(draws)
    assert len(np.unique(rows)) == rows.size
    assert ((rows >= 0) & (rows < 1)).all()
