"""Networks by name, their outputs at every depth, and their costs."""

from distillab.models.alexnet import AlexNet
from distillab.models.cifar_resnet import CifarResNet
from distillab.models.convnet import ConvNet
from distillab.models.cost import count_macs, count_parameters
from distillab.models.dense_network import DenseNetwork
from distillab.models.detectors import Detector
from distillab.models.eeea import MobileNetwork
from distillab.models.efficientnet_lite import build_efficientnet_lite
from distillab.models.ensemble import Combine, Ensemble, ensemble_name, ensemble_parts
from distillab.models.exits import NetworkWithExits
from distillab.models.groupnorm_networks import GroupNormClassifier
from distillab.models.hog import OrientedGradients
from distillab.models.input_spec import InputSpec
from distillab.models.input_transforms import InputNormalization
from distillab.models.inspection import NetworkInfo, inspect_network
from distillab.models.minis import MiniNetwork
from distillab.models.orbit import OrbitMean
from distillab.models.outputs import STORABLE, Outputs, OutputShapes, attention_map
from distillab.models.pretrained import PretrainedWeights, find_pretrained
from distillab.models.registry import (
    ModelFactory,
    ModelInfo,
    build_model,
    check_model_name,
    list_models,
    models,
    stem_change,
)
from distillab.models.revisions import network_revision
from distillab.models.taps import TappedModel, Taps
from distillab.models.text_networks import Bert, BiLSTM, TextCNN
from distillab.models.tracking_networks import TrackingNetwork
from distillab.models.vision_transformer import VisionTransformer
from distillab.models.wide_resnet import WideResNet

__all__ = [
    "STORABLE",
    "AlexNet",
    "Bert",
    "BiLSTM",
    "CifarResNet",
    "Combine",
    "ConvNet",
    "DenseNetwork",
    "Detector",
    "Ensemble",
    "GroupNormClassifier",
    "InputNormalization",
    "InputSpec",
    "MiniNetwork",
    "MobileNetwork",
    "ModelFactory",
    "ModelInfo",
    "NetworkInfo",
    "NetworkWithExits",
    "OrbitMean",
    "OrientedGradients",
    "OutputShapes",
    "Outputs",
    "PretrainedWeights",
    "TappedModel",
    "Taps",
    "TextCNN",
    "TrackingNetwork",
    "VisionTransformer",
    "WideResNet",
    "attention_map",
    "build_efficientnet_lite",
    "build_model",
    "check_model_name",
    "count_macs",
    "count_parameters",
    "ensemble_name",
    "ensemble_parts",
    "find_pretrained",
    "inspect_network",
    "list_models",
    "models",
    "network_revision",
    "stem_change",
]
