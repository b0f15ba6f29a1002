"""CVAT's XML: positions worked out by hand, and what is none of it."""

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.photos.annotation_files import read_annotations

FILE = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>head</name></label></labels></task></meta>
  <image id="0" name="sub/a b.jpg" width="60" height="40">
    <points label="eye" source="manual" occluded="0" points="0.50,0.50;10.00,20.00" z_order="0"/>
    <box label="head" source="auto" occluded="1" xtl="10" ytl="20" xbr="14" ybr="22" z_order="0">
      <attribute name="confidence">0.5</attribute>
    </box>
    <skeleton label="cat" source="manual" z_order="0">
      <points label="tail" source="manual" outside="0" occluded="1" points="3.5,4.5"/>
      <points label="paw" source="manual" outside="1" occluded="0" points="1,1"/>
    </skeleton>
    <polygon label="cat" points="1,2;3,4;5,6"/>
  </image>
  <image id="1" name="&quot;&gt;&lt;img src=x onerror=alert(1)&gt;.jpg" width="9" height="9">
    <skeleton label="dog"><points label="tail" points="1,2"/></skeleton>
    <box label="head" xtl="0" ytl="0" xbr="4" ybr="2" rotation="90"/>
    <tag label="cat"/>
  </image>
</annotations>
"""
ODD = '"><img src=x onerror=alert(1)>.jpg'


def written(tmp_path, text, name="a.xml"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_read__counted_by_hand(tmp_path):
    marks = read_annotations(written(tmp_path, FILE))
    assert marks.image == ("sub/a b.jpg",) * 4 + (ODD,) * 2
    assert marks.part == ("eye", "eye", "head", "tail", "tail", "head")
    assert marks.group == marks.image
    assert marks.yx.tolist() == [[0, 0], [19.5, 9.5], [20.5, 11.5], [4, 3], [1.5, 0.5], [0.5, 1.5]]
    np.testing.assert_allclose(marks.size[[2, 5]], [[2, 4], [4, 2]])  # the other one is turned
    assert np.isnan(marks.size[[0, 1, 3, 4]]).all()


def test_read__label_and_part(tmp_path):
    path = written(tmp_path, FILE)
    assert read_annotations(path, label="cat").yx.tolist() == [[4, 3]]
    assert len(read_annotations(path, parts=["eye"])) == 2
    with pytest.raises(ExplGraphError, match=r"unknown label of a skeleton in .*'cow'.*cat, dog"):
        read_annotations(path, label="cow")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('points="3.5,4.5"', 'points="3.5"', r"a b\.jpg.*'tail' must be x,y;x,y;.*'3\.5'"),
        ('points="3.5,4.5"', 'points="3.5,nan"', "'tail' must be x,y"),
        ('points="3.5,4.5"', "", "'tail' must be x,y"),
        ('label="tail" source', 'label="" source', "a <points> has no label"),
        ('xbr="14"', 'xbr="9"', "box of 'head' must have the numbers xtl"),
        ('ytl="20"', "", "box of 'head' must have the numbers xtl"),
        ('rotation="90"', 'rotation="x"', "a number as rotation"),
        (' name="sub/a b.jpg"', "", "an <image> has no name"),
        ("annotations>", "annotation>", "is no file of CVAT: expected <annotations>"),
        ("</annotations>", "", "is not a whole XML file"),
        ("<annotations>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotations>", "a document type"),
        ('points="3.5,4.5"', 'points="3.5,1e10"', "lies more than 1e"),
    ],
)
def test_read__what_is_wrong_is_named(tmp_path, old, new, message):
    assert old in FILE
    path = written(tmp_path, FILE.replace(old, new))
    with pytest.raises(ExplGraphError, match=message) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)


def test_read__video_is_refused(tmp_path):
    track = '<annotations><track id="0" label="a"><points frame="0" points="1,2"/></track>'
    with pytest.raises(ExplGraphError, match="'CVAT for video': export"):
        read_annotations(written(tmp_path, f"{track}</annotations>"))


def test_read__nothing_marked(tmp_path):
    with pytest.raises(ExplGraphError, match="holds no annotations of parts"):
        read_annotations(written(tmp_path, '<annotations><image name="a"/></annotations>'))
