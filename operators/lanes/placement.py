"""Names lanes so that Bytewax places them evenly, and tells where it places them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

# Lane i goes to worker i mod W for every W up to this.  The search for a name tries about
# lcm(1..W) candidates: 2,520 for W = 10, but 27,720 for 11 and 720,720 for 16.
EVEN_WORKERS = 10
# Candidates hashed together, times lcm(1..W): nearly always one of them fits.
_CANDIDATES = 4
_Words = npt.NDArray[np.uint64]


def _rotate(words: _Words, bits: int) -> _Words:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))


def _round(v: list[_Words]) -> None:
    v[0] = v[0] + v[1]
    v[1] = _rotate(v[1], 13) ^ v[0]
    v[0] = _rotate(v[0], 32)
    v[2] = v[2] + v[3]
    v[3] = _rotate(v[3], 16) ^ v[2]
    v[0] = v[0] + v[3]
    v[3] = _rotate(v[3], 21) ^ v[0]
    v[2] = v[2] + v[1]
    v[1] = _rotate(v[1], 17) ^ v[2]
    v[2] = _rotate(v[2], 32)


def siphash13(names: Sequence[bytes]) -> _Words:
    """Hash names of the same length with SipHash-1-3 and zero keys, as Rust hashes a str.

    Rust's DefaultHasher hashes the bytes of a str and a byte 0xff.  Returns a 64-bit word
    for each name.
    Source: Aumasson & Bernstein 2012; Rust's `core::hash::sip` and `impl Hash for str`.
    """
    length = len(names[0]) + 1
    width = (length // 8 + 1) * 8
    text = np.zeros((len(names), width), np.uint8)
    text[:, : length - 1] = np.frombuffer(b"".join(names), np.uint8).reshape(len(names), -1)
    text[:, length - 1] = 0xFF
    text[:, -1] = length & 0xFF
    keys = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    v = [np.full(len(names), key, np.uint64) for key in keys]
    for word in np.ascontiguousarray(text).view("<u8").T:
        v[3] = v[3] ^ word
        _round(v)
        v[0] = v[0] ^ word
    v[2] = v[2] ^ np.uint64(0xFF)
    for _ in range(3):
        _round(v)
    result: _Words = v[0] ^ v[1] ^ v[2] ^ v[3]
    return result


@lru_cache(maxsize=4)
def lane_names(lanes: int) -> tuple[str, ...]:
    """Return the names of lanes, chosen so that Bytewax spreads the lanes evenly.

    lanes: number of lanes, ≥ 1.  Bytewax sends a state key to worker hash mod W.  Lane i has
    a name for which this is i mod W, for every W up to `EVEN_WORKERS` (or up to `lanes`, if
    fewer).  The names sort by lane index, as Bytewax numbers the partitions of a sink.
    """
    modulus = math.lcm(*range(1, min(lanes, EVEN_WORKERS) + 1))
    return _names("lane", lanes, modulus)


@lru_cache
def worker_names(workers: int) -> tuple[str, ...]:
    """Return a state key for each worker: Bytewax sends key i to worker i of so many."""
    return _names("worker", workers, workers)


def _names(what: str, count: int, modulus: int) -> tuple[str, ...]:
    """Return names of which Bytewax's hash, modulo `modulus`, is 0, 1, 2, … modulo `modulus`."""
    step = _CANDIDATES * modulus
    names: list[str] = []
    for number in range(count):
        first = 0
        while len(names) == number:
            candidates = [
                f"{what}-{number:03d}-{suffix:08d}".encode()
                for suffix in range(first, first + step)
            ]
            fits = np.flatnonzero(siphash13(candidates) % np.uint64(modulus) == number % modulus)
            if len(fits):
                names.append(candidates[int(fits[0])].decode())
            first += step
    return tuple(names)


def lanes_on(lanes: int, workers: int, own: Collection[int]) -> list[int]:
    """Return the lanes whose state is on some of the workers.

    workers: number of all workers.  own: indexes of the workers asked about, from 0.
    """
    hashes = siphash13([name.encode() for name in lane_names(lanes)])
    worker_of = (hashes % np.uint64(workers)).tolist()
    return [lane for lane, worker in enumerate(worker_of) if worker in own]
