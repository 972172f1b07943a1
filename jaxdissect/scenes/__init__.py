"""Scenes of a small world, drawn as they are asked for, with every pixel labelled.

Four networks trained on them come with the package: two classifiers, a generator, a segmenter.
"""

from jaxdissect.scenes.concepts import CONCEPTS as CONCEPTS
from jaxdissect.scenes.concepts import scene_vocabulary as scene_vocabulary
from jaxdissect.scenes.dataset import ScenesDataset as ScenesDataset
from jaxdissect.scenes.dataset import scenes_dataset as scenes_dataset
from jaxdissect.scenes.rendering import SCENES as SCENES
from jaxdissect.scenes.rendering import RenderedScene as RenderedScene
from jaxdissect.scenes.rendering import render as render
from jaxdissect.scenes.rendering import stylised as stylised
from jaxdissect.scenes.scene_classifier import SceneClassifier as SceneClassifier
from jaxdissect.scenes.scene_parser import SceneParser as SceneParser
from jaxdissect.scenes.scene_parser import scene_segmenter as scene_segmenter
from jaxdissect.scenes.scene_transformer import SceneTransformer as SceneTransformer
from jaxdissect.scenes.shipped import GENERATOR_SCENES as GENERATOR_SCENES
from jaxdissect.scenes.shipped import load_classifier as load_classifier
from jaxdissect.scenes.shipped import load_generator as load_generator
from jaxdissect.scenes.shipped import load_parser as load_parser
from jaxdissect.scenes.shipped import load_segmenter as load_segmenter
from jaxdissect.scenes.shipped import load_vit as load_vit
from jaxdissect.scenes.shipped import read_card as read_card
