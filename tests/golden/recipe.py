"""Pure-numpy recipes for the data behind the golden files (no torch, no jax).

Nothing here comes from the reference repository: it only defines how the oracle made its
random inputs and random weights, so that a test can make the same ones.
"""

import numpy as np

PRIME_BLOCK = 1000003  # tensors larger than this repeat a block of this many normals


def array(seed, shape, dist="normal", scale=1.0, offset=0.0, dtype=np.float32):
    """Seeded array of 'normal', 'uniform' ([0,1)), 'relu' (max(normal,0)) or 'int' (0..scale-1)."""
    rng = np.random.RandomState(seed)
    if dist == "normal":
        a = rng.standard_normal(shape)
    elif dist == "uniform":
        a = rng.random_sample(shape)
    elif dist == "relu":
        a = np.maximum(rng.standard_normal(shape), 0)
    elif dist == "int":
        return rng.randint(0, int(scale), size=shape).astype(dtype) + np.dtype(dtype).type(offset)
    else:
        raise ValueError(dist)
    return (a * scale + offset).astype(dtype)


def weight(seed, index, shape):
    """Raw float64 standard normals for tensor number `index` of a state dict."""
    rng = np.random.RandomState((seed * 100003 + index) % (2**32))
    n = int(np.prod(shape))
    base = rng.standard_normal(min(n, PRIME_BLOCK))
    return np.resize(base, n).reshape(shape)  # np.resize repeats `base` cyclically


def state_dict(shapes, seed, gain=2**0.5, bias_scale=0.1, bn_scale=0.1, style="fan_in"):
    """shapes: {torch state-dict key: shape}.  Returns {key: float32 array}.

    Tensors are numbered by position in sorted(shapes) (plain Python string sort of ALL keys,
    'num_batches_tracked' keys included in the numbering but not returned).
      *.num_batches_tracked            -> skipped
      *.running_var                    -> 1 + 0.25*|w|
      *.running_mean                   -> 0.1*w
      ndim >= 2 (conv, linear)         -> w * gain / sqrt(prod(shape[1:]))   (style 'fan_in')
                                          w                                  (style 'unit')
      1-D 'weight' (batch norm scale)  -> 1 + bn_scale*w
      other 1-D ('bias', 'b')          -> bias_scale*w
    """
    out = {}
    for i, key in enumerate(sorted(shapes)):
        shape = tuple(shapes[key])
        if key.endswith("num_batches_tracked"):
            continue
        w = weight(seed, i, shape)
        if key.endswith("running_var"):
            w = 1 + 0.25 * np.abs(w)
        elif key.endswith("running_mean"):
            w = 0.1 * w
        elif len(shape) >= 2:
            if style == "fan_in":
                w = w * (gain / np.sqrt(np.prod(shape[1:])))
        elif key.endswith("weight"):
            w = 1 + bn_scale * w
        else:
            w = bias_scale * w
        out[key] = w.astype(np.float32)
    return out
