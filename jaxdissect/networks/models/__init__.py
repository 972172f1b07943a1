"""The networks of the paper and others, in flax nnx, with published layers and parameters."""

from jaxdissect.networks.models.adain import AdaINDecoder as AdaINDecoder
from jaxdissect.networks.models.adain import AdaINEncoder as AdaINEncoder
from jaxdissect.networks.models.adain import stylize as stylize
from jaxdissect.networks.models.alexnet import AlexNet as AlexNet
from jaxdissect.networks.models.alexnet_torchvision import TorchvisionAlexNet as TorchvisionAlexNet
from jaxdissect.networks.models.catalog import ARCHITECTURES as ARCHITECTURES
from jaxdissect.networks.models.catalog import Architecture as Architecture
from jaxdissect.networks.models.catalog import imagenet_normalised as imagenet_normalised
from jaxdissect.networks.models.convnext import ConvNeXt as ConvNeXt
from jaxdissect.networks.models.described_generator import (
    DescribedGenerator as DescribedGenerator,
)
from jaxdissect.networks.models.efficientnet_lite import EfficientNetLite as EfficientNetLite
from jaxdissect.networks.models.mobilenet_v2 import MobileNetV2 as MobileNetV2
from jaxdissect.networks.models.proggan import ProgressiveGenerator as ProgressiveGenerator
from jaxdissect.networks.models.proggan import to_pixels as to_pixels
from jaxdissect.networks.models.pyramid_pooling import (
    PyramidPoolingNetwork as PyramidPoolingNetwork,
)
from jaxdissect.networks.models.resnet import ResNet as ResNet
from jaxdissect.networks.models.resnet152_places import PlacesResNet152 as PlacesResNet152
from jaxdissect.networks.models.stylegan2 import StyleGAN2 as StyleGAN2
from jaxdissect.networks.models.upernet import UnifiedParsing as UnifiedParsing
from jaxdissect.networks.models.upernet import UPerNet as UPerNet
from jaxdissect.networks.models.vgg import VGG as VGG
from jaxdissect.networks.models.vgg16 import VGG16 as VGG16
from jaxdissect.networks.models.vision_transformer import VisionTransformer as VisionTransformer
from jaxdissect.networks.models.vision_transformer import resized_positions as resized_positions
