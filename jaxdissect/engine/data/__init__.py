"""Sources of examples: folders of images, TensorFlow data sets, pairs of images, latents."""

from jaxdissect.engine.data.class_names import read_class_names as read_class_names
from jaxdissect.engine.data.classes import with_classes as with_classes
from jaxdissect.engine.data.decoded_cache import DecodedCache as DecodedCache
from jaxdissect.engine.data.decoded_cache import cached as cached
from jaxdissect.engine.data.folders import ImageFolder as ImageFolder
from jaxdissect.engine.data.folders import image_folder as image_folder
from jaxdissect.engine.data.latent_vectors import Latents as Latents
from jaxdissect.engine.data.latent_vectors import latents as latents
from jaxdissect.engine.data.latent_vectors import reference_latents as reference_latents
from jaxdissect.engine.data.pairs import Paired as Paired
from jaxdissect.engine.data.pairs import pair_name as pair_name
from jaxdissect.engine.data.pairs import paired_folders as paired_folders
from jaxdissect.engine.data.pictures import UnreadablePicture as UnreadablePicture
from jaxdissect.engine.data.tfds import TfdsSource as TfdsSource
from jaxdissect.engine.data.tfds import tfds_source as tfds_source
