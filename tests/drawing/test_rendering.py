"""What a notebook shows of a drawing by Graphviz."""

import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.drawing.rendering import picture_format, render

DOT = 'digraph g { graph [bb="0,0,40,40"]; a [pos="20,20", width=0.3, height=0.3]; }'


def test_drawing__without_a_file_is_svg_that_a_notebook_shows():
    drawing = render(DOT, picture_format(None, thumbnails=False))
    assert drawing._repr_svg_() == str(drawing) == drawing.data.decode()
    assert "<svg" in str(drawing)
    assert drawing._repr_png_() is None


def test_drawing__as_png_is_shown_as_such(tmp_path):
    drawing = render(DOT, "png")
    assert drawing._repr_svg_() is None
    assert drawing._repr_png_().startswith(b"\x89PNG")
    assert drawing.save(tmp_path / "g.png") is drawing
    assert (tmp_path / "g.png").read_bytes() == drawing.data


@pytest.mark.parametrize("suffix", ["dot", "pdf"])
def test_drawing__of_other_formats_says_what_it_is(suffix):
    drawing = render(DOT, suffix)
    assert (drawing._repr_svg_(), drawing._repr_png_()) == (None, None)
    assert repr(drawing) == f"Drawing({suffix}, {len(drawing.data):,} bytes)"
    assert str(drawing) == (DOT if suffix == "dot" else repr(drawing))


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
@pytest.mark.parametrize(
    "text",
    ["digraph g { a [", f'digraph g {{ a [label="{"x" * 20_000}"]; }}', "digraph g { \ud800; }"],
)
def test_render__what_graphviz_cannot_draw_is_one_error_without_its_noise(capfd, text, suffix):
    with pytest.raises(ExplGraphError, match=rf"Graphviz cannot draw this as \.{suffix}"):
        render(text, suffix)
    assert capfd.readouterr() == ("", "")
    assert render(DOT, suffix).data  # the next one is drawn as ever


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
def test_render__a_picture_that_cannot_be_read_is_an_error(capfd, tmp_path, suffix):
    """Found by `make faults`: Graphviz only warns, and draws a node without its thumbnail."""
    path = tmp_path / "0.jpg"
    text = DOT.replace("height=0.3", f'height=0.3, label="", image="{path}"')
    with pytest.raises(ExplGraphError, match="could not read 1 of the thumbnails"):
        render(text, suffix)
    assert capfd.readouterr() == ("", "")
    Image.new("RGB", (20, 20)).save(path)
    assert render(text, suffix).data
