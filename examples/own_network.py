"""Dissect a network of your own: which concept does each of its units respond to?

The network here is small and has random weights, and some of its units match concepts all the same:
compare with an untrained network before you say that one has learned a concept.
"""

from flax import nnx

import jaxdissect as jd
from jaxdissect.scenes import scene_vocabulary, scenes_dataset


class TwoConvolutions(nnx.Module):
    def __init__(self, rngs):
        self.conv1 = nnx.Conv(3, 16, (5, 5), rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, (3, 3), strides=2, rngs=rngs)
        self.head = nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, images):  # [B, 64, 64, 3]
        x = nnx.relu(self.conv1(images))
        return self.head(nnx.relu(self.conv2(x)).mean((1, 2)))


pictures = scenes_dataset(64, seed=0)  # anything with len() and [i] -> {"image": …, "labels": …}
labeler = jd.annotated(scene_vocabulary())  # the labels that were drawn with the pictures
network = TwoConvolutions(nnx.Rngs(0))

result = jd.dissect(network, pictures, labeler, layers=["conv1", "conv2"], grid=(32, 32))

print(result)
for layer in result.layers.values():
    print(layer)
    for unit in layer.best_units(5):
        print(" ", result.unit(layer.name, unit))
result.save("own_network")  # jd.load_dissection("own_network") reads it back
