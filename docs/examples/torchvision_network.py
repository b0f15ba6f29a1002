# %% [markdown]
# # A network of torchvision
#
# What has squeezenet1_1, trained on photos, learned that it finds in drawings of zebras? The
# drawings are made here; with photos of your own, give a folder instead.
#
# `python torchvision_network.py [WEIGHTS [FOLDER]]`: weights are downloaded once (5 MB) unless a
# file is given; pictures are written into the folder.

# %%
import sys
import tempfile
from pathlib import Path

import numpy as np

import explgraph as eg
from explgraph.demo.animals.drawing import SEEDS, draw_animal, draw_background

ARGUMENTS = [] if "ipykernel" in sys.modules else sys.argv[1:]  # in a notebook they are Jupyter's
WEIGHTS = ARGUMENTS[0] if ARGUMENTS else "DEFAULT"
OUT = Path(ARGUMENTS[1] if len(ARGUMENTS) > 1 else tempfile.mkdtemp())

# %% [markdown]
# ## Which layers?
#
# The default is the last conv stages. `net.layers()` lists all that can be mined, with the stride
# and the receptive field of their cells; `eg.mine(..., layers=[...])` takes others.

# %%
net = eg.load_backbone("squeezenet1_1", weights=WEIGHTS)
for spec in net.select("auto"):
    print(f"{spec.name}: {spec.channels} filters, {spec.grid[0]} x {spec.grid[1]} cells")

# %% [markdown]
# ## Mine and find

# %%
zebras = np.stack([draw_animal("zebra", seed, size=224).image for seed in SEEDS["mine"][:40]])
scenes = np.stack([draw_background(seed, size=224) for seed in SEEDS["mine"][:20]])
graph = eg.mine(net, zebras, background=scenes, seed=0)
graph

# %%
unseen = np.stack([draw_animal("zebra", seed, size=224).image for seed in SEEDS["measure"][:16]])
found = eg.match(graph, net, unseen)
found

# %% [markdown]
# ## Look
#
# What has it learned of a zebra? Its part groups: nodes that lie on the same part.

# %%
eg.draw_groups(graph, found, unseen, OUT / "parts.png")
graph.groups

# %% [markdown]
# The best nodes as a table, then some of every part group in the drawings in which they score best.

# %%
table = graph.nodes.nlargest(10, "gain")[["id", "y", "x", "support", "gain"]]
print(table.to_string(index=False))

# %%
eg.draw_nodes(graph, found, unseen, OUT / "best_nodes.png", nodes_per_layer=4)
eg.draw_match(graph, found, unseen, OUT / "one_drawing.png", 0)
eg.draw_graph(graph, OUT / "graph.svg", thumbnails=True, found=found, images=unseen)

# %% [markdown]
# ## What is this node?

# %%
print(eg.describe_node(graph, found, int(graph.ranking()[0])))
print("pictures:", *sorted(path.name for path in OUT.iterdir()))
print("in", OUT)
