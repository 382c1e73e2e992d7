"""What pictures look like before anything is learnt from their labels: which small patches occur where."""

from __future__ import annotations

import numpy as np

from curation.arrays import PixelArray

# Patches are counted in so many by so many fields of the picture.
GRID = 4
FITTED_ON = 200
BATCH = 256


def describe(pixels: PixelArray) -> np.ndarray:
    """(N, D) float16: responses to the set's own principal patches, both signs apart, averaged over 4 x 4 fields.

    It tells a photo among scans, or a drawing among photos, whatever class either is filed under. Means nothing for
    pictures that are as varied as these patches.

    Parameters
    ----------
    pixels : (N, S, S, 3) uint8

    References
    ----------
    Coates, Lee & Ng (2011), An analysis of single-layer networks in unsupervised feature learning; with principal
    directions instead of clusters.
    """
    import torch
    import torch.nn.functional as F

    from curation.training.model import CompactNet, normalise
    from curation.training.train import channel_statistics

    mean, std = channel_statistics(pixels, np.arange(len(pixels)))
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        net = CompactNet(1, pixels.shape[1])
        net.fit_whitening(normalise(torch.from_numpy(pixels[:: max(1, len(pixels) // FITTED_ON)]), mean, std))
        torch.nn.init.zeros_(net.whiten.bias)  # type: ignore[arg-type]
        found = np.empty((len(pixels), net.whiten.out_channels * GRID * GRID), dtype=np.float16)
        for start in range(0, len(pixels), BATCH):
            images = normalise(torch.from_numpy(pixels[start : start + BATCH]), mean, std)
            pooled = F.adaptive_avg_pool2d(net.whiten(images).relu(), GRID)
            found[start : start + BATCH] = pooled.flatten(1).clamp(max=6e4).numpy()
    return found
