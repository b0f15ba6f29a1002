"""A network run with one layer's output replaced: what drops and slopes must equal."""

import torch

from explgraph.networks.intervention import _run


def edited_logits(net, batch, layer, edit):
    """Return (B, classes) of a batch; ``edit`` gets a copy of the layer's output (B, C, h, w)."""

    def replace(output):
        edited = edit(output.detach().to(torch.float32, copy=True))
        return edited.to(output.device, output.dtype, copy=True)

    return _run(net, batch, {layer: replace})
