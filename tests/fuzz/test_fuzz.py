"""Some thousands of changed files for all readers, and that each breach would be seen.

The long form is ``make fuzz``.
"""

import os
import time
import warnings

import pytest

from explgraph.base.errors import ExplGraphError

from . import campaign as campaigns
from . import oracle
from .campaign import BLOCK, campaign, counts, table
from .formats import FORMATS, Format, warm
from .mutations import mutated

COUNT, SEED = 2000, 2026
SEEDS = [{"a.txt": b"1 2\n"}, {"a.txt": b"3 4\n"}]


@pytest.fixture(scope="module")
def tallies():
    warm()
    return campaign(list(FORMATS.values()), COUNT, SEED, processes=1)


@pytest.mark.parametrize("name", FORMATS)
def test_readers__changed_files_are_refused_or_right(tallies, name):
    found = tallies[name]
    told = [f"{kind}: --replay '{name}:{SEED}:{i}' {what}" for i, kind, what, _ in found.breaches]
    assert not told
    assert found.outcomes.total() == counts(list(FORMATS.values()), COUNT)[name]


def test_readers__most_changes_are_noticed(tallies):
    refused = sum(found.outcomes[oracle.REFUSED] for found in tallies.values())
    assert refused > COUNT / 3
    assert all(found.outcomes[oracle.REFUSED] for found in tallies.values())


def test_inputs__can_be_made_again():
    for name, format in FORMATS.items():
        first, again = (mutated(name, format.seeds, SEED, 17) for _ in range(2))
        assert first == again
        assert any(mutated(name, format.seeds, s, 17) != first for s in (SEED + 1, SEED + 2))


# -- a harness that cannot fail is worthless -------------------------------------------------------


GOOD = (b"1 2\n", b"3 4\n")


def planted(bad, **changes):
    """A reader that takes the seeds, and does with other text what ``bad`` does."""

    def read_badly(folder):
        text = (folder / "a.txt").read_bytes()
        return text if text in GOOD else bad(text)

    return Format("planted", lambda: SEEDS, **{"read": read_badly, "checked": True} | changes)


def outcomes(format, count=300):
    found = campaign([format], count, SEED, processes=1)["planted"]
    assert found.outcomes.total() == count
    return found


def sleep(_):
    time.sleep(60)


def spin(_):
    """As compiled code that hangs: no signal is answered."""
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(60)


def devour(_):
    whole = bytearray(400 << 20)
    whole[:: 1 << 12] = b"x" * len(whole[:: 1 << 12])
    raise ExplGraphError("too large, but noticed too late")


def warn(_):
    warnings.warn("invalid value", RuntimeWarning, stacklevel=1)
    raise ExplGraphError("refused")


def kill(_):
    os._exit(3)


def let_in(text):
    return text


def fail(text):
    if text not in GOOD:
        raise KeyError(text)


def refuse(text):
    raise ExplGraphError(f"{text!r} is none of ours")


def fail_silently(_):
    raise ExplGraphError("")


def allow(found):
    assert found in GOOD


@pytest.mark.parametrize(
    ("kind", "format"),
    [
        (oracle.RAW, planted(fail)),
        (oracle.RAW, planted(fail_silently)),
        (oracle.RAW, planted(let_in, checked=False, use=fail)),
        (oracle.SILENT, planted(let_in)),
        (oracle.INVALID, planted(let_in, checked=False, rule=allow)),
        (oracle.NOISY, planted(warn)),
    ],
)
def test_breaches__are_reported(kind, format):
    found = outcomes(format)
    assert found.outcomes[kind] > 50
    assert {told for _, told, _, _ in found.breaches} == {kind}
    assert found.n_breaches == found.outcomes[kind]


def test_breaches__good_reader_has_none():
    found = outcomes(planted(refuse))
    assert found.n_breaches == 0
    assert found.outcomes[oracle.REFUSED] > 200
    assert found.outcomes[oracle.SAME] > 0


@pytest.mark.parametrize(
    ("kind", "bad", "longest"),
    [
        (oracle.SLOW, sleep, 0.1),
        (oracle.GREEDY, devour, 5.0),
        (oracle.DEAD, kill, 5.0),
        (oracle.DEAD, spin, 0.1),
    ],
)
def test_breaches__one_that_ends_or_stops_the_process(monkeypatch, kind, bad, longest):
    monkeypatch.setattr(oracle, "LONGEST", longest)
    monkeypatch.setattr(campaigns, "STUCK", 2.0 if bad is not spin else 0.5)

    def is_meant(text):
        return text.startswith(b"1") and len(text) == 4

    def now_and_then(text):
        if is_meant(text):
            bad(text)
        raise ExplGraphError("refused")

    found = outcomes(planted(now_and_then), count=40)
    assert found.outcomes[kind] > 0
    assert {told for _, told, _, _ in found.breaches} == {kind}
    assert all(
        is_meant(mutated("planted", SEEDS, SEED, index).files["a.txt"])
        for index, *_ in found.breaches
    )


# -- journals --------------------------------------------------------------------------------------


def test_journal__an_interrupted_campaign_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(campaigns, "_SAVE_EVERY", 0.0)
    journal, some = tmp_path / "fuzz.json", [FORMATS["cub"], FORMATS["splits"]]
    count = 4 * BLOCK
    whole = campaign(some, count, SEED, 1)

    def stop(tallies, _):
        if sum(len(t.blocks) for t in tallies.values()) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        campaign(some, count, SEED, 1, journal, stop)
    seen = []
    rest = campaign(some, count, SEED, 1, journal, lambda tallies, _: seen.append(1))
    assert len(seen) == 2
    assert {n: t.outcomes for n, t in rest.items()} == {n: t.outcomes for n, t in whole.items()}
    with pytest.raises(SystemExit, match="another campaign"):
        campaign(some, count, SEED + 1, 1, journal)


def test_table__adds_up(tallies):
    head, *rows, last = (line.replace(",", "").split() for line in table(tallies))
    assert head[:2] == ["format", "inputs"]
    assert int(last[1]) == sum(t.outcomes.total() for t in tallies.values())
    assert sum(map(int, last[2:-2])) == int(last[1])
    assert len(rows) == len(FORMATS)
