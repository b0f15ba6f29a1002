"""Batches come in order, from threads, without the damaged; leaving early leaves no thread."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.base.progress import stage, watched
from explgraph.photos.decoding import UnreadableImageError
from explgraph.photos.images import ImageItem, ImageSource, open_images
from explgraph.photos.loading import iterate_batches

SIDE = 8


def stretch(image):
    """The whole image on 8x8 network pixels; written without the library."""
    pixels = np.asarray(image.resize((SIDE, SIDE)), np.float32) / 255
    frame = np.array([[0, 1 / SIDE], [0, 1 / SIDE]])
    return torch.from_numpy(pixels).permute(2, 0, 1), frame


def workers_alive():
    return [t for t in threading.enumerate() if t.name.startswith("explgraph-images")]


@pytest.fixture
def numbered():
    """30 images, image k has the grey value k."""
    return np.broadcast_to(np.arange(30, dtype=np.uint8)[:, None, None], (30, 6, 10)).copy()


class Probe:
    """A source whose images take different times; records when each was asked for."""

    def __init__(self, count, seconds=lambda index: 0.0, broken=()):
        self.asked = []
        self.running = self.most_running = 0
        self._lock = threading.Lock()
        self._seconds, self._broken = seconds, broken
        self.source = ImageSource([ImageItem(f"{k}.png", k) for k in range(count)], self.read)

    def read(self, index):
        with self._lock:
            self.asked.append(index)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        time.sleep(self._seconds(index))
        with self._lock:
            self.running -= 1
        if index in self._broken:
            raise UnreadableImageError(f"{index}.png", "made so")
        return Image.new("RGB", (4, 4), (index, 0, 0))


def test_iterate_batches__order_shapes_and_sizes(numbered):
    batches = list(iterate_batches(open_images(numbered), stretch, batch_size=8))
    assert [len(b.indices) for b in batches] == [8, 8, 8, 6]
    assert [k for b in batches for k in b.indices] == list(range(30))
    for batch in batches:
        size = len(batch.indices)
        assert batch.tensor.shape == (size, 3, SIDE, SIDE)
        assert batch.tensor.dtype == torch.float32
        assert batch.frames.shape == (size, 2, 2)
        assert batch.frames.dtype == np.float64
        expected = torch.tensor(batch.indices)[:, None, None, None].expand_as(batch.tensor)
        torch.testing.assert_close(batch.tensor * 255, expected.float())


@pytest.mark.parametrize("batch_size", [1, 7, 30, 100])
@pytest.mark.parametrize("workers", [1, 3, None])
def test_iterate_batches__same_images_for_any_batch_size_and_threads(numbered, batch_size, workers):
    batches = list(
        iterate_batches(open_images(numbered), stretch, batch_size=batch_size, workers=workers)
    )
    values = torch.cat([b.tensor[:, 0, 0, 0] for b in batches]) * 255
    torch.testing.assert_close(values, torch.arange(30.0))
    assert [k for b in batches for k in b.indices] == list(range(30))


def test_iterate_batches__slow_images_keep_their_order_and_overlap():
    probe = Probe(24, seconds=lambda index: 0.03 if index % 4 == 0 else 0.001)
    found = [
        index
        for batch in iterate_batches(probe.source, stretch, batch_size=4, workers=4)
        for index in (batch.tensor[:, 0, 0, 0] * 255).round().int().tolist()
    ]
    assert found == list(range(24))
    assert 2 <= probe.most_running <= 4


def test_iterate_batches__works_ahead_but_not_far():
    probe = Probe(100)
    batches = iterate_batches(probe.source, stretch, batch_size=5, workers=2)
    assert probe.asked == []
    for number in range(1, 5):
        next(batches)
        time.sleep(0.05)  # the threads run as far as they may
        assert 5 * number < len(probe.asked) <= 5 * number + 10
    batches.close()


def test_iterate_batches__frames_lead_to_the_photo(tmp_path):
    # A photo 40 high and 100 wide with one white pixel; a box around it; 8x8 network pixels.
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[22, 61] = 255
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    boxes = tmp_path / "boxes.csv"
    # Columns 58..73 (16 wide), rows 16..23 (8 high): 2 photo columns and 1 row to a network pixel.
    boxes.write_text("image,x,y,width,height\nphoto.png,65.5,19.5,16,8\n")

    def halve(image):
        assert image.size == (16, 8)
        grey = np.asarray(image, np.float32).reshape(8, 8, 2, 3).mean(axis=2)
        return torch.from_numpy(grey).permute(2, 0, 1), np.array([[0, 1 / 8], [0, 1 / 8]])

    source = open_images(tmp_path / "photo.png", boxes=boxes)
    (batch,) = iterate_batches(source, halve, batch_size=4)
    row, column = np.argwhere(batch.tensor[0, 0].numpy() > 0)[0]
    frame = batch.frames[0]
    y, x = frame[:, 0] + frame[:, 1] * [row + 0.5, column + 0.5]
    assert y * 40 == pytest.approx(22.5)
    assert x * 100 == pytest.approx(61)  # the middle of columns 60 and 61
    corners = frame[:, 0], frame[:, 0] + frame[:, 1] * SIDE
    np.testing.assert_allclose(corners, [[16 / 40, 58 / 100], [24 / 40, 74 / 100]])


def test_iterate_batches__frames_of_a_letterbox(tmp_path):
    pixels = np.zeros((40, 100, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,x,y,width,height\nphoto.png,49.5,9.5,40,20\n")

    def letterbox(image):
        # 40x20 photo pixels on 8x8 network pixels: 5 to one, 2 empty rows above and below.
        return torch.zeros(3, 8, 8), np.array([[-0.5, 0.25], [0, 0.125]])

    source = open_images(tmp_path, boxes=boxes)
    (batch,) = iterate_batches(source, letterbox, batch_size=1)
    for px, photo in (((2, 0), (0, 30)), ((6, 8), (20, 70)), ((4, 4), (10, 50))):
        unit = batch.frames[0, :, 0] + batch.frames[0, :, 1] * px
        np.testing.assert_allclose(unit * [40, 100], photo, atol=1e-9)


def test_iterate_batches__damaged_images_are_skipped_named_and_counted(caplog):
    probe = Probe(10, broken={0, 3, 4, 9})
    batches = iterate_batches(probe.source, stretch, batch_size=3)
    with caplog.at_level(logging.WARNING, logger="explgraph"):
        indices = [batch.indices for batch in batches]
    assert indices == [[1, 2, 5], [6, 7, 8]]
    assert batches.skipped.names == ["0.png", "3.png", "4.png", "9.png"]
    assert batches.skipped.reasons == ["made so"] * 4
    assert len(batches.skipped) == 4
    (record,) = caplog.records
    assert "skipped 4 of 10 images" in record.getMessage()
    for name in batches.skipped.names:
        assert f"{name} (made so)" in record.getMessage()


def test_iterate_batches__long_lists_of_skipped_images_are_shortened(caplog):
    probe = Probe(50, broken=set(range(45)))
    batches = iterate_batches(probe.source, stretch, batch_size=3)
    assert [b.indices for b in batches] == [[45, 46, 47], [48, 49]]
    assert len(batches.skipped.names) == 45
    assert "skipped 45 of 50" in caplog.text
    assert "and 25 more" in caplog.text
    assert "19.png" in caplog.text
    assert "20.png" not in caplog.text


def test_iterate_batches__files_end_to_end(tmp_path, caplog):
    for name in ("a.png", "b.jpg", "d.gif"):
        Image.new("RGB", (5, 4)).save(tmp_path / name)
    (tmp_path / "c.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:200])
    batches = iterate_batches(open_images(tmp_path), stretch, batch_size=8)
    assert [b.indices for b in batches] == [[0, 1, 3]]
    assert batches.skipped.names == ["c.jpg"]
    assert "c.jpg" in caplog.text


def test_iterate_batches__strict_stops_at_the_first():
    probe = Probe(10, broken={4, 6}, seconds=lambda index: 0.02 if index == 4 else 0)
    seen = []
    with pytest.raises(ExplGraphError, match=r"4\.png.*made so"):
        for batch in iterate_batches(probe.source, stretch, batch_size=2, strict=True):
            seen += batch.indices
    assert seen == [0, 1, 2, 3]
    assert workers_alive() == []


def test_iterate_batches__nothing_readable_is_an_error():
    probe = Probe(3, broken={0, 1, 2})
    with pytest.raises(ExplGraphError, match=r"none of the 3 images.*0\.png.*1\.png.*2\.png"):
        list(iterate_batches(probe.source, stretch, batch_size=2))


def test_iterate_batches__nan_after_preprocessing_is_skipped(numbered):
    def sometimes_nan(image):
        tensor, frame = stretch(image)
        return (tensor * float("nan") if image.getpixel((0, 0))[0] == 2 else tensor), frame

    batches = iterate_batches(open_images(numbered[:4]), sometimes_nan, batch_size=4)
    assert [b.indices for b in batches] == [[0, 1, 3]]
    assert batches.skipped.names == ["000002"]
    assert "NaN" in batches.skipped.reasons[0]


def test_iterate_batches__mistakes_in_preprocess_are_not_skipped(numbered):
    def broken(image):
        raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        list(iterate_batches(open_images(numbered), broken, batch_size=4))
    assert workers_alive() == []

    sizes = iter(range(1, 100))
    lock = threading.Lock()

    def changing(image):
        with lock:
            return torch.zeros(3, next(sizes), 4), np.zeros((2, 2))

    with pytest.raises(ExplGraphError, match="same shape"):
        list(iterate_batches(open_images(numbered), changing, batch_size=4))


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"batch_size": 1, "workers": 0}])
def test_iterate_batches__options_out_of_range(numbered, option):
    with pytest.raises(ExplGraphError, match="at least 1, got 0"):
        iterate_batches(open_images(numbered), stretch, **option)


def test_iterate_batches__dataset_is_asked_by_one_thread_at_a_time():
    class Shy(torch.utils.data.Dataset):
        inside = 0

        def __len__(self):
            return 20

        def __getitem__(self, index):
            assert Shy.inside == 0
            Shy.inside += 1
            time.sleep(0.002)
            Shy.inside -= 1
            return torch.full((3, 4, 4), index, dtype=torch.uint8), 0

    batches = iterate_batches(open_images(Shy()), stretch, batch_size=6, workers=6)
    assert [k for b in batches for k in b.indices] == list(range(20))


# ---- leaving early


def consume_two(batches):
    for number, _ in enumerate(batches):
        if number == 1:
            raise KeyboardInterrupt


def test_ctrl_c_in_the_consumer__with_block_cancels_and_joins():
    probe = Probe(200, seconds=lambda index: 0.005)
    batches = iterate_batches(probe.source, stretch, batch_size=4, workers=3)
    with pytest.raises(KeyboardInterrupt) as kept, batches:  # the traceback is kept on purpose
        consume_two(batches)
    assert workers_alive() == []
    asked = len(probe.asked)
    assert asked <= 16
    time.sleep(0.03)
    assert len(probe.asked) == asked
    assert next(batches, None) is None
    assert kept.type is KeyboardInterrupt


def test_ctrl_c_in_the_consumer__last_reference_gone_joins():
    probe = Probe(200, seconds=lambda index: 0.002)
    with contextlib.suppress(KeyboardInterrupt):
        consume_two(iterate_batches(probe.source, stretch, batch_size=4, workers=3))
    assert workers_alive() == []


def test_ctrl_c_while_waiting__pending_images_are_not_decoded():
    def interrupt(done, total):
        raise KeyboardInterrupt

    probe = Probe(200, seconds=lambda index: 0.01)
    with pytest.raises(KeyboardInterrupt):
        list(iterate_batches(probe.source, stretch, batch_size=50, workers=2, progress=interrupt))
    assert workers_alive() == []
    assert len(probe.asked) <= 5


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c__a_script_ends_at_once():
    script = """
        import threading, time, numpy as np, torch
        from PIL import Image
        from explgraph.photos.images import ImageItem, ImageSource
        from explgraph.photos.loading import iterate_batches

        def read(index):
            if index == 3:
                print("working", flush=True)
            time.sleep(0.3)
            return Image.new("RGB", (4, 4))

        source = ImageSource([ImageItem(str(k), k) for k in range(1000)], read)
        task = lambda image: (torch.zeros(3, 4, 4), np.zeros((2, 2)))
        try:
            for batch in iterate_batches(source, task, batch_size=500, workers=2):
                pass
        except KeyboardInterrupt:
            print("interrupted", threading.active_count(), flush=True)
            raise
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "working\n"
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert time.monotonic() - start < 10  # a thousand images would take 150 s
    assert out == "interrupted 1\n"
    assert "KeyboardInterrupt" in err
    assert process.returncode != 0


