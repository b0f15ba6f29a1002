# %% [markdown]
# # Real photos
#
# What has ResNet-50 learned that it finds in photos of one breed of dog? The photos are those of
# the Oxford-IIIT Pet Dataset, which torchvision downloads (800 MB); textures of the DTD (600 MB)
# serve as the background. Both are kept for the next time.
#
# `python real_photos.py [DATA [MODEL [WEIGHTS [FOLDER]]]]`: where the data is kept, or is already,
# a network of torchvision, its weights, and a folder for the pictures.

# %%
import sys
import tempfile
from pathlib import Path

import numpy as np
from torchvision.datasets import DTD, OxfordIIITPet

import explgraph as eg

BREED = "boxer"  # photos are called boxer_12.jpg; breeds of cats begin with a capital: Bengal
ARGUMENTS = [] if "ipykernel" in sys.modules else sys.argv[1:]  # in a notebook they are Jupyter's
DATA, MODEL, WEIGHTS, OUT = (
    *ARGUMENTS,
    *("data", "resnet50", "DEFAULT", tempfile.mkdtemp())[len(ARGUMENTS) :],
)
DATA, OUT = Path(DATA), Path(OUT)

# %% [markdown]
# ## Photos
#
# About 200 of the breed. Every fourth is set aside: what is found there was not mined from it.

# %%
OxfordIIITPet(DATA, download=True)
DTD(DATA, download=True)
photos = sorted((DATA / "oxford-iiit-pet" / "images").glob(f"{BREED}_*.jpg"))
textures = sorted((DATA / "dtd" / "dtd" / "images").rglob("*.jpg"))
unseen = photos[::4]
mined = [photo for photo in photos if photo not in unseen]
print(len(mined), "photos to mine,", len(unseen), "to look at")

# %% [markdown]
# ## Mine and find
#
# `views=True` keeps what parts need, further down.

# %%
net = eg.load_backbone(MODEL, weights=WEIGHTS)
graph = eg.mine(net, mined, background=textures[:: len(textures) // 150 + 1], seed=0)
graph.save(OUT / "graph.safetensors")
found = eg.match(graph, net, unseen, views=True)

# %% [markdown]
# ## What it has learned, at a glance

# %%
eg.draw_groups(graph, found, unseen, OUT / "parts.png")
eg.draw_match(graph, found, unseen, OUT / "one_photo.png", 0)
eg.write_report(graph, found, unseen, OUT / "report.html")
graph.groups

# %% [markdown]
# ## Heads from three clicks
#
# Some of the photos come with the box of the head. Three of them are the clicks; the others tell
# how far off the answers are, over the photo's diagonal, beside the mean of the clicks.

# %%
boxes = eg.read_boxes(DATA / "oxford-iiit-pet" / "annotations" / "xmls")
heads = {name: boxes[name][0] for name in found.images if name in boxes}
centres = {name: ((b.y0 + b.y1) / 2, (b.x0 + b.x1) / 2) for name, b in heads.items()}
clicked = list(heads)[:3]
lines = ["image,part,x,y"]
for name in clicked:
    y, x = centres[name]
    lines.append(f"{name},head,{x - 0.5:.1f},{y - 0.5:.1f}")  # a whole number is a pixel's centre
(OUT / "clicks.csv").write_text("\n".join(lines) + "\n")

parts = eg.fit_parts(graph, found, eg.read_annotations(OUT / "clicks.csv"))
where = eg.locate(parts, found)
rows = [i for i, name in enumerate(where.images) if name in heads and name not in clicked]
size = np.array([found.photo_sizes[where.images[i]] for i in rows])
truth = np.array([centres[where.images[i]] for i in rows]) / size
mean_click = np.mean([np.divide(centres[n], found.photo_sizes[n]) for n in clicked], axis=0)
for label, answers in (("And-Or graph", where.yx[rows]), ("mean of the clicks", mean_click)):
    off = np.linalg.norm((answers - truth) * size, axis=1) / np.linalg.norm(size, axis=1)
    print(f"{label}: {off.mean():.3f}")
eg.draw_answers(where.take(np.array(rows[:24])), unseen, OUT / "heads.png")
print("pictures:", *sorted(path.name for path in OUT.iterdir() if path.suffix != ".safetensors"))
print("in", OUT)
