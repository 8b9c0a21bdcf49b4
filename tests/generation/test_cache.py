"""The cache of answers: what it must tell apart, what it must never keep, and that kills and crowds lose nothing."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import random
import signal
import sqlite3
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from facial_r1.config.schema import Sampling
from facial_r1.errors import InputError
from facial_r1.generation import cache as cache_module
from facial_r1.generation.cache import ResponseCache, cache_file, key, open_cache
from facial_r1.generation.cached_engine import CachedEngine
from facial_r1.generation.engine import Completion
from tests.generation.counting import CountingEngine, LoggingEngine, answer_to, request

FORK = multiprocessing.get_context("fork")
IDENTITY = {"engine": "fake", "model": "m", "weights": "w1", "view": {"max_pixels": 1}}
SAMPLED = Sampling(temperature=1.0)


def named(number: int) -> bytes:
    return number.to_bytes(32, "big")


def said(text: str) -> Completion:
    return Completion(text, (1, 2, 3), "stop", logprobs=(-0.5, -1.0), tokens=3)


@pytest.fixture
def cache(tmp_path: Path) -> ResponseCache:
    return ResponseCache(tmp_path / "responses.sqlite")


def test_an_answer_comes_back_as_it_was(cache: ResponseCache):
    cache.put_many([(named(1), said("fear é \ud800"))], IDENTITY)
    assert cache.get_many([named(1), named(2)]) == {named(1): said("fear é \ud800")}


@pytest.mark.parametrize(
    "completion",
    [
        Completion("", (), "stop"),
        Completion(" \n", (1,), "stop"),
        Completion("", (), "error", "x"),
        Completion("half", (1,), "abort"),
    ],
)
def test_empty_and_aborted_answers_are_never_stored(cache: ResponseCache, completion: Completion):
    assert cache.put_many([(named(1), completion)], IDENTITY) == 0
    assert cache.get_many([named(1)]) == {}


def test_what_is_stored_first_stays(cache: ResponseCache):
    assert cache.put_many([(named(1), said("first"))], IDENTITY) == 1
    assert cache.put_many([(named(1), said("second")), (named(2), said("new"))], IDENTITY) == 1
    assert cache.get_many([named(1)])[named(1)].text == "first"


def variations() -> dict[str, bytes]:
    """The key of one request, and of everything that differs from it in one ingredient."""
    asked, sampling = request("what emotion?", images=("a.png",)), Sampling(temperature=0.5)
    found = {
        "the request": key(IDENTITY, asked, sampling, 0, ["d1"]),
        "another seed": key(IDENTITY, asked, sampling, 1, ["d1"]),
        "another sample": key(IDENTITY, dataclasses.replace(asked, sample=1), sampling, 0, ["d1"]),
        "another picture": key(IDENTITY, asked, sampling, 0, ["d2"]),
        "a picture more": key(IDENTITY, asked, sampling, 0, ["d1", "d1"]),
        "another text": key(IDENTITY, request("what emotion ?", images=("a.png",)), sampling, 0, ["d1"]),
        "another role": key(
            IDENTITY, dataclasses.replace(asked, messages=[{**asked.messages[0], "role": "system"}]), sampling, 0, ["d1"]
        ),
    }
    for name in ("engine", "model", "weights"):
        found[f"another {name}"] = key({**IDENTITY, name: "other"}, asked, sampling, 0, ["d1"])
    found["another pixel budget"] = key({**IDENTITY, "view": {"max_pixels": 2}}, asked, sampling, 0, ["d1"])
    found["another template"] = key({**IDENTITY, "processor": "p"}, asked, sampling, 0, ["d1"])
    for field in dataclasses.fields(Sampling):
        changed = dataclasses.replace(sampling, **{field.name: {"top_p": 0.5, "min_p": 0.5}.get(field.name, 7)})
        found[f"another {field.name}"] = key(IDENTITY, asked, changed, 0, ["d1"])
    return found


def test_every_ingredient_makes_a_key_of_its_own():
    keys = variations()
    assert len(set(keys.values())) == len(keys) == 18


def test_neither_the_name_of_a_request_nor_the_path_of_a_picture_counts():
    first = request("q", images=("a.png",))
    second = dataclasses.replace(request("q", images=("b.png",)), key="other")
    assert key(IDENTITY, first, SAMPLED, 0, ["d"]) == key(IDENTITY, second, SAMPLED, 0, ["d"])


def test_the_key_of_a_request_does_not_change_between_versions():
    """A change of this value empties every user's cache: raise `_VERSION` and say so in the changelog."""
    made = key({"model": "m"}, request("q"), Sampling(), 0).hex()
    assert made == "10105d329ce18b738a94403688abf90e3b1203e3e49639a553b084d606c70ce5"


# --- killed and started again ---------------------------------------------------------------------------------