# ---- progress


def test_progress__function_is_told_every_image(numbered):
    told = []
    probe = Probe(5, broken={2})
    list(
        iterate_batches(
            probe.source,
            stretch,
            batch_size=2,
            progress=lambda done, total: told.append((done, total)),
        )
    )
    assert told == [(k, 5) for k in range(1, 6)]


@pytest.mark.parametrize(("progress", "terminal"), [(True, False), (False, True)])
def test_progress__silent_without_a_terminal_or_when_unwanted(
    numbered, capsys, monkeypatch, progress, terminal
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    list(iterate_batches(open_images(numbered), stretch, batch_size=8, progress=progress))
    assert capsys.readouterr() == ("", "")


def test_progress__bar_on_a_terminal(numbered, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    for _ in iterate_batches(open_images(numbered), stretch, batch_size=15):
        time.sleep(0.5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "photos" in err
    assert "0/30" in err
    assert "15/30" in err


def test_progress__a_batch_is_done_when_the_next_is_asked_for(numbered):
    done = []
    with watched(len) as run, stage("all"):
        batches = iterate_batches(open_images(numbered), stretch, batch_size=8, called="some")
        for batch in batches:
            done.append((len(batch.indices), run.status()[:1] + run.status()[3:5]))
        assert run.status().name == "all"
    assert done == [(size, ("some", 8 * i, 30)) for i, size in enumerate((8, 8, 8, 6))]
