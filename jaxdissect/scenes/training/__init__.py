"""How the networks of the scenes are trained; `python -m jaxdissect.scenes.train` does it."""

from jaxdissect.scenes.training.discriminator import Discriminator as Discriminator
from jaxdissect.scenes.training.loop import Training as Training
from jaxdissect.scenes.training.loop import read_metrics as read_metrics
from jaxdissect.scenes.training.loop import train as train
from jaxdissect.scenes.training.pool import draw_batch as draw_batch
from jaxdissect.scenes.training.pool import draw_pool as draw_pool
from jaxdissect.scenes.training.supervised import SupervisedSettings as SupervisedSettings
from jaxdissect.scenes.training.supervised import SupervisedState as SupervisedState
from jaxdissect.scenes.training.supervised import supervised_training as supervised_training
from jaxdissect.scenes.training.train_classifier import ClassifierSettings as ClassifierSettings
from jaxdissect.scenes.training.train_classifier import classifier_training as classifier_training
from jaxdissect.scenes.training.train_classifier import evaluate_classifier as evaluate_classifier
from jaxdissect.scenes.training.train_classifier import trained_classifier as trained_classifier
from jaxdissect.scenes.training.train_generator import GeneratorSettings as GeneratorSettings
from jaxdissect.scenes.training.train_generator import GeneratorState as GeneratorState
from jaxdissect.scenes.training.train_generator import evaluate_generator as evaluate_generator
from jaxdissect.scenes.training.train_generator import generator_training as generator_training
from jaxdissect.scenes.training.train_generator import trained_generator as trained_generator
from jaxdissect.scenes.training.train_segmenter import SegmenterSettings as SegmenterSettings
from jaxdissect.scenes.training.train_segmenter import evaluate_parser as evaluate_parser
from jaxdissect.scenes.training.train_segmenter import segmenter_training as segmenter_training
from jaxdissect.scenes.training.train_segmenter import trained_parser as trained_parser
