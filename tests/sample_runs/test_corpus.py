"""The corpus is the same wherever the same library is, and its splits never share a file."""

import sysconfig
from pathlib import Path

import pytest

from depthscope.sample_runs.corpus import HELD_OUT, LEAST, LIMIT, load_corpus, sources
from depthscope.store import DepthscopeError

FILLER = b"x = 1\n" * (LEAST // 4)


def library(root: Path, files: dict[str, bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    return root


def test_the_real_one_is_repeatable_and_large_enough() -> None:
    first, again = load_corpus(), load_corpus()
    assert first == again
    assert len(first.data_id) == 64
    assert 2**20 < len(first.train) <= LIMIT
    assert 2**18 < len(first.held_out) <= LIMIT


def test_no_file_is_in_both_splits() -> None:
    corpus = load_corpus()
    root = Path(sysconfig.get_path("stdlib"))
    decoder = (root / "json" / "decoder.py").read_bytes()
    dataclasses = (root / "dataclasses.py").read_bytes()
    assert decoder in corpus.held_out
    assert decoder not in corpus.train
    assert dataclasses in corpus.train
    assert dataclasses not in corpus.held_out


def test_the_rule(tmp_path: Path) -> None:
    root = library(
        tmp_path,
        {
            "b.py": FILLER,
            "a/one.py": b"one",
            "a/test/skipped.py": b"no",
            "a/data.txt": b"no",
            "json/decoder.py": FILLER,
            "test/test_a.py": b"no",
            "site-packages/torch.py": b"no",
            "_sysconfigdata__linux.py": b"no",
            "config-3.11/c.py": b"no",
        },
    )
    corpus = load_corpus(root)
    assert corpus.train == b"one\0" + FILLER + b"\0"
    assert corpus.held_out == FILLER + b"\0"


def test_the_hash_sees_every_byte_of_both_splits_and_nothing_else(tmp_path: Path) -> None:
    files = {"a.py": FILLER, "json/b.py": FILLER}
    plain = load_corpus(library(tmp_path / "plain", files)).data_id
    assert load_corpus(library(tmp_path / "elsewhere", files)).data_id == plain
    for name in files:
        changed = load_corpus(library(tmp_path / name[0], {**files, name: FILLER + b"#"}))
        assert changed.data_id != plain


def test_sources_come_in_the_order_of_their_paths() -> None:
    root = Path(sysconfig.get_path("stdlib"))
    parts = [path.relative_to(root).parts for path in sources(root)]
    assert parts == sorted(parts)
    assert {name[0] for name in parts} >= HELD_OUT


def test_a_python_without_source_says_so(tmp_path: Path) -> None:
    with pytest.raises(DepthscopeError, match=r"expected Python's standard library as source in .* use a Python that"):
        load_corpus(tmp_path)