def work(rank: int, world: int, folder: Path, count: int, seconds: float) -> None:
    engine = CachedEngine(LoggingEngine(folder / "log", seconds), ResponseCache(folder / "responses.sqlite"), IDENTITY)
    engine.generate(samples(count)[rank::world], SAMPLED, seed=3)


def samples(count: int) -> list:
    return [dataclasses.replace(request(f"prompt {n // 2}", sample=n % 2), key=f"{n}") for n in range(count)]


def test_ten_kills_with_one_and_two_ranks_repeat_nothing(tmp_path: Path):
    """Every sample is generated once in sum, save the one that a killed process had in hand; the answers are those of a run
    that nobody disturbed."""
    draw, count, seconds, killed = random.Random(0), 600, 0.004, []
    for attempt in range(10):
        world = 1 + attempt % 2
        ranks = [FORK.Process(target=work, args=(rank, world, tmp_path, count, seconds)) for rank in range(world)]
        before = (tmp_path / "log").stat().st_size if (tmp_path / "log").exists() else 0
        for process in ranks:
            process.start()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (not (tmp_path / "log").exists() or (tmp_path / "log").stat().st_size == before):
            time.sleep(0.001)
        time.sleep(draw.uniform(0.0, 0.08))
        for process in ranks:
            os.kill(process.pid, signal.SIGKILL)
        for process in ranks:
            process.join()
        killed += [process.pid for process in ranks if process.exitcode == -signal.SIGKILL]
    assert len(killed) == 15, "every process was killed at work"
    last = [FORK.Process(target=work, args=(rank, 2, tmp_path, count, seconds)) for rank in range(2)]
    for process in last:
        process.start()
    for process in last:
        process.join()
    assert [process.exitcode for process in last] == [0, 0]

    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    final = {int(pid): (what, name) for pid, what, name in lines}
    in_hand = {final[pid][1] for pid in killed if pid in final}
    done = Counter(name for _, what, name in lines if what == "done")
    assert set(done) == {str(n) for n in range(count)}
    repeated = {name for name, times in done.items() if times > 1}
    assert repeated <= in_hand, "finished answers were generated again"
    assert sum(done.values()) - count <= len([pid for pid in killed if final.get(pid, ("", ""))[0] == "done"])
    started = Counter(name for _, what, name in lines if what == "start")
    assert {name for name, times in started.items() if times > 1} <= in_hand

    engine = CountingEngine()
    whole = CachedEngine(engine, ResponseCache(tmp_path / "responses.sqlite"), IDENTITY).generate(samples(count), SAMPLED, 3)
    assert engine.generated == [], "all was in the cache"
    assert whole == [answer_to(asked, SAMPLED, 3) for asked in samples(count)]
    assert sum(share.entries for share in ResponseCache(tmp_path / "responses.sqlite").stats()) == count


# --- many at a time -------------------------------------------------------------------------------------------


def write(writer: int, path: Path, count: int) -> None:
    cache = ResponseCache(path)
    for number in range(count):
        cache.put_many([(named(writer * count + number), said(f"{writer} {number}"))], IDENTITY)
        cache.put_many([(named(10**9 + number), said(f"shared {number}"))], IDENTITY)


