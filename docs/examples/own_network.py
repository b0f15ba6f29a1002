# %% [markdown]
# # Your own network
#
# Any `nn.Module` with convolutions will do, with a transform of your own if it needs one. Here the
# photos are drawings of birds that explgraph makes, so that nothing has to be downloaded.
#
# Open this file as a notebook (VS Code, or Jupyter with Jupytext), or run it:
# `python own_network.py [FOLDER]` writes the pictures into a folder.

# %%
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

import explgraph as eg
from explgraph.demo.animals.drawing import SEEDS, draw_animal, draw_background
from explgraph.demo.model import trained_demo_net

ARGUMENTS = [] if "ipykernel" in sys.modules else sys.argv[1:]  # in a notebook they are Jupyter's
OUT = Path(ARGUMENTS[0] if ARGUMENTS else tempfile.mkdtemp())

# %% [markdown]
# ## The network
#
# Yours would be built by your code, and load your weights. This one borrows the trained stages of
# explgraph's demo network.


# %%
class BirdNet(nn.Module):
    """Four stages of convolutions, and a head that tells species apart."""

    def __init__(self) -> None:
        super().__init__()
        trained = trained_demo_net()
        self.low = nn.Sequential(trained.stage1, trained.stage2)
        self.middle = trained.stage3
        self.high = trained.stage4
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), trained.classifier)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the classes, (N, 7), for images (N, 3, 128, 128)."""
        scores: Tensor = self.head(self.high(self.middle(self.low(images))))
        return scores


# %% [markdown]
# ## The transform
#
# From an RGB `PIL.Image` to a float tensor. It may resize, crop, pad and normalise: explgraph finds
# out where it takes each place of a photo, so that positions come back in the photo's own
# coordinates. Without a transform the whole photo is resized and normalised as for ImageNet.

# %%
transform = v2.Compose(
    [
        v2.Resize((128, 128)),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)
net = eg.Backbone(BirdNet(), transform, name="bird_net")
print("mined by default:", *net.auto_layers())

# %% [markdown]
# ## Mine
#
# Photos may be a folder, a list of files, an array (N, H, W, 3) or a torch Dataset. The background,
# photos of anything, tells what a strong response of a filter is.

# %%
birds = np.stack([draw_animal("bird", seed).image for seed in SEEDS["mine"][:60]])
scenes = np.stack([draw_background(seed) for seed in SEEDS["mine"][:20]])
graph = eg.mine(net, birds, background=scenes, seed=0)
graph.save(OUT / "birds.safetensors")
graph

# %% [markdown]
# ## Look
#
# `found` says where each node is in photos that mining has not seen, and with what score.

# %%
unseen = np.stack([draw_animal("bird", seed).image for seed in SEEDS["measure"][:24]])
found = eg.match(graph, net, unseen)
print(f"{len(graph)} nodes in {len(found)} drawings")

# %%
eg.draw_groups(graph, found, unseen, OUT / "parts.png")
graph.groups

# %%
best = graph.node(int(graph.ranking()[0]))
print("the best node:", best.id)
eg.draw_node(graph, found, unseen, OUT / "best_node.png", best.id)
best

# %%
peaks = eg.extract(net, unseen, background=graph)
layer, channel = best.layer.name, best.channel
eg.draw_filter(graph, found, peaks, unseen, OUT / "its_filter.png", layer, channel)

# %%
eg.draw_nodes(graph, found, unseen, OUT / "best_nodes.png", nodes_per_layer=3)
eg.draw_match(graph, found, unseen, OUT / "one_drawing.png", 0)
eg.draw_graph(
    graph,
    OUT / "graph.svg",
    nodes_per_layer=8,
    thumbnails=True,
    found=found,
    images=unseen,
)

# %%
maps = eg.explained_maps(graph, net, unseen[:4])
eg.draw_explained(maps, unseen[:4], OUT / "explained.png", 0)

# %% [markdown]
# One page to explore it all, which opens without a network:

# %%
eg.write_report(graph, found, unseen, OUT / "report.html", n_nodes=60)
print("pictures:", *sorted(path.name for path in OUT.iterdir()))
print("in", OUT)
