# %% [markdown]
# # Parts from three clicks
#
# Mark a part in three photos, and an And-Or graph over the nodes finds it in all others. The photos
# are drawings of fish that explgraph makes: where their parts truly are is known.
#
# `python and_or_graph.py [FOLDER]` writes drawings, clicks and pictures into a folder.

# %%
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import explgraph as eg
from explgraph.demo.animals.drawing import SEEDS, draw_animal, draw_background

ARGUMENTS = [] if "ipykernel" in sys.modules else sys.argv[1:]  # in a notebook they are Jupyter's
OUT = Path(ARGUMENTS[0] if ARGUMENTS else tempfile.mkdtemp())

# %% [markdown]
# ## Photos and three clicks
#
# A click is a line of a CSV file: which photo, which part, where in the photo's pixels. Here the
# first three drawings that show a head stand in for a person with a mouse.

# %%
PHOTOS = OUT / "photos"
PHOTOS.mkdir(parents=True, exist_ok=True)
drawings = {f"{seed}.png": draw_animal("fish", seed) for seed in SEEDS["measure"][:40]}
for name, drawing in drawings.items():
    Image.fromarray(drawing.image).save(PHOTOS / name)

head = next(iter(drawings.values())).parts.index("head")
true = {name: drawing.centres[head] for name, drawing in drawings.items() if drawing.visible[head]}
clicked = list(true)[:3]
lines = ["image,part,x,y"]
for name in clicked:
    y, x = true[name] * 128 - 0.5  # a whole number is the centre of a pixel
    lines.append(f"{name},head,{x:.1f},{y:.1f}")
(OUT / "clicks.csv").write_text("\n".join(lines) + "\n")
print(*lines, sep="\n")

# %% [markdown]
# ## Mine
#
# The graph needs no clicks, and serves for all parts.

# %%
net = eg.load_backbone("explgraph.demo:network")
fish = np.stack([draw_animal("fish", seed).image for seed in SEEDS["mine"][:80]])
scenes = np.stack([draw_background(seed) for seed in SEEDS["mine"][:30]])
graph = eg.mine(net, fish, background=scenes, seed=0)

# %% [markdown]
# ## Learn the head, and find it
#
# `views=True` keeps what parts need. Photos without a click help: they tell what a strong response
# of each node is.

# %%
found = eg.match(graph, net, PHOTOS, views=True)
parts = eg.fit_parts(graph, found, eg.read_annotations(OUT / "clicks.csv"), part="head")
parts.save(OUT / "head.safetensors")
parts

# %%
where = eg.locate(parts, found)
where.table[["image", "y", "x", "confidence", "visible"]]

# %% [markdown]
# ## How far off is it?
#
# In the drawings that were not clicked, over the drawing's diagonal; beside it, the mean of the
# three clicks as the answer for all of them.

# %%
rows = [i for i, name in enumerate(where.images) if name in true and name not in clicked]
truth = np.array([true[where.images[i]] for i in rows])
mean_click = np.mean([true[name] for name in clicked], axis=0)
for label, answers in (("And-Or graph", where.yx[rows]), ("mean of the clicks", mean_click)):
    print(f"{label}: {np.linalg.norm(answers - truth, axis=1).mean() / np.sqrt(2):.3f}")

# %% [markdown]
# ## Look
#
# The answers, each with the outline where the head lies with a probability of 90 %; the And-Or
# graph itself; and which of its nodes the answer for one drawing comes from.

# %%
eg.draw_answers(where.take(np.array(rows[:24])), PHOTOS, OUT / "heads.png")
eg.draw_parts(parts, OUT / "and_or.svg")
eg.draw_parse(eg.parse(parts, found, where, rows[0]), PHOTOS, OUT / "parse.png")
print("pictures:", *sorted(path.name for path in OUT.iterdir() if path.suffix != ".safetensors"))
print("in", OUT)