def test_four_concurrent_writers_lose_nothing(tmp_path: Path):
    """They also open the new file at the same moment, and write the same entries now and then."""
    path, count = tmp_path / "responses.sqlite", 250
    writers = [FORK.Process(target=write, args=(writer, path, count)) for writer in range(4)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * 4
    cache = ResponseCache(path)
    names = [named(number) for number in range(4 * count)] + [named(10**9 + number) for number in range(count)]
    assert len(cache.get_many(names)) == 5 * count == sum(share.entries for share in cache.stats())
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_threads_share_a_cache(cache: ResponseCache):
    def write_some(thread: int) -> None:
        for number in range(50):
            cache.put_many([(named(thread * 50 + number), said(str(number)))], IDENTITY)

    threads = [threading.Thread(target=write_some, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.get_many([named(number) for number in range(200)])) == 200


def put_in_child(cache: ResponseCache) -> None:
    cache.put_many([(named(2), said("child"))], IDENTITY)


def test_a_forked_process_opens_its_own_connection(cache: ResponseCache):
    cache.put_many([(named(1), said("parent"))], IDENTITY)
    process = FORK.Process(target=put_in_child, args=(cache,))
    process.start()
    process.join()
    assert process.exitcode == 0 and len(cache.get_many([named(1), named(2)])) == 2


def test_a_hundred_thousand_entries_are_looked_up_in_less_than_a_fifth_of_a_millisecond(tmp_path: Path):
    cache = ResponseCache(tmp_path / "responses.sqlite")
    text = "<think>" + "The lip corners rise. " * 20 + "</think><answer>happiness</answer>"
    asked = [request(f"{text} {number}") for number in range(1000)]
    answer = Completion(text, tuple(range(30)), "stop")
    cache.put_many(((key(IDENTITY, one, SAMPLED, 0), answer) for one in asked), IDENTITY)
    cache.put_many(((os.urandom(32), answer) for _ in range(99_000)), IDENTITY)
    assert cache.stats()[0].entries == 100_000
    cache.close()
    taken = []
    for one in asked:
        began = time.perf_counter()
        found = cache.get_many([key(IDENTITY, one, SAMPLED, 0)])
        taken.append(time.perf_counter() - began)
        assert len(found) == 1
    median = statistics.median(taken) * 1e3
    print(f"look-up with its key: median {median:.3f} ms, 99 % {sorted(taken)[-10] * 1e3:.3f} ms")
    assert median < 0.2
    began = time.thread_time()  # not wall time: other work on the machine would be measured too
    assert len(cache.get_many([key(IDENTITY, one, SAMPLED, 0) for one in asked])) == 1000
    assert (time.thread_time() - began) / 1000 < 0.2e-3, "looked up together"


# --- showing and pruning --------------------------------------------------------------------------------------


def filled(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten answers of model old, a day apart, the last one now; then one of model new."""
    now = time.time()
    for number in range(10):
        monkeypatch.setattr(cache_module.time, "time", lambda age=9 - number: now - age * 86400)
        cache.put_many([(named(number), said("x" * 1000))], {**IDENTITY, "model": "old"})
    monkeypatch.undo()
    cache.put_many([(named(10), said("y"))], {**IDENTITY, "model": "new"})


def test_stats_by_model(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch):
    filled(cache, monkeypatch)
    old, new = cache.stats()
    assert (old.model, old.entries, new.model, new.entries) == ("old", 10, "new", 1)
    assert old.bytes > 10_000 and old.last - old.first == pytest.approx(9 * 86400, abs=5)


def test_prune_by_age(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch):
    filled(cache, monkeypatch)
    assert cache.prune(older_than=3.5 * 86400) == 6
    assert set(cache.get_many([named(number) for number in range(11)])) == {named(number) for number in range(6, 11)}


def test_prune_by_size_keeps_the_newest(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch):
    filled(cache, monkeypatch)
    each = cache.stats()[0].bytes // 10
    assert cache.prune(max_bytes=3 * each + 200) == 7
    assert set(cache.get_many([named(number) for number in range(11)])) == {named(7), named(8), named(9), named(10)}
    assert cache.prune(max_bytes=0) == 4


def test_prune_by_model(cache: ResponseCache, monkeypatch: pytest.MonkeyPatch):
    filled(cache, monkeypatch)
    assert cache.prune(older_than=3.5 * 86400, model="new") == 0
    assert cache.prune(model="old") == 10 and [share.model for share in cache.stats()] == ["new"]
    with pytest.raises(ValueError, match="older_than"):
        cache.prune()


def test_pruning_gives_the_space_back(cache: ResponseCache):
    cache.put_many([(named(number), said("x" * 1000)) for number in range(2000)], IDENTITY)
    cache.prune(older_than=1e9)
    large = cache.path.stat().st_size
    cache.prune(max_bytes=10_000)
    assert cache.path.stat().st_size < large / 20


# --- files that are no cache ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"not a database at all" * 100, None])
def test_a_file_that_is_no_cache_is_refused(tmp_path: Path, content: bytes | None):
    path = tmp_path / "responses.sqlite"
    if content is None:
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE other (x)")
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"responses.sqlite: (cannot be used as a cache|a database of something else)"):
        ResponseCache(path)


def test_a_cache_of_a_newer_version_is_refused(cache: ResponseCache):
    cache.close()
    with sqlite3.connect(cache.path) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(InputError, match="written by a newer facial_r1"):
        ResponseCache(cache.path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="FACIAL_R1_CACHE"):
        ResponseCache(tmp_path / "file" / "responses.sqlite")


def test_journal_by_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """WAL shares memory between processes, which hosts of a network file system cannot."""

    def mode(path: Path) -> str:
        ResponseCache(path).put_many([(named(1), said("x"))], IDENTITY)
        with sqlite3.connect(path) as database:
            return str(database.execute("PRAGMA journal_mode").fetchone()[0])

    assert mode(tmp_path / "local.sqlite") == "wal"
    monkeypatch.setattr(cache_module, "_on_network", lambda path: True)
    assert mode(tmp_path / "network.sqlite") == "delete"


def test_where_a_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FACIAL_R1_CACHE", str(tmp_path / "common"))
    assert open_cache(False) is None
    assert cache_file(True) == tmp_path / "common" / "responses.sqlite"
    assert cache_file(str(tmp_path)) == tmp_path / "responses.sqlite" == cache_file(str(tmp_path / "responses.sqlite"))
    opened = open_cache(str(tmp_path / "fresh folder"))
    assert opened is not None and opened.path == tmp_path / "fresh folder" / "responses.sqlite"
