"""The script that draws the quality page's figures, on small results made by hand."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from tests.support.commands import ok

mpl = pytest.importorskip("matplotlib")
mpl.use("agg")

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make_quality.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_quality", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(category, weight_hash="00"):
    """One category's results, with figures that can be told apart."""
    explained = [
        {"count": count, "layer": layer, "row": row, "explained": share, "on_object": None}
        for count, share in (("all_peaks", 0.3), ("strong_peaks", 0.4), ("strongest_peak", 0.5))
        for layer in ("low", "all layers")
        for row in ("graph", "shuffled filters", "background photos")
    ]
    points = [
        {"row": "best 10", "cell_share": 0.1, "kept": 0.2, "kept_random": 0.1},
        {"row": "all", "cell_share": 0.6, "kept": 0.7, "kept_random": 0.5},
    ]
    stability = [
        {"kind": kind, "found": 0.9, "control": 0.3, "found_all": 0.6, "control_all": 0.2}
        for kind in ("other half of the photos", "other seed")
    ]
    t100 = {"raw peaks": 1.2, "raw peaks, mirrored": 1.1, "no edges": 0.9, "graph": 0.6}
    tracking = [
        {"part": part, "row": row, "t100": value, "nodes": None}
        for part in ("head", "feet")
        for row, value in t100.items()
    ]
    points = [point | {"kept_strongest": 0.8} for point in points]
    measures = {"explained": explained, "fidelity": points, "stability": stability}
    return {
        "model": "net",
        "weight_hash": weight_hash,
        "seeds": [0],
        "categories": [{"category": category}],
        "means": of(category, tracking),
        "measures": {
            name: {"categories": [{"category": category}], "means": of(category, rows)}
            for name, rows in measures.items()
        },
    }


def of(category, rows):
    return [{"category": category} | row for row in rows]


@pytest.fixture
def saved(tmp_path):
    paths = [tmp_path / "bird.json", tmp_path / "cat.json"]
    for path in paths:
        path.write_text(json.dumps(results(path.stem)))
    return paths


def test_read__categories_of_all_files(script, saved):
    data = script.read_results(saved)
    for name in ("tracking", "explained", "fidelity", "stability"):
        assert [c["category"] for c in data[name]["categories"]] == ["bird", "cat"]
    means = script.means_of(data, "tracking")
    assert means["category"].tolist() == ["bird"] * 8 + ["cat"] * 8
    assert means["nodes"].isna().all()  # null


def test_read__one_network_only(script, saved):
    saved[1].write_text(json.dumps(results("cat", weight_hash="11")))
    with pytest.raises(ExplGraphError, match="one network at a time"):
        script.read_results(saved)


def test_draw__a_small_file_for_each_measure(script, saved, tmp_path):
    drawn = list(script.draw_all(script.read_results(saved), tmp_path / "figures"))
    assert {path.stem for path in drawn} == {"tracking", "explained", "fidelity", "stability"}
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 100_000


def test_draw__only_what_was_measured(script, saved, tmp_path):
    data = script.read_results(saved[:1])
    part = {key: data[key] for key in ("model", "stability")}
    assert [path.stem for path in script.draw_all(part, tmp_path)] == ["stability"]


def lines_of(axis):
    return {line.get_label(): (*line.get_xdata(), *line.get_ydata()) for line in axis.lines}


def test_draw__the_figures_that_were_given(script, saved):
    data = script.read_results(saved)
    curves = lines_of(script.draw_fidelity(data).axes[0])
    assert curves["cells that nodes claim"] == pytest.approx((10, 60, 20, 70))
    assert curves["random cells (to beat)"] == pytest.approx((10, 60, 10, 50))
    head, other = script.draw_tracking(data).axes
    assert (head.get_title(), other.get_title()) == ("head", "other parts")
    assert lines_of(head)["graph"][2:] == pytest.approx((0.6, 0.6))
    bars = script.draw_explained(data).axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx([30, 40, 50] * 3)
    stability = script.draw_stability(data).axes[0]
    assert stability.get_title() == "other half of the photos"
    assert lines_of(stability)["100 best nodes"][2:] == pytest.approx((90, 90))
    mpl.pyplot.close("all")


def test_ratios__have_the_share_that_evaluate_prints(script, files):
    """Mined anew, by the same settings."""
    model, background = files.small_model, files.background
    printed = json.loads(
        ok(
            *("evaluate", files.annotated, "--model", model, "--background", background),
            *("--seeds", "3", "--parts", "head", "--device", "cpu", "--json"),
        ).stdout
    )
    share = {mean["row"]: mean["share"] for mean in printed["means"]}
    net = eg.load_backbone(model, device="cpu")
    reference = eg.extract(net, background, mirror=False, progress=False)
    ratios = script.node_ratios(files.annotated, net, reference, seed=3, part="head")
    assert set(ratios) == {"raw peaks, mirrored", "no edges", "graph"}
    for row, ratio in ratios.items():
        assert np.mean(ratio < 0.8) == pytest.approx(share[row])
    axis = script.draw_ratios({"zebra": ratios}).axes[0]
    assert f"{share['graph']:.1%} below" in [text.get_text() for text in axis.texts]
    mpl.pyplot.close("all")
